"""Runs that an engine gives back: those that rest, those without their code, and, while it drains, all (L7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from continuum.ports.clock import Clock
from continuum.ports.journal import Release
from continuum.ports.offload import Lane
from continuum.runtime.asking import Asking
from continuum.runtime.attempts import Attempts
from continuum.runtime.limits import EngineLimits
from continuum.runtime.live import LiveRun
from continuum.runtime.loading import Burden

EVICT_S = 5.0
CROWDED_S = 0.1  # after a look at all runs that found none, while there are too many
RELEASES_MAX = 1000


class Releasing:
    """``gone(run)`` is called for each of the engine's ``runs`` whose lease was given back, and ``told()`` after each
    batch. One batch is under way at a time. ``retired``: the database knows that this owner is gone."""

    def __init__(
        self,
        asking: Asking,
        clock: Clock,
        limits: EngineLimits,
        runs: dict[bytes, LiveRun],
        burden: Burden,
        attempts: Attempts,
        gone: Callable[[LiveRun], None],
        told: Callable[[], None],
    ) -> None:
        self._asking, self._clock, self._limits = asking, clock, limits
        self._runs, self._burden, self._attempts = runs, burden, attempts
        self._gone, self._told = gone, told
        self._waiting: list[Release] = []
        self._busy = self._retiring = self.retired = False
        self._evict_at = clock.monotonic() + EVICT_S
        self._crowded_at = -math.inf  # not sooner when there are too many

    def add(self, release: Release) -> None:
        """Give back a run that never was among the engine's runs, or is not any more."""
        self._waiting.append(release)

    def give_back_idle(self) -> None:
        """Draining: give back every run of which nothing is under way here."""
        for run in list(self._runs.values()):
            if self._is_idle(run):
                self._give_back(run, None if run.machine.parked or run.rows else 0.0)

    def retire(self, owner: str) -> None:
        """Draining, and nothing else is under way: when all runs are given back, say that this owner is gone."""
        if not (self._runs or self._waiting or self._busy or self._retiring):
            self._retiring = True
            self._asking.ask(Lane.LEASE, lambda desk: desk.dispatch.retire([owner]), self._on_retired)

    def tick(self) -> None:
        self._evict()
        if not self._waiting or self._busy:
            return
        batch, self._waiting = self._waiting[:RELEASES_MAX], self._waiting[RELEASES_MAX:]
        self._busy = True
        self._asking.ask(Lane.LEASE, lambda desk: desk.journal.release(batch), lambda _: self._done(batch))

    def wake_at(self) -> float:
        if self._busy:
            return math.inf
        return min(self._evict_at, self._crowded_at) if self._excess > 0 else self._evict_at

    @property
    def _excess(self) -> int:
        excess = len(self._runs) - self._limits.runs_max * 9 // 10
        return max(excess, len(self._burden)) if self._burden.crowded else excess

    def _evict(self) -> None:
        """Give back runs that rest: those that rested long, and more if there are too many."""
        now = self._clock.monotonic()
        excess = self._excess
        if self._busy or now < (self._evict_at if excess <= 0 else self._crowded_at):
            return
        self._evict_at = now + EVICT_S
        since = now if excess > 0 else now - self._limits.parked_s
        resting = [run for run in self._runs.values() if run.touched_at <= since and self._rests(run)]
        if not resting:
            self._crowded_at = now + CROWDED_S
        resting.sort(key=lambda run: run.touched_at)
        if self._burden.crowded:
            resting.sort(key=lambda run: run.id not in self._burden)
        for index, run in enumerate(resting):
            if index >= excess and run.touched_at > now - self._limits.parked_s:
                return
            self._give_back(run, None)

    def _rests(self, run: LiveRun) -> bool:
        return run.machine.parked and self._is_idle(run)

    def _is_idle(self, run: LiveRun) -> bool:
        busy = run.committing or run.dirty or run.evicting or bool(run.unsettled)
        return not busy and self._attempts.idle(run)

    def _give_back(self, run: LiveRun, due_in_s: float | None) -> None:
        run.evicting = True
        seen = run.machine.inbox.unread()
        self._waiting.append(Release(run.lease.run_id, run.lease.token, due_in_s, seen=seen))

    def _done(self, batch: Sequence[Release]) -> None:
        self._busy = False
        for release in batch:
            run = self._runs.get(release.run_id.bytes)
            if run is not None and run.lease.token == release.token:
                self._gone(run)
        self._told()

    def _on_retired(self, _: object) -> None:
        self.retired = True
