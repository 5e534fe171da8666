"""An attempt inside the executor, and the ledger that says how it ended.

Two threads may want to end an attempt at once: the one that runs it, and the worker's loop, because of a time-out or
because nobody waits for it any more. Both ask the ledger, and the first one wins. In the same way ``take`` decides
between starting a queued attempt and stopping it. Both decisions are single dict and list operations, which
CPython carries out without interruption, so that the hot path needs no lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from continuum.core.attempt import ActivityInfo, Outcome, silent, timed_out
from continuum.core.definitions import Activity
from continuum.ports.beginnings import NOTHING_NOTED, Register
from continuum.ports.clock import Clock
from continuum.wire.messages import Execute, Finished, Key


class Job(msgspec.Struct, eq=False):
    """``timed``: time may end it. ``ticket``: what `take` takes. ``started_at`` is set, by the monotonic clock, when it
    begins to run, ``seen_at`` also with every heartbeat; ``details`` is what the last one said. ``ending``: how it ends
    although it goes on, because it is late. ``killed``: nobody waits for it. ``cut_at``: when it was interrupted where
    it blocked its loop. ``lone``: whoever runs it looks for its result. ``slot``: where its beginning is noted. It is
    the ``Pulse`` of its attempt."""

    task: Execute
    definition: Activity[..., Any]
    ledger: Ledger
    key: Key
    isolated: bool
    timed: bool
    ticket: list[None]
    started_at: float = 0.0
    seen_at: float = 0.0
    details: bytes = b""
    ending: Outcome | None = None
    killed: bool = False
    cut_at: float = -math.inf
    lone: bool = False
    slot: int = 0

    def take(self) -> bool:
        """True for one caller: the one that starts the job, or that sees to it that it never starts."""
        try:
            self.ticket.pop()
        except IndexError:
            return False
        return True

    def late(self, now: float) -> Outcome | None:
        """Return how it ends because of the time, None while it is not late."""
        task = self.task
        if task.timeout_s is not None and now >= self.started_at + task.timeout_s:
            return timed_out(task.activity, task.timeout_s)
        if task.heartbeat_timeout_s is not None and now >= self.seen_at + task.heartbeat_timeout_s:
            return silent(task.activity, task.heartbeat_timeout_s)
        return None

    def late_at(self) -> float:
        """Return when it is late if nothing is heard of it."""
        task = self.task
        return min(
            math.inf if task.timeout_s is None else self.started_at + task.timeout_s,
            math.inf if task.heartbeat_timeout_s is None else self.seen_at + task.heartbeat_timeout_s,
        )

    def begin(self, now: float) -> None:
        """Note that its code runs from here."""
        self.started_at = self.seen_at = now
        self.ledger.note(self.slot, self.key)

    @property
    def last(self) -> bytes | None:
        return self.task.last_heartbeat

    def beat(self, details: bytes) -> None:
        self.details = details
        self.ledger.beat(self)

    def info(self) -> ActivityInfo:
        """Return what ``activity_info()`` shows."""
        timeout_s = self.task.timeout_s
        return info_of(
            self.task, None if timeout_s is None else self.started_at + timeout_s - self.ledger.now()
        )


def job_of(task: Execute, definition: Activity[..., Any], ledger: Ledger, slot: int = 0) -> Job:
    """Return the job of an attempt, which `take` may take once."""
    timed = task.timeout_s is not None or task.heartbeat_timeout_s is not None
    key = (task.run, task.seq, task.attempt)
    return Job(task, definition, ledger, key, definition.options.isolate, timed, [None], slot=slot)


def info_of(task: Execute, left_s: float | None) -> ActivityInfo:
    """Return what ``activity_info()`` shows of an attempt that times out in ``left_s``; the deadline is as exact as the
    wall clock, and one beyond the calendar is none."""
    return ActivityInfo(
        run_id=UUID(bytes=task.run),
        activity=task.activity,
        attempt=task.attempt,
        idempotency_key=task.idempotency_key,
        deadline=None if left_s is None else _moment_in(left_s),
    )


def _moment_in(seconds: float) -> datetime | None:
    try:
        return datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


class Ledger:
    """Open attempts, and the results that the worker has not taken yet.

    ``wake`` is called from any thread when there is something to take, once until it is taken.
    """

    def __init__(self, wake: Callable[[], None], clock: Clock, register: Register = NOTHING_NOTED) -> None:
        self._wake, self.note = wake, register.note
        self.now = clock.monotonic
        self._open: dict[Key, Job] = {}
        self._finished: deque[Finished] = deque()
        self._woken = False
        self._beats: dict[Key, bytes] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, job: Job) -> None:
        self._open[job.key] = job

    def end(self, job: Job, outcome: Outcome) -> bool:
        """Note how ``job`` ended; False if its end was decided before."""
        if self._open.pop(job.key, None) is None:
            return False
        self.report(job.task, outcome, b"" if outcome.ok else job.details, wakes=not job.lone)
        return True

    def beat(self, job: Job) -> None:
        """Note that ``job`` lives; what is over is not heard."""
        job.seen_at = self.now()
        if job.key in self._open:
            is_first = not self._beats
            self._beats[job.key] = job.details
            if is_first:
                self._wake()

    @property
    def beating(self) -> bool:
        return bool(self._beats)

    def beats(self) -> list[tuple[Key, bytes]]:
        """Return the last details of every job that was heard of since the last call."""
        taken: list[tuple[Key, bytes]] = []
        try:
            while True:
                taken.append(self._beats.popitem())
        except KeyError:
            return taken

    def report(self, task: Execute, outcome: Outcome, details: bytes = b"", *, wakes: bool = True) -> None:
        result = Finished(
            task.run,
            task.seq,
            task.attempt,
            outcome.ok,
            outcome.payload,
            outcome.timed_out,
            outcome.retryable,
            details,
        )
        self._finished.append(result)
        if wakes and not self._woken:
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
