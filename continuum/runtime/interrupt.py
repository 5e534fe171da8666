"""Breaks into code that blocks the main thread: ``time.sleep``, a request without a time-out, a loop that never ends.

Only the main thread of a process can be broken into: there a signal ends a system call, and its handler runs on top of
whatever the thread does, where it may raise. The signal is SIGURG, as in the Go runtime, and for the same reasons: it
is ignored by default, no library means anything by it, and one too many does no harm.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

_NUMBER = signal.SIGURG


class Interrupt:
    """Raises ``CancelledError`` in one thread, where ``wanted`` says so in that thread at that moment."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted
        self._ident = threading.get_ident()
        signal.signal(_NUMBER, self._raise)

    @classmethod
    def of_this_thread(cls, wanted: Callable[[], bool]) -> Self | None:
        """Return the interrupt of the calling thread, None if it is not the main one."""
        return cls(wanted) if threading.current_thread() is threading.main_thread() else None

    def ask(self) -> None:
        """Break in, from any thread; without effect if it is not wanted any more when that thread hears of it."""
        signal.pthread_kill(self._ident, _NUMBER)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if self._wanted():
            raise asyncio.CancelledError("this attempt is over, and blocks the event loop")
