"""The worker's side of ``isolate=True``: starts a process for each attempt, hears it, and kills it (A9).

An attempt occupies a thread of the worker, that reads what its process says. After the first one a spare process is
kept, which has the module imported already; a worker without such activities starts none.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

from continuum.core.attempt import Outcome, died
from continuum.core.definitions import Activity
from continuum.core.naming import name_of
from continuum.errors import WireError
from continuum.ports.clock import Clock
from continuum.runtime.isolated import Beat, Ended, Prepare, Run, encode_frame, take_frame
from continuum.runtime.job import Job
from continuum.runtime.role import log
from continuum.surroundings import interpreter, pipe

_LAUNCH = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from continuum.runtime.isolated import main; main(*map(int, sys.argv[2:]))"
)
_REAP_S = 5.0
_LOOK_S = 1.0  # between two looks whether a kill has had its effect
_PART_BYTES = 1 << 16


class IsolatedProcess:
    """A process that waits for its attempt, runs it, or has ended.

    What the keeper says is its life: it writes who the activity process is, and while the pipe is open it lives. So
    its end is noticed too if processes that the attempt has left behind keep the other pipes open.
    """

    def __init__(self) -> None:
        opened: list[int] = []
        try:
            for _ in range(4):
                opened += pipe()
            lifeline, self._lifeline, requests, self._requests, answers, writer, life, keeper = opened
            theirs = (lifeline, requests, writer, keeper)
            self._popen = subprocess.Popen(
                [interpreter(), "-c", _LAUNCH, json.dumps([*map(os.fspath, sys.path)]), *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,
            )
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise
        for descriptor in theirs:
            os.close(descriptor)
        self._answers, self._life = answers, life
        for descriptor in (self._requests, answers, life):
            os.set_blocking(descriptor, False)
        self._lock = Lock()
        self._killed_at = math.inf
        self._group = 0  # of the activity process, once the keeper has said it

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def prepare(self, module: str) -> None:
        os.write(self._requests, encode_frame(Prepare(module)))  # the pipe is empty: it takes a name

    def run(self, run: Run, beat: Callable[[bytes], None]) -> Outcome | None:
        """Return the outcome of the attempt, None if the process ended without one.

        Raises:
            WireError: what the process says is no frame.
            OSError: a pipe fails.
        """
        unsent, said = memoryview(encode_frame(run)), bytearray()
        poll = select.poll()
        poll.register(self._requests, select.POLLOUT)
        poll.register(self._answers, select.POLLIN)
        poll.register(self._life, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(_LOOK_S * 1000)}
            if self._requests in ready:
                unsent = unsent[_send(self._requests, unsent) :]
                if not unsent:
                    poll.unregister(self._requests)
            ended = self._life in ready and not self._hear_keeper()
            if self._answers in ready:
                ended |= not _fill(self._answers, said)
            while ended and _fill(self._answers, said):
                pass  # what was said last
            while (frame := take_frame(said)) is not None:
                match frame:
                    case Beat(details):
                        beat(details)
                    case Ended(outcome):
                        return outcome
                    case _:
                        raise WireError("a process of an isolated activity sent what only its worker sends")
            if ended:
                return None
            if time.monotonic() >= self._killed_at + _REAP_S:
                self._popen.kill()  # the keeper does not do its work: the activity process dies with it

    def kill(self) -> None:
        """Kill it with its children. From any thread, any number of times."""
        with self._lock:
            lifeline, self._lifeline = self._lifeline, -1
        if lifeline >= 0:
            os.close(lifeline)
            self._killed_at = time.monotonic()

    def close(self) -> None:
        """Kill it, and let its pipes go; only the thread that runs it may."""
        with suppress(OSError):  # an activity in a thread of this process may have closed any of them
            self.kill()
        for descriptor in (self._requests, self._answers, self._life):
            with suppress(OSError):
                os.close(descriptor)

    def reap(self) -> int | None:
        """Return its exit code, once it has been killed or has ended; None if it takes too long."""
        try:
            return self._popen.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return None

    def how_it_ended(self) -> str:
        code = self.reap()
        if code is None:
            return "it does not answer any more"
        if code < 0:
            return f"its keeper was killed by signal {-code}"
        return f"killed by signal {code - 128}" if code > 128 else f"exit code {code}"

    def _hear_keeper(self) -> bool:
        """Note who the activity process is; False if the keeper has ended. Killed from outside, it has left the rest
        of the activity's process group to us."""
        said = os.read(self._life, 64)
        if said:
            self._group = int.from_bytes(said, "big")
            return True
        if self._popen.wait() < 0 and self._group:
            with suppress(OSError):
                os.killpg(self._group, signal.SIGKILL)
        return False


def _send(descriptor: int, data: memoryview) -> int:
    """Return how much of it the pipe took; all of it if nobody reads, which is seen at the other pipes."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def _fill(descriptor: int, said: bytearray) -> bool:
    """Append what has come; False if nothing has."""
    try:
        part = os.read(descriptor, _PART_BYTES)
    except BlockingIOError:
        return False
    said += part
    return bool(part)


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
        """Run the attempt in a process of its own; in the calling thread nothing of the user's runs. Whatever goes
        wrong here is the end of this attempt."""
        task = job.task
        try:
            process = self._begin(job)
        except Exception as error:  # noqa: BLE001 - descriptors, processes, memory: anything may be short
            return died(task.activity, f"it could not be started: {error}")
        try:
            return self._outcome(job, process)
        except Exception as error:  # noqa: BLE001 - such as junk on its pipe
            log.exception("the process of %s cannot be heard; it is killed", task.activity)
            return died(task.activity, f"it cannot be heard any more: {type(error).__name__}: {error}")
        finally:
            self._leave(job, process)

    def _outcome(self, job: Job, process: IsolatedProcess) -> Outcome:
        task, module = job.task, _module_of(job.definition)
        left_s = None if task.timeout_s is None else job.started_at + task.timeout_s - self._clock.monotonic()
        self._warm(module)
        outcome = process.run(Run(module, task, left_s), job.beat)
        if outcome is None:
            process.kill()
            outcome = died(task.activity, process.how_it_ended())
        return outcome

    def _leave(self, job: Job, process: IsolatedProcess) -> None:
        with self._lock:
            self._running.pop(job, None)
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
                spare = IsolatedProcess()
            except Exception:  # noqa: BLE001 - no spare then: the next attempt tries again, and says why
                return
            with suppress(OSError):  # it has ended, as the next attempt will see
                spare.prepare(module)
            self._spare = spare


def _module_of(definition: Activity[..., Any]) -> str:
    """The name by which a fresh interpreter imports the activity."""
    return name_of(definition.fn).removesuffix(f".{definition.fn.__qualname__}")
