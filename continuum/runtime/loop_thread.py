"""An event loop in a thread of its own for ``async def`` activities: uvloop's where it is installed.

Jobs are handed over in batches, one wake of the loop for each. At most ``limit`` run at a time, the others wait
here. An attempt that runs for too long is cancelled, and has ``GRACE_S`` to clean up before it is given up: then
its result is dropped, its slot is free, and the loop is that much more worn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from threading import Lock, Thread

from continuum.core.attempt import Outcome, perform_async
from continuum.ports.clock import Clock
from continuum.runtime.job import Job
from continuum.wire.messages import Key

GRACE_S = 5.0
ROUND_S = 0.001  # a loop counts in milliseconds


class LoopThread:
    """``end`` notes how a job ended, False if that was decided before. All other state belongs to the loop's thread."""

    def __init__(self, end: Callable[[Job, Outcome], bool], limit: int, clock: Clock) -> None:
        self._end, self._limit, self._clock = end, limit, clock
        self._incoming: deque[Job] = deque()
        self._waiting: deque[Job] = deque()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._watches: dict[Key, asyncio.TimerHandle] = {}  # of jobs that time may end
        self._told = self._closed = False
        self._start_lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def queued(self) -> int:
        return len(self._incoming) + len(self._waiting)

    @property
    def lost(self) -> int:
        return len(self._given_up)

    def put(self, job: Job) -> None:
        self._incoming.append(job)
        if not self._told:
            self._told = True
            self._call(self._take)

    def stop(self, key: Key) -> None:
        """Cancel a running job; its end is not noted, because it is out of the ledger already."""
        self._call(partial(self._cancel, key))

    def close(self) -> None:
        """Cancel what runs and end the loop, without waiting for either."""
        with self._start_lock:
            if self._loop is not None and not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._shut)

    def _shut(self) -> None:
        assert self._loop is not None, "only the running loop calls this"
        self._waiting.clear()
        for task in self._tasks.values():
            task.cancel()
        self._loop.call_soon(self._loop.stop)  # after the cancellations

    def _call(self, function: Callable[[], None]) -> None:
        with self._start_lock:
            if self._closed:
                return
            if self._loop is None:
                self._loop = _new_loop()
                Thread(target=self._main, args=[self._loop], name="continuum-loop", daemon=True).start()
            self._loop.call_soon_threadsafe(function)

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _take(self) -> None:
        self._told = False  # first: what is appended from now on tells again
        while self._incoming:
            self._waiting.append(self._incoming.popleft())
        self._fill()

    def _fill(self) -> None:
        assert self._loop is not None, "only the running loop calls this"
        while self._waiting and len(self._tasks) < self._limit:
            job = self._waiting.popleft()
            if job.take():
                job.begin(self._clock.monotonic())
                task = self._loop.create_task(self._perform(job), context=Context())
                self._tasks[job.key] = task
                task.add_done_callback(partial(self._done, job.key))

    async def _perform(self, job: Job) -> None:
        if job.timed:
            self._watch(job)
        outcome = await perform_async(job.definition, job.task.args, job.info, job)
        self._end(job, outcome if job.ending is None else job.ending)

    def _done(self, key: Key, ended: asyncio.Task[None]) -> None:
        self._given_up.discard(ended)
        if self._tasks.get(key) is ended:
            del self._tasks[key]
            watch = self._watches.pop(key, None)
            if watch is not None:
                watch.cancel()
        self._fill()

    def _watch(self, job: Job) -> None:
        """Look at the job again when it may be late."""
        assert self._loop is not None, "only the running loop calls this"
        wait_s = max(job.late_at() - self._clock.monotonic(), 0.0)
        self._watches[job.key] = self._loop.call_later(wait_s + ROUND_S, self._look, job)

    def _look(self, job: Job) -> None:
        assert self._loop is not None, "only the running loop calls this"
        job.ending = job.late(self._clock.monotonic())
        if job.ending is None:
            self._watch(job)
        else:
            self._cancel(job.key)
            self._watches[job.key] = self._loop.call_later(GRACE_S, self._give_up, job)

    def _give_up(self, job: Job) -> None:
        task = self._tasks.get(job.key)
        if task is None or job.ending is None:
            return
        self._end(job, job.ending)
        self._watches.pop(job.key, None)
        self._given_up.add(self._tasks.pop(job.key))
        self._fill()

    def _cancel(self, key: Key) -> None:
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
