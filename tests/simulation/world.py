"""A whole node on a virtual clock: the real roles, the memory store, and everything that can go wrong between them.

The transport delays, reorders, doubles and drops; journal operations fail before or after they took effect; any
process is killed at any point and replaced by its next incarnation, as the supervisor would. All of it is drawn from
one seed: the same seed is the same world, event by event.

What must never happen is checked where it would happen: a writer with an older token after a newer one, an attempt that
runs before its event is committed, an attempt that runs twice.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from continuum.core.definitions import registry
from continuum.errors import JournalError
from continuum.memory.store import MemoryStore
from continuum.model.events import ActivityRetried, ActivityScheduled, CompensationScheduled, from_row
from continuum.ports.dispatch import Told
from continuum.ports.journal import RunCommit
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.runtime.role import Ports, Role
from continuum.runtime.router import Router
from continuum.runtime.tasks import return_unbegun
from continuum.runtime.timer import Timer
from continuum.runtime.worker import Worker
from continuum.wire.messages import Execute, Key
from continuum.wire.post import Post
from tests.simulation.parts import Bench, Lanes, Notes

EPOCH = 1_800_000_000.0
NAMES = ("router", "timer", "dispatcher", "engine-1", "engine-2", "worker-1", "worker-2")
BOOT = "b00t"


class Clock:
    """Virtual time: it jumps to the next entry when everybody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def after(self, delay_s: float, entry: Callable[[], None]) -> None:
        heapq.heappush(self._entries, (self.now + max(delay_s, 0.0), next(self._count), entry))

    def step(self) -> None:
        self.now, _, entry = heapq.heappop(self._entries)
        entry()


class Process:
    """One incarnation of one role."""

    def __init__(self, world: World, name: str, incarnation: str) -> None:
        self.world, self.name, self.incarnation = world, name, incarnation
        self.alive = True
        self.hears = False  # by itself, what the database notifies
        self._step_at = float("inf")
        self.post = Post(name, incarnation, world.clock, Wire(self))
        ports = Ports(
            clock=world.clock,
            random=Random(world.random.getrandbits(64)),
            post=self.post,
            node="n",
            instance="default",
            name=name,
            incarnation=incarnation,
            crew=world.crew,
            beginnings=world.notes,
        )
        if name.startswith("worker"):
            world.notes.open(incarnation)
        self.role: Role = world.role_of(self, ports)
        self.role.begin()
        self.schedule()
        if isinstance(self.role, Engine) and world.hearing:
            world.clock.after(world.latency_s(), self._listen)

    def _listen(self) -> None:
        """Hear, until the connection breaks, and again a while later."""
        if not self.alive:
            return
        assert isinstance(self.role, Engine)
        self.hears = not self.hears
        if self.hears:
            self.role.hearing.begin("channel")
        else:
            self.role.hearing.interrupt()
        self.run()
        if self.world.chaos:
            seconds = 10.0 if self.hears else 0.5
            self.world.clock.after(self.world.random.expovariate(1 / seconds), self._listen)

    def receive(self, data: bytes) -> None:
        opened = self.post.open(data)
        if opened is not None:
            self.role.receive(*opened)
        self.run()

    def run(self) -> None:
        self.role.tick()
        self.post.flush()
        if isinstance(self.role, Engine) and self.role.lost:
            self.world.crash(self.name)
            return
        self.schedule()

    def schedule(self) -> None:
        at = max(min(self.role.wake_at(), self.post.wake_at()), self.world.clock.now + 0.001)
        if at < self._step_at:
            self._step_at = at
            self.world.clock.after(at - self.world.clock.now, lambda: self._due(at))

    def _due(self, at: float) -> None:
        if self.alive and self._step_at == at:
            self._step_at = float("inf")
            self.run()


