"""The executor of a real worker: ``def`` in threads, ``async def`` on a loop, ``isolate=True`` in processes (A9).

A threaded attempt that runs for too long is abandoned: its end is reported, its thread goes on because nothing can stop
it, and what it returns is dropped. When more than half of the slots are lost in this way, ``worn_out`` asks for a new
process. An isolated attempt occupies a thread too, but its process is killed with its children, and the thread is free.
An ``async def`` that blocks its loop is dealt with in :mod:`continuum.runtime.loops`.

A ``def`` that was brief the last time, and is the only open attempt, is left to the thread of the worker's loop, if
that can be spared: :mod:`continuum.runtime.leading`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from continuum.core.attempt import Outcome, cut_short, perform, unknown
from continuum.core.definitions import Activity
from continuum.errors import UnknownWorkflowError
from continuum.ports.beginnings import NOTHING_NOTED, Register
from continuum.ports.clock import Clock
from continuum.runtime.isolation import Isolation
from continuum.runtime.job import Job, Ledger, job_of
from continuum.runtime.loop_thread import Host, in_thread
from continuum.runtime.loops import Loops
from continuum.runtime.role import log
from continuum.runtime.threads import Threads
from continuum.wire.messages import Execute, Finished, Key

BRIEF_S = 0.001


class ThreadAndLoopExecutor:
    """An ``Executor`` (see ``ports/executor.py``).

    ``lookup`` finds an activity by name, and raises ``UnknownWorkflowError``. ``slots``: how many attempts run at once,
    for each of the two kinds. ``wake`` is called from any thread when ``finished`` has something. ``spared`` says that
    the caller of ``start`` will run what it finds by ``take_lone``. ``home`` lets a thread run the event loop.
    ``register``: where it is noted that an attempt begins.
    """

    def __init__(
        self,
        lookup: Callable[[str], Activity[..., Any]],
        slots: int,
        wake: Callable[[], None],
        clock: Clock,
        spared: Callable[[], bool] = lambda: False,
        home: Host = in_thread,
        register: Register = NOTHING_NOTED,
    ) -> None:
        self._lookup, self._slots, self._clock = lookup, slots, clock
        self._wake, self._spared = wake, spared
        self._ledger = Ledger(wake, clock, register)
        self._isolation = Isolation(clock)
        self._threads = Threads(self._run, self._fail, slots, clock)
        self._loops = Loops(self._ledger.end, slots, clock, home)
        self._lone: Job | None = None  # that waits for `take_lone`
        self._brief: set[str] = set()  # activities that took less than BRIEF_S the last time
        self._timed: dict[Key, Job] = {}  # in threads, running, with a time-out
        self._timeout_min_s = math.inf
        self._check_at = math.inf

    def start(self, task: Execute, slot: int = 0) -> None:
        try:
            definition = self._lookup(task.activity)
        except UnknownWorkflowError as error:
            self._ledger.report(task, unknown(task.activity, str(error)))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt has an outcome
            self._ledger.report(task, cut_short(task.activity, error))
            return
        job = job_of(task, definition, self._ledger, slot)
        self._ledger.open(job)
        if self._lone is not None:
            self._queue_lone()
        if definition.is_async and not job.isolated:
            self._loops.put(job)
            return
        if job.timed:
            timeout_s = job.late_at() - job.started_at  # the shorter of its two
            self._timeout_min_s = min(self._timeout_min_s, timeout_s)
            self._check_at = min(self._check_at, self._clock.monotonic() + timeout_s)
        if len(self._ledger) == 1 and self._is_lone(job):
            self._lone, job.lone = job, True
        else:
            self._threads.put(job)

    def take_lone(self) -> Job | None:
        """Take the job that this thread is to run now, if there is one."""
        job, self._lone = self._lone, None
        return job

    def run_lone(self, job: Job, leads: Callable[[], bool]) -> bool:
        """Run it, and return whether this thread ``leads`` afterwards: then it looks at ``finished`` itself. Else who
        does is woken, and this one first runs what no thread could be started for in its place."""
        self._threads.perform(job)
        still = leads()
        if not still:
            self._wake()
            self._threads.help()
        self._threads.leave()
        return still

    def stop(self, key: Key) -> None:
        job = self._ledger.drop(key)
        if job is None or job.take():
            return
        self._timed.pop(key, None)
        if job.isolated:
            self._isolation.kill(job)
        elif job.definition.is_async:
            self._loops.stop(job)
        else:
            self._threads.lose(1)

    def heartbeats(self) -> Sequence[tuple[Key, bytes]]:
        return self._ledger.beats()

    @property
    def beating(self) -> bool:
        return self._ledger.beating

    def finished(self) -> Sequence[Finished]:
        return self._ledger.take()

    def tick(self) -> None:
        self._threads.tick()
        now = self._clock.monotonic()
        if now >= self._check_at:
            self._expire(now)
        if now >= self._loops.look_at:
            self._loops.look(now)

    def wake_at(self) -> float:
        return min(self._threads.wake_at(), self._check_at, self._loops.look_at)

    def close(self) -> None:
        """End the threads and the loop, without waiting for what they run; kill the processes."""
        self._isolation.close()
        self._threads.close()
        self._loops.close()

    def release_home(self) -> bool:
        """End the event loop, and return whether who hosted it has its thread again."""
        return self._loops.release_home()

    @property
    def running(self) -> int:
        return max(0, len(self._ledger) - self.queued)

    @property
    def queued(self) -> int:
        return self._threads.queued + self._loops.queued + (self._lone is not None)

    @property
    def abandoned(self) -> int:
        """Attempts that go on although their end was decided: each holds a thread, or hangs on the loop."""
        return self._threads.lost + self._loops.lost

    @property
    def stuck(self) -> Sequence[str]:
        lost = self._threads.lost
        late = [f"{lost} activities go on in threads although their attempts are over"] if lost else []
        return [*self._loops.stuck, *late]

    @property
    def worn_out(self) -> bool:
        return 2 * self.abandoned > self._slots

    def _is_lone(self, job: Job) -> bool:
        """Let the loop's thread have it, if it may. It is not brief until it is over, which it may never be."""
        name = job.task.activity
        if job.isolated or name not in self._brief or not self._spared() or not self._threads.enter():
            return False
        self._brief.discard(name)
        return True

    def _queue_lone(self) -> None:
        """Let a thread run it after all, because it is not alone."""
        job = self.take_lone()
        assert job is not None, "the caller has looked"
        job.lone = False
        self._threads.leave()
        self._threads.put(job)

    def _run(self, job: Job) -> bool:
        if job.timed:
            self._timed[job.key] = job
        outcome = self._isolation.run(job) if job.isolated else _perform(job)
        if job.timed:
            self._timed.pop(job.key, None)
        self._note(job)
        return self._ledger.end(job, outcome) or job.isolated  # no thread of those is ever lost

    def _fail(self, job: Job, error: BaseException) -> bool:
        """End a job that did not come to its end, because of us and not of its code."""
        log.error("an attempt of %s could not be run", job.task.activity, exc_info=error)
        self._timed.pop(job.key, None)
        return self._ledger.end(job, cut_short(job.task.activity, error)) or job.isolated

    def _note(self, job: Job) -> None:
        if self._clock.monotonic() - job.started_at < BRIEF_S:
            self._brief.add(job.task.activity)
        else:
            self._brief.discard(job.task.activity)

    def _expire(self, now: float) -> None:
        """End what runs for too long. A queued job can not time out before it has run for the shortest time-out."""
        self._check_at = now + self._timeout_min_s if len(self._ledger) else math.inf
        for job in self._timed.copy().values():
            outcome = job.late(now)
            if outcome is None:
                self._check_at = min(self._check_at, job.late_at())
            elif self._ledger.end(job, outcome):
                if job.isolated:
                    self._isolation.kill(job)
                else:
                    self._threads.lose(1)


def _perform(job: Job) -> Outcome:
    return perform(job.definition, job.task.args, job.info, job)
