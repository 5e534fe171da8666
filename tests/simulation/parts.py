"""What stands in for threads and connections in a simulated node: an engine's lanes, and a worker's executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from continuum.core.attempt import ActivityInfo, perform, timed_out
from continuum.core.definitions import registry
from continuum.errors import JournalError
from continuum.ports.offload import Completion, Desk, Lane
from continuum.runtime.engine import Engine
from continuum.wire.messages import Execute, Finished, Key

if TYPE_CHECKING:
    from tests.simulation.world import Process


class Lanes:
    """Journal work of one engine: it happens a little later, its answer arrives a little later again, or never. What an
    engine has sent happens also when it is dead, at times much later: the server was busy with it. By then the runs
    may be another's, and only the fence knows."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        world = self._process.world
        world.clock.after(world.latency_s(), lambda: self._happen(ticket, work))

    def _happen(self, ticket: int, work: Callable[[Desk], object], late: bool = False) -> None:
        world = self._process.world
        if not self._process.alive and not late and world.random.random() < 0.5:
            delay_s = world.random.expovariate(1 / 0.5)
            world.clock.after(delay_s, lambda: self._happen(ticket, work, late=True))
            return
        try:
            completion = Completion(ticket, work(Desk(world.journal_of(self._process), world.store.dispatch)))
        except JournalError as error:
            completion = Completion(ticket, error=error)
        world.clock.after(world.latency_s(), lambda: self._answer(completion))

    def _answer(self, completion: Completion) -> None:
        if self._process.alive:
            role = self._process.role
            assert isinstance(role, Engine)
            role.complete(completion)
            self._process.run()


class Notes:
    """What the workers of all lives of the node have begun; it survives them (A16)."""

    def __init__(self) -> None:
        self._of: dict[str, set[Key]] = {}
        self.live: set[str] = set()  # incarnations of workers
        self.boot = ""

    def open(self, incarnation: str) -> None:
        self._of[incarnation] = set()
        self.live.add(incarnation)

    def note(self, incarnation: str, key: Key) -> None:
        self._of[incarnation].add(key)

    def begun(self, boot: str, incarnation: str | None = None) -> Set[Key] | None:
        if incarnation is not None:
            return None if incarnation in self.live else self._of[incarnation]
        mine = [name for name in self._of if name.partition("-")[0] == boot]
        if boot != self.boot and self.live.intersection(mine):
            return None
        return set().union(*(self._of[name] for name in mine if name not in self.live))


class Bench:
    """The executor of a worker: an attempt takes a random while, and runs at its end."""

    def __init__(self, process: Process, slots: int) -> None:
        self._process, self._slots = process, slots
        self._running: dict[Key, Execute] = {}
        self._queue: list[Execute] = []
        self._finished: list[Finished] = []
        self.worn_out = self.beating = False
        self.stuck: list[str] = []

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def queued(self) -> int:
        return len(self._queue)

    def start(self, task: Execute, slot: int = 0) -> None:
        self._queue.append(task)
        self._fill()

    def stop(self, key: Key) -> None:
        self._queue = [task for task in self._queue if task.key != key]
        self._running.pop(key, None)

    def finished(self) -> Sequence[Finished]:
        finished, self._finished = self._finished, []
        return finished

    def heartbeats(self) -> Sequence[tuple[Key, bytes]]:
        return ()

    def tick(self) -> None:
        self._fill()

    def wake_at(self) -> float:
        return float("inf")

    def _fill(self) -> None:
        while self._queue and len(self._running) < self._slots:
            task = self._queue.pop(0)
            self._running[task.key] = task
            self._process.world.note_start(task)
            self._process.world.notes.note(self._process.incarnation, task.key)
            world = self._process.world
            world.clock.after(world.random.expovariate(1 / world.attempt_s), partial(self._end, task))

    def _end(self, task: Execute) -> None:
        if not self._process.alive or self._running.pop(task.key, None) is None:
            return
        info = ActivityInfo(run_id=UUID(bytes=task.run), activity=task.activity, attempt=task.attempt)
        outcome = perform(registry.activity(task.activity), task.args, lambda: info)
        if task.timeout_s is not None and self._process.world.random.random() < 0.2:
            outcome = timed_out(task.activity, task.timeout_s)
        self._finished.append(
            Finished(
                task.run,
                task.seq,
                task.attempt,
                outcome.ok,
                outcome.payload,
                outcome.timed_out,
                outcome.retryable,
            )
        )
        self._process.run()
