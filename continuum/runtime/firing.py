"""Timers that are due and wait for their turn: they fire as fast as their runs are committed, and no faster (T4).

A crowd of timers of one instant would otherwise change thousands of runs at once, and whatever comes next, a new run or
a result, would wait behind the commits of all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

TimerKey = tuple[bytes, int]


class Firing:
    """``fire(run, seq)`` fires one; ``room()`` says how many more runs may change now."""

    def __init__(self, fire: Callable[[bytes, int], None], room: Callable[[], int]) -> None:
        self._fire, self._room = fire, room
        self._waiting: deque[TimerKey] = deque()

    def add(self, timers: Iterable[TimerKey]) -> None:
        self._waiting.extend(timers)

    def tick(self) -> None:
        waiting = self._waiting
        if waiting:
            for _ in range(min(self._room(), len(waiting))):
                self._fire(*waiting.popleft())

    def wake_at(self) -> float:
        """At once while some may fire; otherwise an answered commit makes room, and wakes the engine by itself."""
        return float("-inf") if self._waiting and self._room() > 0 else float("inf")
