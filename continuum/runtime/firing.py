"""Timers that are due and wait for their turn: they fire as fast as their runs are committed, and no faster (T4).

A crowd of timers of one instant would otherwise change thousands of runs at once, and whatever comes next, a new run or
a result, would wait behind the commits of all of them. Where the runs leave no room at all, a few fire all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from continuum.runtime.live import LiveRun

TimerKey = tuple[bytes, int]
FIRE_MIN, FIRE_MIN_US = 50, 50_000  # so many, when none has fired for so long


class Firing:
    """``room()`` says how many more of the ``runs`` may change now, ``now_us()`` is the database's time; ``touch(run)``
    is called for each that changed, ``broken(run, error)`` for one that raised, ``missed(run, seq)`` for each timer
    whose run is not here, or about to go."""

    def __init__(
        self,
        runs: Mapping[bytes, LiveRun],
        room: Callable[[], int],
        now_us: Callable[[], int],
        touch: Callable[[LiveRun], None],
        missed: Callable[[bytes, int], None],
        broken: Callable[[LiveRun, Exception], None],
    ) -> None:
        self._runs, self._room, self._now_us, self._touch, self._missed = runs, room, now_us, touch, missed
        self._broken = broken
        self._waiting: dict[TimerKey, None] = {}  # a timer may be told of again
        self._fired_us = 0

    def add(self, timers: Iterable[TimerKey]) -> None:
        if not self._waiting:
            self._fired_us = self._now_us()
        self._waiting.update(dict.fromkeys(timers))

    def tick(self) -> None:
        waiting = self._waiting
        if not waiting:
            return
        now_us, room = self._now_us(), self._room()
        if room <= 0 and now_us >= self._fired_us + FIRE_MIN_US:
            room = FIRE_MIN
        if room > 0:
            self._fired_us = now_us
        for key in list(islice(waiting, max(room, 0))):
            del waiting[key]
            run_id, seq = key
            run = self._runs.get(run_id)
            if run is None or run.evicting:
                self._missed(run_id, seq)
                continue
            try:
                if run.machine.fire(seq, now_us):
                    self._touch(run)
            except Exception as error:  # noqa: BLE001 - it is that run's
                self._broken(run, error)

    def wake_at(self) -> float:
        """At once while some may fire; otherwise an answered commit makes room, and wakes the engine by itself."""
        return float("-inf") if self._waiting and self._room() > 0 else float("inf")
