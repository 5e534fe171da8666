"""The event loops of a worker: one at home, and others that stand in for it while an attempt blocks it.

::

    home  ──turns────────────────►  takes every attempt
      │  for BLOCKED_S a question has not been answered: the stack is logged, what waits is moved on
      ▼
    home blocked ··· stand-in takes every attempt ··· home answers again: it takes them, the stand-in runs its own out

What has begun stays with its loop: a coroutine cannot change it. Its time-outs are kept from here meanwhile, and an
attempt whose time is over is interrupted where it blocks, if its loop is the main thread's (:mod:`.interrupt`). The
home is, in a worker's process; a client that an application keeps for all of its attempts belongs to that loop, too.

A look costs the worker one turn in ``LOOK_S`` while attempts of this kind run, and nothing otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from uuid import UUID

from continuum.core.attempt import Outcome, cut_short
from continuum.ports.clock import Clock
from continuum.runtime.job import Job
from continuum.runtime.loop_thread import Host, LoopThread, in_thread
from continuum.runtime.role import log

LOOK_S = 0.25
SILENT_S = 0.1  # without an answer, after which the time-outs of a loop are kept from outside, as often
BLOCKED_S = 2.0  # as for a step of workflow code (X10)
CLOSE_S = 1.0


class _Blocked:
    """A loop that does not turn. ``job`` blocks it, if that is known."""

    def __init__(self, job: Job | None, since: float) -> None:
        self.job, self.since = job, since

    def say(self, now: float) -> str:
        return f"{_name(self.job)} blocks its event loop for {now - self.since:.0f} s"


class Loops:
    """``end`` notes how a job ended, False if that was decided before. ``home`` hosts the first loop."""

    def __init__(
        self, end: Callable[[Job, Outcome], bool], limit: int, clock: Clock, home: Host = in_thread
    ) -> None:
        self._end, self._limit, self._clock = end, limit, clock
        self._home = self._current = LoopThread(end, limit, clock, home)
        self._all = [self._home]
        self._blocked: dict[LoopThread, _Blocked] = {}
        self.look_at = math.inf

    @property
    def queued(self) -> int:
        return sum(loop.queued for loop in self._all)

    @property
    def lost(self) -> int:
        """Attempts that were given up, and threads whose loop does not turn."""
        return len(self._blocked) + sum(loop.lost for loop in self._all)

    @property
    def stuck(self) -> list[str]:
        """Say what blocks a loop, a line each."""
        now = self._clock.monotonic()
        return [blocked.say(now) for blocked in self._blocked.copy().values()]

    def put(self, job: Job) -> None:
        try:
            self._current.put(job)
        except Exception as error:  # noqa: BLE001 - a loop takes descriptors and a thread, which may be short
            log.error("no event loop can be started for %s", _name(job), exc_info=error)
            if job.take():
                self._end(job, cut_short(job.task.activity, error))
        if self.look_at == math.inf:
            self.look_at = self._clock.monotonic() + LOOK_S

    def stop(self, job: Job) -> None:
        """Cancel a running job; its end is not noted, because it is out of the ledger already."""
        job.killed = True
        for loop in self._all:
            loop.stop(job.key)

    def close(self) -> None:
        """Cancel what runs and end the loops, without waiting for either."""
        for loop in self._all:
            loop.close()

    def release_home(self) -> bool:
        """End the home loop, and return whether its host has its thread again in ``CLOSE_S``."""
        return self._home.end_within(CLOSE_S)

    def look(self, now: float) -> None:
        """Look whether the loops turn, and do for those that do not what they cannot do themselves."""
        late_s, pause_s = now - self.look_at, math.inf
        for loop in self._all.copy():
            if late_s > LOOK_S:
                loop.forgive(
                    late_s
                )  # this process stood still, or had no turn: that says nothing of its loops
            silent_s = loop.look(now)
            if silent_s >= SILENT_S:
                loop.expire(now)
                pause_s = SILENT_S
            elif loop.running or loop.queued:
                pause_s = min(pause_s, SILENT_S if silent_s else LOOK_S)
            if silent_s >= BLOCKED_S:
                self._replace(loop, now - silent_s)
            elif loop in self._blocked and not silent_s:
                self._restore(loop)
        self._end_idle()
        self.look_at = now + pause_s

    def _replace(self, loop: LoopThread, since: float) -> None:
        if loop not in self._blocked:
            job, stack = loop.blocking()
            self._blocked[loop] = _Blocked(job, since)
            log.error(
                "%s: this activity has not yielded for %.1f s and holds up the attempts that share its event loop; "
                "make it a `def`, which has a thread, or hand what blocks to asyncio.to_thread. Other attempts go "
                "to a new loop meanwhile\n%s",
                *(_name(job), self._clock.monotonic() - since, stack),
            )
        if loop is self._current:
            self._current = LoopThread(self._end, self._limit, self._clock)
            self._all.append(self._current)
        for job in loop.steal():
            self.put(job)

    def _restore(self, loop: LoopThread) -> None:
        """A loop turns again; the home then takes every attempt."""
        del self._blocked[loop]
        if loop is self._home:
            self._current = loop

    def _end_idle(self) -> None:
        """End what stood in for another and has nothing left to do."""
        for loop in self._all[1:]:
            if loop is not self._current and not loop.running and not loop.queued:
                loop.close()
                self._all.remove(loop)


def _name(job: Job | None) -> str:
    if job is None:
        return "an async activity"
    return f"{job.task.activity} of run {UUID(bytes=job.task.run)}, attempt {job.task.attempt}"
