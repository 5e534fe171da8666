"""Timers that are due and wait for their turn: they fire as fast as their runs are committed, and no faster (T4).

A crowd of timers of one instant would otherwise change thousands of runs at once, and whatever comes next, a new run or
a result, would wait behind the commits of all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from continuum.runtime.live import LiveRun

TimerKey = tuple[bytes, int]


class Firing:
    """``room()`` says how many more of the ``runs`` may change now, ``now_us()`` is the database's time; ``touch(run)``
    is called for each that changed, ``missed(run, seq)`` for each timer whose run is not here, or about to go."""

    def __init__(
        self,
        runs: Mapping[bytes, LiveRun],
        room: Callable[[], int],
        now_us: Callable[[], int],
        touch: Callable[[LiveRun], None],
        missed: Callable[[bytes, int], None],
    ) -> None:
        self._runs, self._room, self._now_us, self._touch, self._missed = runs, room, now_us, touch, missed
        self._waiting: deque[TimerKey] = deque()

    def add(self, timers: Iterable[TimerKey]) -> None:
        self._waiting.extend(timers)

    def tick(self) -> None:
        waiting = self._waiting
        if waiting:
            now_us = self._now_us()
            for _ in range(min(self._room(), len(waiting))):
                run_id, seq = waiting.popleft()
                run = self._runs.get(run_id)
                if run is None or run.evicting:
                    self._missed(run_id, seq)
                elif run.machine.fire(seq, now_us):
                    self._touch(run)

    def wake_at(self) -> float:
        """At once while some may fire; otherwise an answered commit makes room, and wakes the engine by itself."""
        return float("-inf") if self._waiting and self._room() > 0 else float("inf")
