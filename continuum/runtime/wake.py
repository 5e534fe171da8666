"""How a thread wakes the poll of its process: one byte in a pipe for everything since the last look.

    thread:  put the thing into a deque ── set()
    loop:    the descriptor is readable ── clear(), and only then empty the deque

In this order nothing is missed: a thread that finds the flag set put its thing there before the loop looks.
"""

from __future__ import annotations

import os
from contextlib import suppress


class Wake:
    """A descriptor that becomes readable. ``set`` may be called from any thread, the rest by the loop's."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._is_set = False

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._reader

    def set(self) -> None:
        """Make the descriptor readable; costs a system call only the first time after a ``clear``."""
        if not self._is_set:
            self._is_set = True
            with suppress(BlockingIOError):  # full: it is readable
                os.write(self._writer, b"\0")

    def clear(self) -> None:
        """Make it unreadable again; then look for what the threads have put there."""
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        self._is_set = False

    def close(self) -> None:
        """Close it; no thread may call ``set`` any more."""
        os.close(self._reader)
        os.close(self._writer)
