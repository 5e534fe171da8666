"""An event loop in a thread of its own for ``async def`` activities: uvloop's where it is installed.

Jobs are handed over in batches, one wake of the loop for each. At most ``limit`` run at a time, the others wait
here. An attempt that runs for too long is cancelled, and has ``GRACE_S`` to clean up before it is given up: then
its result is dropped, its slot is free, and the loop is that much more worn.

Nothing of this happens while an attempt blocks the loop. Whether it turns is seen from outside: `look` leaves it a
question, and the next look finds whether it was answered. Until it is, time-outs are kept there (A9); and if the thread
can be interrupted, an attempt that is over and still blocks meets its cancellation where it is.
"""

from __future__ import annotations

import asyncio
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from threading import Event, Lock, Thread, get_ident

from continuum.core.attempt import Outcome, current_pulse, cut_short, perform_async
from continuum.ports.clock import Clock
from continuum.runtime.interrupt import Interrupt
from continuum.runtime.job import Job
from continuum.runtime.role import log
from continuum.wire.messages import Key

GRACE_S = 5.0
ROUND_S = 0.001  # a loop counts in milliseconds
Host = Callable[[Callable[[], None]], None]


def in_thread(work: Callable[[], None]) -> None:
    """The host of a loop that has a thread to itself."""
    Thread(target=work, name="continuum-loop", daemon=True).start()


