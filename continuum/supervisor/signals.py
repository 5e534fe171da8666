"""Signals of the supervisor as readable bytes, and what a forked child must undo of that.

Every signal that matters wakes the supervisor's poll through one pipe (`signal.set_wakeup_fd`), SIGCHLD
too: the same on Linux and macOS, and nothing runs inside a handler.

SIGTERM, SIGINT and SIGHUP ask for a stop; SIGHUP is what the end of a terminal sends, and `nohup` has it ignored, which
stays so. SIGUSR1 and SIGUSR2 mean nothing here, and must not end a node because somebody means all of its group.
SIGQUIT is left as it is, an end at once; SIGPIPE is ignored by the interpreter.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MEANINGLESS = (signal.SIGUSR1, signal.SIGUSR2)
WATCHED = (*STOPS, *_MEANINGLESS, signal.SIGCHLD)


def is_free(number: int) -> bool:
    """Whether a signal is ours to handle: `nohup` has SIGHUP ignored, and a program may use SIGUSR1 for itself."""
    if number == signal.SIGHUP:
        return signal.getsignal(number) is not signal.SIG_IGN
    return number not in _MEANINGLESS or signal.getsignal(number) is signal.SIG_DFL


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, because only signals with one are written to the wakeup descriptor."""


class SignalPipe:
    """The signals that matter to this process, from its making to `close`; main thread only."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._before_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in WATCHED if is_free(number)}

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._reader

    def read(self) -> list[int]:
        """Numbers of the signals since the last call, in order."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Give the signals back to the handlers of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._before_fd)
        self.release()

    def release(self) -> None:
        """Close the pipe only."""
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold signals back around a fork, so that the child never reports one of its own as its parent's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def enter_child() -> None:
    """Leave the signals that ask for a stop to the supervisor, which asks this child to stop in its turn.

    Ctrl-C, the end of a terminal and a service manager signal every process of the group at once; a child that died
    of it could not drain. The signals are handled by nothing rather than ignored, because an ignored signal
    stays ignored in every program that an activity executes; its plain forks get the defaults back.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (*STOPS, *_MEANINGLESS):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ignore)
    os.register_at_fork(after_in_child=_default_signals)


def _default_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, *_MEANINGLESS):
        if signal.getsignal(number) is _ignore:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
