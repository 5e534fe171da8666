"""The worker's side of ``isolate=True``: starts a process for each attempt, hears it, and kills it (A9).

An attempt occupies a thread of the worker, that reads what its process says. After the first one a spare process is
kept, which has the module imported already; a worker without such activities starts none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

from continuum.core.attempt import Outcome, died
from continuum.core.definitions import Activity
from continuum.core.naming import name_of
from continuum.ports.clock import Clock
from continuum.runtime.isolated import Beat, Ended, Prepare, Run, read_frame, write_frame
from continuum.runtime.job import Job

_LAUNCH = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from continuum.runtime.isolated import main; main(*map(int, sys.argv[2:]))"
)
_REAP_S = 5.0


class IsolatedProcess:
    """A process that waits for its attempt, runs it, or has ended."""

    def __init__(self) -> None:
        lifeline, self._lifeline = os.pipe()
        requests, self._requests = os.pipe()
        answers, writer = os.pipe()
        self._answers = os.fdopen(answers, "rb")
        self._lock = Lock()
        theirs = (lifeline, requests, writer)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, json.dumps(sys.path), *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,
            )
        except OSError:
            self.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def prepare(self, module: str) -> None:
        write_frame(self._requests, Prepare(module))

    def run(self, run: Run, beat: Callable[[bytes], None]) -> Outcome | None:
        """Return the outcome of the attempt, None if the process ended without one."""
        try:
            write_frame(self._requests, run)
        except BrokenPipeError:
            return None
        while (frame := read_frame(self._answers)) is not None:
            match frame:
                case Beat(details):
                    beat(details)
                case Ended(outcome):
                    return outcome
                case _:
                    break
        return None

    def kill(self) -> None:
        """Kill it with its children. From any thread, any number of times."""
        with self._lock:
            lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)

    def close(self) -> None:
        """Kill it, and let its pipes go; only the thread that runs it may."""
        self.kill()
        os.close(self._requests)
        self._answers.close()

    def reap(self) -> int | None:
        """Return its exit code, once it has been killed or has ended; None if it takes too long."""
        try:
            return self._popen.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            return None

    def how_it_ended(self) -> str:
        code = self.reap()
        if code is None:
            return "it does not answer any more"
        return f"killed by signal {code - 128}" if code > 128 else f"exit code {code}"


class Isolation:
    """The isolated attempts of one worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._running: dict[Job, IsolatedProcess] = {}
        self._ended: list[IsolatedProcess] = []  # killed, but not dead yet
        self._spare: IsolatedProcess | None = None
        self._closed = False

    def run(self, job: Job) -> Outcome:
        """Run the attempt in a process of its own; in the calling thread nothing of the user's runs."""
        task, module = job.task, _module_of(job.definition)
        try:
            process = self._begin(job)
        except OSError as error:
            return died(task.activity, f"it could not be started: {error}")
        try:
            left_s = (
                None if task.timeout_s is None else job.started_at + task.timeout_s - self._clock.monotonic()
            )
            self._warm(module)
            outcome = process.run(Run(module, task, left_s), job.beat)
            if outcome is None:
                process.kill()
                outcome = died(task.activity, process.how_it_ended())
            return outcome
        finally:
            with self._lock:
                del self._running[job]
            process.close()
            if process.reap() is None:
                with self._lock:
                    self._ended.append(process)

    def kill(self, job: Job) -> None:
        """Kill the process of the attempt, also one that is about to be started."""
        with self._lock:
            job.killed = True
            process = self._running.get(job)
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Kill all processes."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
            running = list(self._running.values())
        for process in running:
            process.kill()
        if spare is not None:
            spare.close()
            spare.reap()

    def _begin(self, job: Job) -> IsolatedProcess:
        with self._lock:
            self._ended = [process for process in self._ended if not process.ended]
            process, self._spare = self._spare, None
        if process is not None and process.ended:
            process.close()
            process = None
        if process is None:
            process = IsolatedProcess()
        with self._lock:
            self._running[job] = process
            unwanted = job.killed or self._closed
        if unwanted:
            process.kill()
        return process

    def _warm(self, module: str) -> None:
        """Start the next one's process while this one runs."""
        with self._lock:
            if self._spare is not None or self._closed:
                return
            try:
                self._spare = IsolatedProcess()
                self._spare.prepare(module)
            except OSError:
                self._spare = None  # no spare then: the next attempt tries again, and says why


def _module_of(definition: Activity[..., Any]) -> str:
    """The name by which a fresh interpreter imports the activity."""
    return name_of(definition.fn).removesuffix(f".{definition.fn.__qualname__}")