class LoopThread:
    """``end`` notes how a job ended, False if that was decided before. ``host`` lets a thread run the loop. Other state
    belongs to the loop's thread, or, in `look`, to the caller's while that is blocked."""

    def __init__(
        self, end: Callable[[Job, Outcome], bool], limit: int, clock: Clock, host: Host = in_thread
    ) -> None:
        self._end, self._limit, self._clock, self._host = end, limit, clock, host
        self._incoming: deque[Job] = deque()
        self._waiting: deque[Job] = deque()
        self._tasks: dict[Key, tuple[asyncio.Task[None], Job]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._watches: dict[Key, asyncio.TimerHandle] = {}  # of jobs that time may end
        self._told = self._closed = False
        self._start_lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ident = 0
        self._interrupt: Interrupt | None = None
        self._asked_at: float | None = None  # since when a question waits for its answer
        self.over = Event()

    @property
    def queued(self) -> int:
        return len(self._incoming) + len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._tasks)

    @property
    def lost(self) -> int:
        return len(self._given_up)

    def put(self, job: Job) -> None:
        self._incoming.append(job)
        if not self._told:
            self._told = True
            try:
                self._call(self._take)
            except BaseException:
                self._told = False  # the next one tries again
                raise

    def stop(self, key: Key) -> None:
        """Cancel a running job; its end is not noted, because it is out of the ledger already."""
        self._call(partial(self._cancel, key))

    def close(self) -> None:
        """Cancel what runs and end the loop, without waiting for either."""
        with self._start_lock:
            if self._loop is not None and not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._shut)

    def end_within(self, limit_s: float) -> bool:
        """Close the loop and return True once its host has its thread again, which may take an interruption; False if
        it does not come back."""
        self.close()
        if self._loop is None or self.over.wait(limit_s):
            return True
        if self._interrupt is None:
            return False
        for _, job in self._tasks.copy().values():
            job.killed = True
        self._interrupt.ask()
        return self.over.wait(limit_s)

    def look(self, now: float) -> float:
        """Return for how long the loop is known not to have turned, and leave it a question if it does turn."""
        if self._asked_at is not None:
            return now - self._asked_at
        if self._tasks or self.queued:
            self._asked_at = now
            self._call(self._answer)
        return 0.0

    def forgive(self, away_s: float) -> None:
        """Do not count so much of the time for which it has not answered."""
        if self._asked_at is not None:
            self._asked_at += away_s

    def expire(self, now: float) -> None:
        """While the loop is blocked: end the jobs whose time is over, and interrupt one of them that blocks it."""
        over = False
        for _, job in self._tasks.copy().values():
            late = job.late(now) if job.ending is None else None
            if late is not None:
                job.ending = late
                self._end(job, late)
            over = over or job.ending is not None or job.killed
        if over and self._interrupt is not None:
            self._interrupt.ask()

    def steal(self) -> list[Job]:
        """Take the jobs that wait, of a loop that is blocked."""
        stolen: list[Job] = []
        for jobs in (self._waiting, self._incoming):
            with suppress(IndexError):
                while True:
                    stolen.append(jobs.popleft())
        return stolen

    def blocking(self) -> tuple[Job | None, str]:
        """Return the job that runs now, None if that is not known, and the stack of the loop's thread."""
        frame = sys._current_frames().get(self._ident)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        current = asyncio.current_task(self._loop) if self._loop is not None else None
        for task, job in self._tasks.copy().values():
            if task is current:
                return job, stack
        return None, stack

    def _shut(self) -> None:
        assert self._loop is not None, "only the running loop calls this"
        self._waiting.clear()
        for task, _ in self._tasks.values():
            task.cancel()
        self._loop.call_soon(self._loop.stop)  # after the cancellations

    def _call(self, function: Callable[[], None]) -> None:
        with self._start_lock:
            if self._closed:
                return
            if self._loop is None:
                self._loop = loop = _new_loop()
                try:
                    self._host(partial(self._main, loop))
                except BaseException:
                    self._loop = None
                    loop.close()
                    raise
            self._loop.call_soon_threadsafe(function)

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ident = get_ident()
        asyncio.set_event_loop(loop)
        self._interrupt = Interrupt.of_this_thread(_is_to_be_cut)
        try:
            while not (_run(loop) and self._closed) and not loop.is_closed():
                log.warning("what a task of an activity did would have ended its event loop, which goes on")
        finally:
            loop.close()
            self.over.set()

    def _answer(self) -> None:
        self._asked_at = None

    def _take(self) -> None:
        self._told = False  # first: what is appended from now on tells again
        with suppress(IndexError):
            while True:
                self._waiting.append(self._incoming.popleft())
        self._fill()

    def _fill(self) -> None:
        assert self._loop is not None, "only the running loop calls this"
        while self._waiting and len(self._tasks) < self._limit:
            try:
                job = self._waiting.popleft()
            except IndexError:  # stolen in this moment
                return
            if job.take():
                try:
                    job.begin(self._clock.monotonic())
                    task = self._loop.create_task(self._perform(job), context=Context())
                except Exception as error:  # noqa: BLE001 - whatever it is, the attempt has an outcome
                    self._end(job, cut_short(job.task.activity, error))
                    continue
                self._tasks[job.key] = task, job
                task.add_done_callback(partial(self._done, job.key))

    async def _perform(self, job: Job) -> None:
        if job.timed:
            self._watch(job)
        outcome = await perform_async(job.definition, job.task.args, job.info, job)
        self._end(job, outcome if job.ending is None else job.ending)

    def _done(self, key: Key, ended: asyncio.Task[None]) -> None:
        self._given_up.discard(ended)
        running = self._tasks.get(key)
        if running is not None and running[0] is ended:
            del self._tasks[key]
            watch = self._watches.pop(key, None)
            if watch is not None:
                watch.cancel()
            error = asyncio.CancelledError() if ended.cancelled() else ended.exception()
            if error is not None:  # not of its code, whose errors are outcomes
                self._end(running[1], cut_short(running[1].task.activity, error))
        self._fill()

    def _watch(self, job: Job) -> None:
        """Look at the job again when it may be late."""
        assert self._loop is not None, "only the running loop calls this"
        wait_s = max(job.late_at() - self._clock.monotonic(), 0.0)
        self._watches[job.key] = self._loop.call_later(wait_s + ROUND_S, self._look, job)

    def _look(self, job: Job) -> None:
        assert self._loop is not None, "only the running loop calls this"
        job.ending = job.ending or job.late(self._clock.monotonic())
        if job.ending is None:
            self._watch(job)
        else:
            if job.cut_at == -math.inf:  # else it has been told
                self._cancel(job.key)
            self._watches[job.key] = self._loop.call_later(GRACE_S, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        running = self._tasks.get(job.key)
        if running is None or job.ending is None:
            return
        self._end(job, job.ending)
        self._watches.pop(job.key, None)
        del self._tasks[job.key]
        self._given_up.add(running[0])
        self._fill()

    def _cancel(self, key: Key) -> None:
        running = self._tasks.get(key)
        if running is not None:
            running[0].cancel()


def _run(loop: asyncio.AbstractEventLoop) -> bool:
    """Return True when the loop was stopped, False if an exit was raised through it."""
    try:
        loop.run_forever()
    except BaseException:  # noqa: BLE001 - SystemExit of a task that an activity left behind ends no worker (A4)
        return loop.is_closed()
    return True


def _is_to_be_cut() -> bool:
    """True, once in its grace, if this thread runs code of an attempt that nobody waits for any more."""
    job = current_pulse()
    if not isinstance(job, Job) or (job.ending is None and not job.killed):
        return False
    now = job.ledger.now()
    if now < job.cut_at + GRACE_S:
        return False
    job.cut_at = now
    return True


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
