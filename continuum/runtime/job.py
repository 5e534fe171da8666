"""An attempt inside the executor, and the ledger that says how it ended.

Two threads may want to end an attempt at once: the one that runs it, and the worker's loop, because of a time-out or
because nobody waits for it any more. Both ask the ledger, and the first one wins. In the same way ``take`` decides
between starting a queued attempt and stopping it. Both decisions are single dict and list operations, which
CPython carries out without interruption, so that the hot path needs no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from continuum.core.attempt import ActivityInfo, Outcome
from continuum.core.definitions import Activity
from continuum.wire.messages import Execute, Finished, Key


class Job:
    """``started_at`` is set, by the monotonic clock, when it begins to run."""

    __slots__ = ("_ticket", "definition", "expired", "key", "started_at", "task")

    def __init__(self, task: Execute, definition: Activity[..., Any]) -> None:
        self.task, self.definition = task, definition
        self.key = task.key
        self.started_at = 0.0
        self.expired = False
        self._ticket = [None]

    def take(self) -> bool:
        """True for one caller: the one that starts the job, or that sees to it that it never starts."""
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    def info(self) -> ActivityInfo:
        """Return what ``activity_info()`` shows; the deadline is as exact as the wall clock."""
        task = self.task
        deadline = None if task.timeout_s is None else datetime.now(UTC) + timedelta(seconds=task.timeout_s)
        return ActivityInfo(
            run_id=UUID(bytes=task.run),
            activity=task.activity,
            attempt=task.attempt,
            idempotency_key=task.idempotency_key,
            deadline=deadline,
        )


class Ledger:
    """Open attempts, and the results that the worker has not taken yet.

    ``wake`` is called from any thread when there is something to take, once until it is taken.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._open: dict[Key, Job] = {}
        self._finished: deque[Finished] = deque()
        self._woken = False

    def __len__(self) -> int:
        return len(self._open)

    def open(self, job: Job) -> None:
        self._open[job.key] = job

    def end(self, job: Job, outcome: Outcome) -> bool:
        """Note how ``job`` ended; False if its end was decided before."""
        if self._open.pop(job.key, None) is None:
            return False
        self.report(job.task, outcome)
        return True

    def report(self, task: Execute, outcome: Outcome) -> None:
        result = Finished(
            task.run,
            task.seq,
            task.attempt,
            outcome.ok,
            outcome.payload,
            outcome.timed_out,
            outcome.retryable,
        )
        self._finished.append(result)
        if not self._woken:
            self._woken = True
            self._wake()

    def drop(self, key: Key) -> Job | None:
        """Take the attempt out: whatever comes of it is dropped."""
        return self._open.pop(key, None)

    def take(self) -> list[Finished]:
        self._woken = False  # first: what is appended from now on wakes again
        taken: list[Finished] = []
        try:
            while True:
                taken.append(self._finished.popleft())
        except IndexError:
            return taken
