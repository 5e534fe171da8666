"""Sagas in the machine: what is undone, in which order, how often, and that a replay agrees (chapter G)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from continuum import ActivityError, Retry, activity, call, compensate, compensate_all, saga, workflow
from continuum.core.call import Call
from continuum.errors import ContinuumError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import CompensationFailed, CompensationScheduled, Failure, from_row
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


@pytest.mark.rule("G1", "G3", "G4", "R1")
def test_what_was_done_is_undone_last_first_and_what_failed_is_not() -> None:
    run = finished(trip, ["inn", "car", "bad", "boat"], False)
    assert run.undone == ["car-1", "inn-1"]
    assert run.types[4:] == [
        "activity_scheduled",
        "activity_failed",
        *["compensation_scheduled", "compensation_completed"] * 2,
    ]
    assert (run.failure.type, run.failure.message) == ("continuum.errors.ActivityError", "gone")
    assert run.replayed().history == run.history


def test_a_saga_that_is_left_normally_forgets() -> None:
    run = finished(trip, ["inn", "car"], False)
    assert run.result == "booked"
    assert run.undone == []


@pytest.mark.rule("G1")
def test_one_compensation_is_scheduled_when_the_one_before_has_ended() -> None:
    run = Trip(trip, ["inn", "car", "bad"], False)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    run.fail(5)
    assert run.under_way == [("saga.cancel", "car-1")]
    assert [d.idempotency_key for d in run.steps[-1].out.dispatches] == ["cancel car-1"]
    run.complete(run.last_seq(), None)
    assert run.under_way == [("saga.cancel", "inn-1")]


@pytest.mark.rule("G2")
def test_in_parallel_all_are_scheduled_before_the_first_completes() -> None:
    run = Trip(trip, ["inn", "car", "bad"], True)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    run.fail(5)
    assert run.under_way == [("saga.cancel", "car-1"), ("saga.cancel", "inn-1")]
    assert [d.seq for d in run.steps[-1].out.dispatches] == [7, 8]
    assert not run.machine.parked
    run.complete(8, None)
    run.complete(7, None)
    assert run.failure.message == "gone"
    assert run.replayed().history == run.history


@pytest.mark.rule("G3")
@pytest.mark.parametrize("parallel", [False, True])
def test_a_compensation_that_finally_fails_is_journaled_and_the_others_still_run(parallel: bool) -> None:
    run = Trip(trip, ["inn", "car", "bad"], parallel)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    run.fail(5)
    run.fail(7, failure=Failure("ValueError", "too late to cancel"))
    run.finish()
    failed = [body for row in run.history if isinstance(body := from_row(row), CompensationFailed)]
    assert [(body.command, body.failure.message, body.attempts) for body in failed] == [
        (7, "too late to cancel", 1)
    ]
    assert run.undone == ["car-1", "inn-1"]
    assert run.failure.message == "gone", "the original error is what the workflow raises"
    assert run.replayed().history == run.history


@pytest.mark.rule("G1")
def test_an_attempt_of_a_compensation_that_failed_is_followed_by_the_next() -> None:
    run = Trip(trip, ["inn", "bad"], False)
    run.complete(1, "inn-1")
    run.fail(3)
    assert run.machine.retry(5, 1, GONE, 2.0)
    run.take()
    assert run.types[-1] == "activity_retried"
    assert not run.complete(5, None, attempt=1), "attempt 1 is over"
    again = run.again_from(len(run.history))
    (attempt,) = again.machine.attempts()
    assert (attempt.dispatch.seq, attempt.dispatch.attempt, attempt.dispatch.idempotency_key) == (
        5,
        2,
        "cancel inn-1",
    )
    assert again.complete(5, None, attempt=2)
    assert again.failure.message == "gone"


@pytest.mark.rule("G1", "R5")
@pytest.mark.parametrize("parallel", [False, True])
def test_a_crash_anywhere_in_a_roll_back_undoes_nothing_twice(parallel: bool) -> None:
    whole = finished(trip, ["inn", "car", "boat", "bad"], parallel)
    for step_end in [sum(len(step.events) for step in whole.steps[:n]) for n in range(1, len(whole.steps))]:
        resumed = whole.again_from(step_end)
        resumed.finish()
        assert sorted(map(str, resumed.undone)) == ["boat-1", "car-1", "inn-1"]
        assert resumed.types == whole.types


@pytest.mark.rule("G1", "A5")
def test_a_replay_knows_whose_crew_may_have_begun_an_attempt_of_a_compensation() -> None:
    run = Trip(trip, ["inn", "car", "bad"], True)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    run.machine.crew.text = "b:1"  # a worker has died
    run.fail(5)
    run.machine.crew.text = "b:2"
    assert run.machine.retry(7, 1, GONE, 2.0)
    run.take()
    again = run.replayed()
    assert again.machine.crew.text not in ("b:1", "b:2")
    assert [(p.dispatch.seq, p.crew) for p in again.machine.attempts()] == [(7, "b:2"), (8, "b:1")]


class GoesOnElsewhere(BaseException):
    """Unwinds a workflow that has not failed."""


@pytest.mark.parametrize("way_out", [GoesOnElsewhere, GeneratorExit])
def test_what_unwinds_a_workflow_without_being_a_failure_undoes_nothing(way_out: type[BaseException]) -> None:
    @workflow(name=f"saga.unwound-by-{way_out.__name__}")
    async def unwound() -> None:
        async with saga() as undo:
            undo.push(cancel("inn-1"))
            raise way_out

    assert Trip(unwound).undone == []


@pytest.mark.rule("L6")
def test_a_run_that_is_dropped_in_a_saga_journals_no_compensation() -> None:
    run = Trip(trip, ["inn", "car"], False)
    run.complete(1, "inn-1")
    run.machine.drop()
    run.take()
    assert run.undone == []


@workflow(name="saga.options")
async def by_options(parallel: bool) -> list[str]:
    seen = [
        await book("inn").options(compensate=cancel("inn-1")),
        await book("car").options(compensate=cancel),
        await book("walk").options(compensate=cancel("walk-1")).options(compensate=None),
        await book("map").options(compensate=lambda _: None),
    ]
    try:
        await book("bad").options(compensate=cancel("bad-1"))
    except ActivityError:
        await compensate_all(parallel)
        await compensate_all(parallel)
    return seen


@pytest.mark.rule("G1", "G2", "G4")
@pytest.mark.parametrize("parallel", [False, True])
def test_calls_with_a_compensation_are_undone_last_first_and_once(parallel: bool) -> None:
    run = finished(by_options, parallel)
    assert run.undone == ["car-1", "inn-1"]
    assert run.result == ["inn-1", "car-1", "walk-1", "map-1"]
    scheduled = [body for row in run.history if isinstance(body := from_row(row), CompensationScheduled)]
    assert [body.command for body in scheduled] == [3, 1], "it says which activity it undoes"
    assert all(body.site.startswith("unit/test_sagas.py:") for body in scheduled)
    assert run.replayed().history == run.history


@workflow(name="saga.single")
async def one_by_one() -> None:
    inn = book("inn").options(compensate=cancel)
    await inn
    await book("car").options(compensate=cancel)
    await compensate(cancel("car-1"))
    await compensate(inn)
    await compensate(inn)
    await compensate(cancel("by hand"))
    await compensate_all()


@pytest.mark.rule("G1")
def test_one_compensation_can_be_run_alone_and_is_not_pending_any_more() -> None:
    run = finished(one_by_one)
    assert run.undone == ["car-1", "inn-1", "by hand"]
    scheduled = [body for row in run.history if isinstance(body := from_row(row), CompensationScheduled)]
    assert [body.command for body in scheduled] == [3, 1, 0]
    assert run.result is None
    assert run.replayed().history == run.history


@pytest.mark.rule("G3")
def test_compensating_one_raises_nothing_when_it_finally_fails() -> None:
    @workflow(name="saga.alone")
    async def alone() -> str:
        await compensate(cancel("bad"))
        return "on we go"

    run = finished(alone)
    assert run.types == ["compensation_scheduled", "compensation_failed"]
    assert run.result == "on we go"


@pytest.mark.rule("G1")
def test_sagas_nest_and_the_inner_one_is_undone_first() -> None:
    @workflow(name="saga.nested")
    async def nested() -> str:
        async with saga() as outer:
            outer.push(cancel(await book("inn")))
            try:
                async with saga() as inner:
                    inner.push(cancel(await book("car")))
                    raise ValueError("no car")
            except ValueError:
                outer.push(cancel(await book("train")))
            async with saga() as fine:
                fine.push(cancel(await book("map")))
            raise KeyError("no time")

    run = finished(nested)
    assert run.undone == ["car-1", "train-1", "inn-1"]
    assert run.failure.type == "KeyError"


@workflow(name="saga.limited")
async def limited() -> str:
    try:
        async with asyncio.timeout(10), saga() as undo:
            undo.push(cancel(await book("inn")))
            undo.push(cancel(await book("car")))
            await book("boat")
    except TimeoutError:
        return "late"
    return "in time"


@pytest.mark.rule("G1", "A15")
def test_a_saga_that_is_cancelled_is_undone_too() -> None:
    run = Trip(limited)
    run.complete(2, "inn-1")
    run.complete(4, "car-1")
    run.fire(1)
    assert run.under_way == [("saga.cancel", "car-1")]
    run.finish()
    assert run.undone == ["car-1", "inn-1"]
    assert run.result == "late"
    assert run.replayed().history == run.history


@pytest.mark.rule("G1", "G3")
@pytest.mark.parametrize("parallel", [False, True])
def test_a_cancellation_while_compensations_run_lets_them_go_on(parallel: bool) -> None:
    run = Trip(trip, ["inn", "car", "bad"], parallel)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    run.fail(5)
    run.cancel()
    run.cancel()
    assert all(step.out.abandoned == [] for step in run.steps), "what undoes is not told to stop"
    run.finish()
    assert run.undone == ["car-1", "inn-1"]
    assert run.failure.message == "gone"


@pytest.mark.rule("G1")
def test_a_time_out_of_compensate_all_comes_when_everything_is_undone() -> None:
    @workflow(name="saga.hasty")
    async def hasty() -> str:
        await book("inn").options(compensate=cancel)
        await book("car").options(compensate=cancel)
        try:
            async with asyncio.timeout(1):
                await compensate_all()
        except TimeoutError:
            return "late"
        return "in time"

    run = Trip(hasty)
    run.complete(1, "inn-1")
    run.complete(3, "car-1")
    assert run.fire(5)
    assert run.steps[-1].out.abandoned == []
    run.finish()
    assert run.undone == ["car-1", "inn-1"]
    assert run.result == "late"
    assert run.replayed().history == run.history


@pytest.mark.rule("G1")
def test_branches_of_a_group_are_all_undone_when_one_fails() -> None:
    @workflow(name="saga.group")
    async def group() -> None:
        async def leg(undo: Any, place: str) -> None:
            undo.push(cancel(await book(place)))

        async with saga() as undo, asyncio.TaskGroup() as legs:
            for place in ("inn", "car", "bad", "boat"):
                legs.create_task(leg(undo, place))

    run = finished(group)
    assert run.undone == ["car-1", "inn-1"], "the boat was not awaited any more"
    assert run.failure.type == "ExceptionGroup"
    assert run.replayed().history == run.history


@pytest.mark.rule("R3", "R2")
def test_another_compensation_than_the_recorded_one_is_drift() -> None:
    undo: list[Callable[[str], Call[Any]]] = [cancel]

    @workflow(name="saga.changing")
    async def changing() -> None:
        async with saga() as scope:
            if undo:
                scope.push(undo[-1]("inn-1"))
            raise ValueError("no")

    run = finished(changing)
    run.replayed()
    undo.append(book)
    with pytest.raises(
        ReplayDriftError, match=r"compensation saga.cancel #1 \(.*\n.*compensation saga.book #1"
    ):
        run.replayed()
    undo.clear()
    with pytest.raises(ReplayDriftError, match="nothing: the workflow has ended"):
        run.replayed()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: book("a").options(compensate=call("shop.undo")), "a call of an activity", id="workflow"
        ),
        pytest.param(
            lambda: book("a").options(compensate=7),  # type: ignore[arg-type]
            "a call of an activity",
            id="value",
        ),
        pytest.param(
            lambda: book("a").options(compensate=book("b").options(compensate=cancel("c"))),
            "cannot have a compensation itself",
            id="twice",
        ),
        pytest.param(
            lambda: book("a").options(compensate=cancel(object())),  # type: ignore[arg-type]
            "saga.cancel",
            id="payload",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*never awaited")
def test_what_cannot_undo_is_refused_before_anything_is_done(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises((TypeError, ContinuumError), match=message):
        make()


def test_a_callable_that_makes_no_call_fails_the_await_of_its_activity() -> None:
    @workflow(name="saga.wrong")
    async def wrong() -> None:
        await book("inn").options(compensate=lambda booking: booking)  # type: ignore[arg-type, return-value]

    run = finished(wrong)
    assert (run.failure.type, "not 'inn-1'" in run.failure.message) == ("TypeError", True)


def test_a_saga_takes_calls_only_while_it_is_open() -> None:
    @workflow(name="saga.closed")
    async def closed() -> None:
        async with saga() as undo:
            pass
        undo.push(cancel("inn-1"))

    run = finished(closed)
    assert run.failure.type == "continuum.errors.ConfigurationError"
    assert "inside `async with`" in run.failure.message
    assert run.types == []


@pytest.mark.filterwarnings("ignore:.*never awaited")
def test_calls_differ_by_their_compensation() -> None:
    plain, undone = book("a"), book("a").options(compensate=cancel("a-1"))
    assert undone == book("a").options(compensate=cancel("a-1"))
    assert plain != undone
    assert undone.options(compensate=None) == plain
