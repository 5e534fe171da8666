"""An engine among processes that only listen, its journal work let happen by hand, and the workflows it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from continuum.core.definitions import Workflow, activity, registry, workflow
from continuum.core.effects import sleep, wait_signal
from continuum.core.failure import encode_failure
from continuum.errors import ActivityError, JournalError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, Failure
from continuum.model.ids import Owner
from continuum.model.retry import Retry
from continuum.model.run import RunSeed
from continuum.ports.offload import Completion, Desk, Lane
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.wire.messages import Assign, Execute, Finished, WorkerReady
from tests.unit.stage import BOOT, INSTANCE, NODE, Extra, Stage

OWNER = str(Owner(NODE, INSTANCE, "engine-1", f"{BOOT}-1"))
RUN = UUID(int=42)


@activity(name="engine.step", retry=Retry(max_attempts=3, initial=1.0, jitter=0.0, non_retryable=(KeyError,)))
def step(value: int) -> int:
    return value


@activity(name="engine.once")
def once(value: int) -> int:
    return value


@workflow(name="engine.chain")
async def chain(count: int) -> int:
    value = 0
    for _ in range(count):
        value = await step(value)
    return value


@workflow(name="engine.careful")
async def careful() -> object:
    try:
        return await once(1)
    except ActivityError as error:
        return [error.type, error.attempts]


@workflow(name="engine.waits")
async def waits() -> object:
    return await wait_signal("go", timeout=30)


@workflow(name="engine.naps")
async def naps() -> str:
    await sleep(5)
    return "woken"


class Desks:
    """Journal work that the test lets happen: at once, or when it says so. ``hold``: lanes whose work has to wait;
    ``late``: those whose work is done, and whose answers wait for `answer`."""

    def __init__(self, stage: Stage) -> None:
        self._desk = Desk(stage.store.journal, stage.store.dispatch)
        self.engine: Engine | None = None
        self.held: list[tuple[Lane, int, Callable[[Desk], object]]] = []
        self.hold: set[Lane] = set()
        self.late: set[Lane] = set()
        self._unanswered: list[Completion] = []

    def use(self, desk: Desk) -> None:
        """Let the journal work be done at another desk from now on."""
        self._desk = desk

    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        self.held.append((lane, ticket, work))

    def pump(self) -> bool:
        """Do what is not held back; True if there was something."""
        due = [entry for entry in self.held if entry[0] not in self.hold]
        self.held = [entry for entry in self.held if entry[0] in self.hold]
        assert self.engine is not None
        for lane, ticket, work in due:
            completion = self._done(ticket, work)
            if lane in self.late:
                self._unanswered.append(completion)
            else:
                self.engine.complete(completion)
        return bool(due)

    def answer(self) -> None:
        """Give the engine the answers that it waits for."""
        assert self.engine is not None
        unanswered, self._unanswered = self._unanswered, []
        for completion in unanswered:
            self.engine.complete(completion)

    def _done(self, ticket: int, work: Callable[[Desk], object]) -> Completion:
        try:
            return Completion(ticket, work(self._desk))
        except JournalError as error:
            return Completion(ticket, error=error)


class House:
    """An engine among processes that only listen."""

    def __init__(self, *, limits: EngineLimits | None = None, window: int = 10) -> None:
        self.stage = Stage()
        self.desks = Desks(self.stage)
        self.dispatcher = self.stage.extra("dispatcher")
        self.timer = self.stage.extra("timer")
        self.router = self.stage.extra("router")
        self.worker = self.stage.extra("worker-1")
        self.engine = self.desks.engine = Engine(
            self.stage.ports("engine-1"), self.desks, registry.workflow, limits or EngineLimits()
        )
        self.stage.play("engine-1", self.engine)
        self.settle()
        self.says_ready(self.worker, window)

    def says_ready(self, worker: Extra, window: int) -> None:
        worker.send("engine-1", WorkerReady(("default",), window, 0))
        self.settle()

    def settle(self) -> None:
        self.stage.settle()
        while self.desks.pump():
            self.stage.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, with the journal answering all the while."""
        end = self.stage.clock.now + seconds
        while self.stage.clock.now < end:
            self.stage.advance(min(1.0, end - self.stage.clock.now))
            self.settle()

    def start(self, target: Workflow[..., Any], *args: object, number: int = 42) -> UUID:
        run_id = UUID(int=number)
        seed = RunSeed(id=run_id, workflow=target.name, args=payload.encode([list(args), {}]))
        self.stage.store.catalog.insert([seed])
        self.assign()
        return run_id

    def assign(self) -> None:
        claimed = self.stage.store.dispatch.claim(OWNER, 100)
        self.dispatcher.send("engine-1", Assign(OWNER, claimed))
        self.settle()

    def executes(self) -> list[Execute]:
        return [message for message in self.worker.take(Execute) if isinstance(message, Execute)]

    def finish(self, task: Execute, value: object = 1) -> None:
        done = Finished(task.run, task.seq, task.attempt, True, payload.encode(value))
        self.worker.send("engine-1", done)
        self.settle()

    def fail(self, task: Execute, failure: Failure, retryable: bool = True) -> None:
        done = Finished(task.run, task.seq, task.attempt, False, encode_failure(failure), retryable=retryable)
        self.worker.send("engine-1", done)
        self.settle()

    def types(self, run_id: UUID = RUN) -> list[str]:
        return [EVENT_TYPES[row.kind] for row in self.stage.store.catalog.events(run_id)]

    def state(self, run_id: UUID = RUN) -> str:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None
        return row.state

    def result(self, run_id: UUID = RUN) -> object:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None and row.result is not None, row
        return payload.decode(row.result)
