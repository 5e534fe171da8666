"""A run machine with its journal, driven by hand, and the code that it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from continuum.core.definitions import Workflow, activity, workflow
from continuum.core.effects import Signal, sleep
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.recorded import Recorded
from continuum.core.step import Crew, RunIdentity, Step
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, EventRow, Failure

RUN = UUID(int=7)
BEGAN = 1_700_000_000_000_000
SECOND = 1_000_000


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


@activity
def charge(order: Order) -> str:
    return order.id


@activity
def double(value: int) -> int:
    return 2 * value


approved = Signal("approved", bool)


class Driver:
    """A machine with its journal: takes every step at once, as a shell does after each arrival."""

    def __init__(
        self, target: Workflow[..., Any], *args: object, history: list[EventRow] | Recorded | None = None
    ) -> None:
        self.target, self.args = target, args
        identity = RunIdentity(RUN, target.name, "default", BEGAN, RUN)
        self.machine = Machine(identity, target, payload.encode([list(args), {}]), Crew("b:0"))
        self.history = history.rows() if isinstance(history, Recorded) else list(history or [])
        self.steps: list[Step] = []
        self.machine.begin(history if isinstance(history, Recorded) else self.history)
        self.take()

    def take(self) -> None:
        step = self.machine.take()
        assert [row.seq for row in step.events] == [
            len(self.history) + 1 + index for index in range(len(step.events))
        ]
        self.history += step.events
        self.steps.append(step)

    def complete(self, seq: int, value: object, attempt: int = 1) -> bool:
        took = self.machine.complete(seq, attempt, payload.encode(value), BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    def fire(self, seq: int) -> bool:
        took = self.machine.fire(seq, BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    def signal(self, signal_id: int, name: str, value: object) -> bool:
        took = self.machine.signal(signal_id, name, payload.encode(value), BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    @property
    def types(self) -> list[str]:
        return [EVENT_TYPES[row.kind] for row in self.history]

    @property
    def result(self) -> object:
        step = self.steps[-1]
        assert step.state == "completed", decode_failure(step.error or b"")
        return payload.decode(step.result or b"")

    @property
    def failure(self) -> Failure:
        assert self.steps[-1].error is not None
        return decode_failure(self.steps[-1].error)

    def replayed(self) -> Driver:
        return Driver(self.target, *self.args, history=self.history)


@workflow
async def chain(value: int) -> int:
    for _ in range(3):
        value = await double(value)
    return value


@workflow
async def gathered() -> list[int]:
    async def twice(value: int) -> int:
        await sleep(value)
        return await double(value)

    return await asyncio.gather(*(twice(n) for n in (1, 2, 3)))


@workflow
async def patient() -> object:
    try:
        return await approved.wait(timeout=60)
    except TimeoutError:
        return "nobody"