class Wire:
    """The transport of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, to: str, data: bytes) -> bool:
        self._process.world.carry(to, data)
        return True


class WatchedJournal:
    """The journal as one engine sees it; the world looks on."""

    def __init__(self, world: World, owner: str) -> None:
        self._world, self._owner, self._journal = world, owner, world.store.journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> set[UUID]:
        written: set[UUID] = set()
        held = self._world.leases_of(batch)
        try:
            written = self._journal.commit(batch, announce, told)
        finally:
            self._world.note_commit(self._owner, batch, written, held)
        return written


class World:
    """``chaos``: while true, messages get lost, operations fail and processes die. ``attempt_s``: the mean time of an
    attempt of an activity."""

    attempt_s = 0.3

    def __init__(
        self, seed: int, *, loss: float = 0.05, fault: float = 0.02, always_replay: bool = False
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.store = MemoryStore(lambda: EPOCH + self.clock.now)
        self.store.fault = self._fault
        self.store.subscribe(self._notice)
        self.chaos = True
        self.loss, self.fault = loss, fault
        self.hearing = (
            self.random.random() < 0.5
        )  # engines hear by themselves; in other worlds dispatchers claim all
        self.limits = EngineLimits(
            runs_max=self.random.choice([3, 1000]),
            parked_s=self.random.choice([2.0, 60.0]),
            snapshot_every=self.random.choice([None, 3, 20]),
            always_replay=always_replay,
        )
        self.deaths = 0
        self.starts: Counter[Key] = Counter()
        self.crashes: Counter[str] = Counter()
        self.told: Counter[str] = Counter()  # kinds of notices
        self._tokens: dict[UUID, tuple[int, str]] = {}
        self._incarnations = itertools.count(1)
        self.processes: dict[str, Process] = {}
        self.notes = Notes()
        self.rowed: set[tuple[UUID, int, int]] = set()  # attempts that stood in a task row
        self._lives = 0
        self._live()

    @property
    def boot(self) -> str:
        return BOOT if self._lives == 1 else f"{BOOT}{self._lives}"

    @property
    def crew(self) -> str:
        return f"{self.boot}:{self.deaths}"

    def _live(self) -> None:
        """Begin a life of the node."""
        self._lives += 1
        self.deaths, self.notes.boot = 0, self.boot
        for name in NAMES:
            self.start(name)

    # -- processes

    def role_of(self, process: Process, ports: Ports) -> Role:
        store = self.store
        match process.name.partition("-")[0]:
            case "engine":
                loaded = registry.versions()
                return Engine(ports, Lanes(process), registry.workflow, self.limits, loaded)
            case "worker":
                return Worker(ports, Bench(process, 8), store.dispatch, ["default"], 8)
            case "dispatcher":
                return Dispatcher(ports, store.dispatch, store.mailbox, ["default"])
            case "timer":
                return Timer(ports, store.mailbox)
            case _:
                return Router(ports, store.mailbox)

    def start(self, name: str) -> None:
        process = Process(self, name, f"{self.boot}-{next(self._incarnations)}")
        others = list(self.processes.values())
        self.processes[name] = process
        for other in others:
            process.role.peer_up(other.name, other.incarnation, self.crew)
            other.role.peer_up(name, process.incarnation, self.crew)
            other.schedule()
        process.schedule()

    def crash(self, name: str) -> None:
        """Kill -9: nothing of the process happens any more; the supervisor tells the others and starts the next."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        self._end(process)
        self.deaths += name.startswith("worker")
        crew = self.crew
        for other in list(self.processes.values()):
            delay_s = self.random.expovariate(1 / 0.01)
            self.clock.after(delay_s, partial(self._tell_death, other, process, crew))
        self.clock.after(
            0.05 + self.random.expovariate(1 / 0.2), partial(self._start_again, name, self._lives)
        )

    def crash_together(self) -> None:
        """Kill an engine and both workers in one moment: no survivor knows what they had."""
        for name in (self.random.choice(["engine-1", "engine-2"]), "worker-1", "worker-2"):
            self.crash(name)

    def crash_node(self) -> None:
        """Kill all processes, the supervisor too; the node comes back in a new life."""
        if not self.processes:
            return  # it is about to come back
        dead, self.processes = list(self.processes.values()), {}
        for process in dead:
            self._end(process)
        self.clock.after(0.2 + self.random.expovariate(1 / 2.0), lambda: self._come_back(dead))

    def _come_back(self, dead: Sequence[Process]) -> None:
        """As the check before a start does, and after a real fault of the database it tries again."""
        fault, self.store.fault = self.store.fault, None
        owners = [f"n/default/{process.name}/{process.incarnation}" for process in dead]
        for owner in owners:
            if "/dispatcher/" in owner:
                return_unbegun(self.store.dispatch, self.notes, owner)
        self.store.dispatch.retire(owners)
        self.store.fault = fault
        self._live()

    def _start_again(self, name: str, life: int) -> None:
        if life == self._lives and self.processes and name not in self.processes:
            self.start(name)

    def _end(self, process: Process) -> None:
        process.alive = False
        self.notes.live.discard(process.incarnation)
        self.crashes[process.name] += 1

    def _tell_death(self, other: Process, dead: Process, crew: str) -> None:
        if other.alive:
            other.role.peer_down(dead.name, dead.incarnation, max(crew, self.crew, key=_deaths))
            other.run()

    # -- the network and the database

    def latency_s(self) -> float:
        return self.random.expovariate(1 / 0.003)

    def carry(self, to: str, data: bytes) -> None:
        copies = 1
        if self.chaos:
            draw = self.random.random()
            copies = 0 if draw < self.loss else 2 if draw < 2 * self.loss else 1
        for _ in range(copies):
            slow = self.chaos and self.random.random() < 0.05
            delay_s = self.random.expovariate(1 / (0.8 if slow else 0.002))
            self.clock.after(delay_s, lambda: self._arrive(to, data))

    def _arrive(self, to: str, data: bytes) -> None:
        process = self.processes.get(to)
        if process is not None:
            process.receive(data)

    def _notice(self, notice: Notice) -> None:
        self.told[notice.kind] += 1
        if not (self.chaos and self.random.random() < self.loss):
            self.clock.after(self.latency_s(), lambda: self._hear(notice))

    def _hear(self, notice: Notice) -> None:
        if notice.kind in ("leased", "signal"):
            self._hear_alone(notice)
            return
        process = self.processes.get("dispatcher" if notice.kind in ("due", "task") else "router")
        if process is not None:
            assert isinstance(process.role, Router | Dispatcher)
            process.role.notice([notice])
            process.run()

    def _hear_alone(self, notice: Notice) -> None:
        for process in list(self.processes.values()):
            if process.hears and notice.owner == f"n/default/{process.name}/{process.incarnation}":
                assert isinstance(process.role, Engine)
                process.role.hearing.notice([notice])
                process.run()

    def _fault(self, operation: str) -> None:
        if self.chaos and not operation.startswith("events") and self.random.random() < self.fault:
            raise JournalError(operation, "the connection broke (simulated)")

    def journal_of(self, process: Process) -> Any:
        return WatchedJournal(self, process.incarnation)

    # -- what must never happen

    def leases_of(self, batch: Sequence[RunCommit]) -> dict[UUID, tuple[int | None, str | None]]:
        """Return the tokens and owners under which these runs are leased now."""
        runs = self.store._database._tables.runs
        return {c.run_id: (runs[c.run_id].token, runs[c.run_id].owner) for c in batch if c.run_id in runs}

    def note_commit(
        self,
        owner: str,
        batch: Sequence[RunCommit],
        written: set[UUID],
        held: Mapping[UUID, tuple[int | None, str | None]],
    ) -> None:
        for commit in batch:
            self.rowed.update((commit.run_id, row.seq, row.attempt) for row in commit.tasks_set)
            if commit.run_id in written:
                lease = held.get(commit.run_id, (None, None))
                assert lease[0] == commit.token, (
                    f"seed {self.seed}: written under {commit.token}, leased under {lease}"
                )
                token, writer = self._tokens.get(commit.run_id, (0, owner))
                assert commit.token >= token, f"seed {self.seed}: an older lease wrote after a newer one"
                assert commit.token > token or writer == owner, (
                    f"seed {self.seed}: two writers under one lease"
                )
                self._tokens[commit.run_id] = (commit.token, owner)

    def note_start(self, task: Execute) -> None:
        self.starts[task.key] += 1
        assert self.starts[task.key] == 1, f"seed {self.seed}: attempt {task.key} began twice"
        recorded = {row.seq: from_row(row) for row in self.store.catalog.events(UUID(bytes=task.run))}
        scheduled = recorded.get(task.seq)
        assert isinstance(scheduled, ActivityScheduled | CompensationScheduled), (
            f"seed {self.seed}: {task.key} began before its commit"
        )
        attempts = [1] + [
            body.attempt
            for body in recorded.values()
            if isinstance(body, ActivityRetried) and body.command == task.seq
        ]
        assert task.attempt in attempts, f"seed {self.seed}: {task.key} began before its attempt was durable"


def _deaths(crew: str) -> int:
    return int(crew.partition(":")[2])
