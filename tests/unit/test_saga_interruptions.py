"""What comes between a saga and its end: failed attempts, crashes, cancels, time-outs. Nothing is undone twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from continuum import compensate_all, saga, workflow
from continuum.core.call import Call
from continuum.errors import ReplayDriftError
from tests.unit.trips import GONE, Trip, book, cancel, finished, trip


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
