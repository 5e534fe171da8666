"""One forked child: its birth, its control link, its end.

Children never outlive the supervisor: on Linux the kernel kills them with it (`PR_SET_PDEATHSIG`);
everywhere the end of the control channel tells them, which is all that macOS has.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from setproctitle import setproctitle

from continuum.errors import ConfigurationError
from continuum.supervisor.control import ControlChannel, ControlLink, Fatal, control_pair
from continuum.supervisor.directives import Exit
from continuum.supervisor.leaving import forget_exit_handlers, run_exit_handlers
from continuum.supervisor.signals import WATCHED, enter_child, held_back
from continuum.supervisor.spec import ChildSpec

_PR_SET_PDEATHSIG = 1
RECORD_BYTES_MAX = 64
# Loaded before any fork: a child of a machine that is short of memory or descriptors need not load it.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class ChildContext:
    """What a child knows at birth. Later changes of ``peers`` and ``crew`` come as `PeerUp` and `PeerDown`.

    ``boot`` names the life of the tree, ``incarnation`` (``"<boot>-<n>"``) this life of the child: no two
    are ever equal. ``crew`` counts the deaths of workers in this tree so far. ``record`` is memory of
    `RECORD_BYTES_MAX` that it shares with the supervisor alone: what it writes there is told to the others
    when it dies, however it dies.
    """

    child_id: str
    role: str
    node: str
    boot: str
    incarnation: str
    crew: int
    peers: dict[str, str]
    control: ControlChannel
    record: mmap.mmap


ChildMain = Callable[[ChildContext], int]


class ChildProcess:
    """The supervisor's side of one incarnation of a child."""

    def __init__(
        self,
        spec: ChildSpec,
        incarnation: str,
        restarts: int,
        pid: int,
        control: ControlLink,
        record: mmap.mmap,
    ) -> None:
        self.spec = spec
        self.incarnation = incarnation
        self.restarts = restarts
        self.pid = pid
        self.control = control
        self.fatal: Fatal | None = None
        self._record = record
        self._kill_reason: str | None = None
        self._status: int | None = None

    def kill(self, reason: str) -> None:
        """End it now. Its process id is its own until `reap`, so no stranger is hit; after it, no effect."""
        if self._status is None:
            self._kill_reason = self._kill_reason or reason
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> bool:
        """True once it has exited, and leaves no zombie. What it sent before can still be received."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def record(self) -> bytes:
        """What it has written into its record last; to be asked once, after `reap`."""
        with self._record as memory:
            return memory[:].rstrip(b"\0")

    def exit(self) -> Exit:
        """How it ended, after `reap`, and close its control link."""
        assert self._status is not None, "still running"
        self.control.close()
        if self.fatal is not None:
            return Exit("fatal", self.fatal.reason, self.fatal.exit_code or 1)
        code = os.waitstatus_to_exitcode(self._status)
        text = f"exited with code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        if self._kill_reason is not None:
            text += f" ({self._kill_reason})"
        return Exit("normal" if code == 0 else "crash", text)


def fork_child(
    spec: ChildSpec,
    main: ChildMain,
    birth: Callable[[ControlChannel, mmap.mmap], ChildContext],
    *,
    restarts: int,
    release: Callable[[], None],
) -> ChildProcess:
    """Fork a child that runs ``main(birth(channel, record))``; its return value is the exit code.

    ``release`` runs in the child and closes what belongs to the supervisor alone.

    Raises:
        OSError: no process or descriptor is to be had; nothing was started.
    """
    supervisor_pid = os.getpid()
    link, channel = control_pair()
    record = mmap.mmap(
        -1, RECORD_BYTES_MAX
    )  # anonymous and shared: both processes see it, no disk is involved
    context = birth(channel, record)
    _flush()  # else both processes would write what is buffered now
    try:
        with held_back():
            pid = os.fork()
            if pid == 0:
                _live(context, main, supervisor_pid, (link.close, release))
    except OSError:
        link.close()
        record.close()
        raise
    finally:
        channel.close()
    return ChildProcess(spec, context.incarnation, restarts, pid, link, record)


def _live(
    context: ChildContext, main: ChildMain, supervisor_pid: int, releases: tuple[Callable[[], None], ...]
) -> NoReturn:
    """The child's whole life. It must not return: above it is the stack of the supervisor."""
    code = 1
    try:
        enter_child()
        forget_exit_handlers()
        _die_with(supervisor_pid)
        for release in releases:
            release()
        _detach(context)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        code = main(context)
        if code == 0:
            run_exit_handlers(code)
    except ConfigurationError as error:
        # "nothing was started or changed", and the next start would say the same
        context.control.fatal(str(error))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(code & 0xFF)  # not by returning: above this is the stack of the supervisor


def _die_with(supervisor_pid: int) -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor_pid:  # it died before the kernel was asked
        os._exit(1)


def _detach(context: ChildContext) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:  # it is 0 when the supervisor was started without a standard input
        os.dup2(null, 0)
        os.close(null)
    setproctitle(f"continuum: {context.node}/{context.child_id}")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # closed or broken: nothing can be said there
                stream.flush()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
