"""Threads for ``def`` activities: one runs short ones back to back, others join only while work waits.

Handing every task to a thread of its own costs a switch per task, many times what a tiny activity takes. Here the
running thread takes the next task itself; when the queue is empty, one thread waits for it, the rest are parked::

    [running] ──queue empty──► [waiting]: at most one        queue not empty, and for STALL_S nothing has
        ▲   └──one waits already──► [parked] ──────────────► finished: 1, 2, 4, ... parked or new threads join
        └────────────────────────────┘

A thread whose task was abandoned is lost until the task returns, and another takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from continuum.ports.clock import Clock
from continuum.runtime.job import Job
from continuum.runtime.role import log

STALL_S = 0.001
PAUSE_MAX_S = 0.1  # between two looks while every slot is taken


class Threads:
    """``run`` runs a job in the calling thread, and returns False if the job was abandoned meanwhile; ``fail`` does so
    with one that could not be run, for the reason that it is given. At most ``limit`` threads run at a time, besides
    the lost ones."""

    def __init__(
        self,
        run: Callable[[Job], bool],
        fail: Callable[[Job, BaseException], bool],
        limit: int,
        clock: Clock,
    ) -> None:
        self._run, self._fail, self._limit, self._clock = run, fail, limit, clock
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting = Lock()  # held by the thread that waits for the queue
        self._parked: list[Lock] = []
        self._lent: list[Lock] = []  # parked, and their slots are used by threads that have entered
        self._count_lock = Lock()
        self._count = 0
        self.lost = 0
        self._progress_at = -math.inf
        self._pause_s, self._join = STALL_S, 1

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def put(self, job: Job) -> None:
        now = self._clock.monotonic()
        idle = self._waiting.locked()
        self._queue.put(job)
        if idle:
            self._progress_at = now  # the waiting thread has it from here
        elif now - self._progress_at >= STALL_S:
            self._add(1)
            self._progress_at = now

    def tick(self) -> None:
        now = self._clock.monotonic()
        if not self._queue.qsize():
            self._join = 1
        elif now - self._progress_at < STALL_S:
            self._pause_s, self._join = STALL_S, 1
        elif self.wake_at() <= now:
            added = self._add(min(self._join, self._queue.qsize()))
            self._join *= 2
            self._pause_s = STALL_S if added else min(2 * self._pause_s, PAUSE_MAX_S)
            if added:
                self._progress_at = now

    def wake_at(self) -> float:
        return self._progress_at + self._pause_s if self._queue.qsize() else math.inf

    def lose(self, count: int) -> None:
        """Count a thread as lost (1), or as found again (-1)."""
        with self._count_lock:
            self.lost += count

    def enter(self) -> bool:
        """Count the caller as a thread of these, which may run a job; False if every slot is taken."""
        with self._count_lock:
            if self._count - self.lost < self._limit:
                self._count += 1
                return True
        try:
            self._lent.append(self._parked.pop())
        except IndexError:
            return False
        return True

    def leave(self) -> None:
        """Undo an ``enter``."""
        try:
            self._parked.append(self._lent.pop())
        except IndexError:
            with self._count_lock:
                self._count -= 1

    def perform(self, job: Job) -> None:
        """Run a job in the calling thread, unless it was stopped before."""
        now = self._clock.monotonic
        if job.take():
            try:
                job.begin(now())
                kept = Context().run(self._run, job)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the attempt has an outcome
                kept = self._fail(job, error)
            if not kept:
                self.lose(-1)
        self._progress_at = now()

    def help(self) -> None:
        """Run what is queued in the calling thread, which has entered: no other may have joined in its place."""
        try:
            while self._count - self.lost <= self._limit and (job := self._queue.get_nowait()) is not None:
                self.perform(job)
        except Empty:
            pass

    def close(self) -> None:
        """Let every thread end after what it runs; queued jobs are dropped."""
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            pass
        for _ in range(self._count):
            self._queue.put(None)
        while self._parked:
            self._parked.pop().release()

    def _add(self, count: int) -> int:
        """Let up to so many threads join; return how many did."""
        for added in range(count):
            try:
                self._parked.pop().release()
            except IndexError:
                with self._count_lock:
                    if self._count - self.lost >= self._limit:
                        return added
                    self._count += 1
                try:
                    Thread(target=self._main, name="continuum-activity", daemon=True).start()
                except RuntimeError as error:  # there are too many threads: what waits is looked at again
                    self._gone()
                    log.warning("no thread can be started for activities: %s", error)
                    return added
        return count

    def _main(self) -> None:
        try:
            while (job := self._next()) is not None:
                self.perform(job)
                if self._count - self.lost > self._limit and self._is_surplus():
                    return
        except BaseException:
            self._gone()
            raise
        self._gone()

    def _gone(self) -> None:
        with self._count_lock:
            self._count -= 1

    def _next(self) -> Job | None:
        while True:
            try:
                return self._queue.get_nowait()
            except Empty:
                if self._waiting.acquire(blocking=False):
                    try:
                        return self._queue.get()
                    finally:
                        self._waiting.release()
            gate = Lock()
            gate.acquire()
            self._parked.append(gate)
            gate.acquire()

    def _is_surplus(self) -> bool:
        """A lost thread that came back may find its place taken; it ends then."""
        with self._count_lock:
            if self._count - self.lost <= self._limit:
                return False
            self._count -= 1
            return True
