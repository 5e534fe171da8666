"""Trips that are booked and undone, driven by hand: what is under way of each, and what was undone."""

from __future__ import annotations

from typing import Any

from continuum import Retry, activity, saga, workflow
from continuum.model import payload
from continuum.model.events import CompensationScheduled, Failure, from_row
from tests.unit.machine_driver import BEGAN, SECOND, Driver

GONE = Failure("OSError", "gone")


@activity(name="saga.book")
def book(what: str) -> str:
    return f"{what}-1"


@activity(
    name="saga.cancel", retry=Retry(max_attempts=3), idempotency_key=lambda booking: f"cancel {booking}"
)
def cancel(booking: str) -> str:
    return booking


@workflow(name="saga.trip")
async def trip(places: list[str], parallel: bool) -> str:
    async with saga() as undo:
        undo.parallel = parallel
        for place in places:
            undo.push(cancel(await book(place)))
    return "booked"


class Trip(Driver):
    """A run whose activities answer as the test says: those whose argument is ``bad`` fail."""

    def fail(self, seq: int, attempt: int = 1, failure: Failure = GONE) -> bool:
        took = self.machine.fail(seq, attempt, failure, False, BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    def cancel(self) -> None:
        """What cancels a task of the workflow from outside: a time-out, a group, a cancel with clean-up."""
        self.machine._task.cancel()
        self.machine._drain()
        self.take()

    @property
    def under_way(self) -> list[tuple[str, object]]:
        """Name and argument of each attempt that is under way, by seq."""
        return [(p.dispatch.call.name, argument_of(p.dispatch.args)) for p in self.machine.attempts()]

    @property
    def undone(self) -> list[object]:
        """The argument of every compensation that was scheduled, in order."""
        bodies = [from_row(row) for row in self.history]
        return [argument_of(body.args) for body in bodies if isinstance(body, CompensationScheduled)]

    def last_seq(self) -> int:
        return self.machine.attempts()[-1].dispatch.seq

    def finish(self) -> None:
        """Answer whatever is under way, the oldest first, until the run ends or waits for something else."""
        while not self.machine.ended and (attempts := self.machine.attempts()):
            dispatch = attempts[0].dispatch
            argument = argument_of(dispatch.args)
            if argument == "bad":
                self.fail(dispatch.seq, dispatch.attempt)
            else:
                answer = f"{argument}-1" if dispatch.call.name == book.name else argument
                self.complete(dispatch.seq, answer, dispatch.attempt)

    def again_from(self, events: int) -> Trip:
        return Trip(self.target, *self.args, history=self.history[:events])


def argument_of(args: bytes) -> object:
    positional: Any = payload.decode(args)
    return positional[0][0]


def finished(target: Any, *args: object) -> Trip:
    run = Trip(target, *args)
    run.finish()
    return run
