"""Leader and followers: the thread that has the loop runs a lone, brief attempt itself.

To hand an attempt to another thread, and its result back, costs two switches between cores, more than a brief attempt
takes. So the leader, the thread that turns the shell, puts its lead down, runs the job, and takes the lead up again::

    leader:    listen ── put the lead down ── run the job ── take it up ──► tick, listen
                                │                                └─ gone ─► wake the loop, help, follow
    follower:  looks every WATCH_S ──the same job at two looks──► take the lead, tick, listen

A job that is not over by then is one in a thread like any other, and the follower leads meanwhile. The lead is a token
in a queue: exactly one thread gets it. There is one follower at most; one that is missing is started with the next job.

To wake the follower for each job would cost half of what is won, and to set a timer as much. So it looks by itself, and
sleeps for good only when no job has come for REST_LOOKS looks. That is slow for a job that takes long; therefore only
what was brief the last time is run here (``ThreadAndLoopExecutor.take_lone``).

The main thread waits for the end, because it must be free to leave while a job runs: the threads here may be
abandoned, as those of the executor (A9). Meanwhile it can be the host of one thing that somebody can end: the event
loop, which an attempt may block, and only the main thread can be broken into (:mod:`continuum.runtime.interrupt`).

Source of the idea: Leader/Followers (Schmidt, O'Ryan, Kircher, Pyarali, Buschmann, 2000), where a leader gives the lead
away before it handles an event; here it is taken from it if that takes long.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from continuum.runtime.job import Job

WATCH_S = 0.02  # the loop stands still for twice as long at most
REST_LOOKS = 50  # without a job, after which a follower waits to be called


class Turns(Protocol):
    """A shell, as its leader sees it."""

    def begin(self) -> None: ...

    def listen(self) -> int | None:
        """Wait for something to happen, and tell the role; return the exit code if the end has come."""
        ...

    def tick(self) -> None:
        """Let the role do what is to be done now, and send what comes of it."""
        ...


class Jobs(Protocol):
    """An executor, as its leader sees it."""

    def take_lone(self) -> Job | None:
        """Take the job that the leader is to run, if there is one."""
        ...

    def run_lone(self, job: Job, leads: Callable[[], bool]) -> bool:
        """Run it in this thread, and return whether the thread ``leads`` afterwards. Who does wakes nobody."""
        ...

    def release_home(self) -> bool:
        """End what the main thread hosts; False if it does not end."""
        ...


class Leading:
    """Turns one shell. ``ready`` is for the leader, ``run`` for the main thread."""

    def __init__(self) -> None:
        self._lead: SimpleQueue[None] = SimpleQueue()  # empty while a thread has it
        self._call: SimpleQueue[None] = SimpleQueue()  # wakes a follower that does not look by itself
        self._ended: SimpleQueue[int | BaseException | Callable[[], None]] = SimpleQueue()
        self._over = self._watching = False
        self._number = 0  # of the job that the leader runs, or ran last
        self._lock = Lock()
        self._followers = 0

    def ready(self) -> bool:
        """True if the leader may run a job, because somebody follows; one that is missing is started, if it can be."""
        if not self._followers:
            self._change(1)
            try:
                self._start(leads=False)
            except RuntimeError:  # there are too many threads
                self._change(-1)
        return bool(self._followers)

    def run(self, shell: Turns, jobs: Jobs) -> int:
        """Turn the shell to its end, and return its exit code. What the loop raises is raised here."""
        self._shell, self._jobs = shell, jobs
        self._start(leads=True)
        while callable(end := self._ended.get()):
            end()
        self._over = True
        self._call.put(None)
        if isinstance(end, BaseException):
            raise end
        return end

    def host(self, work: Callable[[], None]) -> None:
        """Have the main thread do ``work``, which `Jobs.release_home` ends."""
        self._ended.put(work)

    def _end(self, end: int | BaseException) -> None:
        self._ended.put(end)
        if not self._jobs.release_home():
            os._exit(
                end if isinstance(end, int) else 1
            )  # an attempt holds the main thread, in code of its own

    def _start(self, *, leads: bool) -> None:
        Thread(target=self._live, args=[leads], name="continuum-loop-leader", daemon=True).start()

    def _live(self, leads: bool) -> None:
        try:
            if leads:
                self._shell.begin()
            while leads or self._follow():
                if not leads:
                    self._shell.tick()  # which the former leader has put off
                end = self._turns()
                if end is not None:
                    self._end(end)
                    return
                leads = False
                if not self._enlist():
                    return
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._end(error)

    def _enlist(self) -> bool:
        """Become the follower, if there is none."""
        with self._lock:
            if self._followers:
                return False
            self._followers += 1
            return True

    def _change(self, followers: int) -> None:
        with self._lock:
            self._followers += followers

    def _turns(self) -> int | None:
        """Lead to the end, and return the exit code, or until another thread leads."""
        while (end := self._shell.listen()) is None:
            job = self._jobs.take_lone()
            if job is not None:
                self._put_down()
                if not self._jobs.run_lone(job, self._take_up):
                    return None
            self._shell.tick()
        return end

    def _put_down(self) -> None:
        self._number += 1
        self._lead.put(None)
        if not self._watching:  # asked after the number has changed: `_watch` does it the other way round
            self._call.put(None)

    def _take_up(self) -> bool:
        try:
            self._lead.get_nowait()
        except Empty:
            return False
        return True

    def _follow(self) -> bool:
        """Return True with the lead, when it is to be taken; False when all is over."""
        while not self._over:
            self._call.get()
            if self._watch():
                self._watching = False
                self._change(-1)
                return True
        return False

    def _watch(self) -> bool:
        """Look at the leader while it runs jobs; True with the lead, which a job has kept from it for too long."""
        self._watching, seen, looks = True, self._number, 0
        while not self._over:
            time.sleep(WATCH_S)
            looks += 1
            if self._number != seen:
                self._watching, seen, looks = True, self._number, 0
            elif self._take_up():
                return True
            elif not self._watching:
                return False  # the next job finds this said, and calls: none has begun since
            elif looks >= REST_LOOKS:
                self._watching = False
        return False
