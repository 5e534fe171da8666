"""Sagas in the machine: what is undone, in which order, how often, and what is refused (chapter G)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from continuum import ActivityError, call, compensate, compensate_all, saga, workflow
from continuum.errors import ContinuumError
from continuum.model.events import CompensationFailed, CompensationScheduled, Failure, from_row
from tests.unit.trips import Trip, book, cancel, finished, trip


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
