"""Signals of the supervisor as readable bytes, and what a forked child must undo of that.

Every signal that matters wakes the supervisor's poll through one pipe (`signal.set_wakeup_fd`), SIGCHLD
too: the same on Linux and macOS, and nothing runs inside a handler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A handler, because only signals with one are written to the wakeup descriptor."""


class SignalPipe:
    """SIGTERM, SIGINT and SIGCHLD of this process, from `open` to `close`; main thread only."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._before_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in _WATCHED}

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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def enter_child() -> None:
    """Leave SIGTERM and SIGINT to the supervisor, which asks this child to stop in its turn.

    Ctrl-C and a service manager signal every process of the group at once; a child that died of it
    could not drain. The signals are handled by nothing rather than ignored, because an ignored signal
    stays ignored in every program that an activity executes; its plain forks get the defaults back.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    os.register_at_fork(after_in_child=_default_signals)


def _default_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
