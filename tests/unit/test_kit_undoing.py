"""The test kit with sagas and cancels: what is undone, in which order, and who is reached, in memory as on a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from continuum import (
    ActivityError,
    RunCancelledError,
    RunFailedError,
    compensate_all,
    continue_as_new,
    days,
    saga,
    sleep,
    workflow,
)
from continuum.testing import SyncRun, run_sync, start_sync
from tests.unit.kin import Parcel, awaits, go, paranoid, types, undo, weigh

__all__ = ["paranoid"]  # a fixture


# -- sagas


@workflow(name="kin_kit.trip")
async def trip(parallel: bool) -> None:
    async with saga() as undos:
        undos.parallel = parallel
        for what in ("car", "hotel"):
            undos.push(undo(what))
        raise ValueError("fully booked")


@pytest.mark.rule("G1", "G2", "G3")
@pytest.mark.parametrize("parallel", [False, True])
def test_a_saga_undoes_last_first_and_the_first_error_stays(parallel: bool) -> None:
    undone: list[str] = []

    def fake(what: str) -> None:
        undone.append(what)
        if what == "hotel":
            raise ConnectionError("away")

    run = start_sync(trip(parallel), activities={undo: fake})
    with pytest.raises(RunFailedError, match="ValueError: fully booked"):
        run.result()
    scheduled = [number for number, kind in enumerate(types(run)) if kind == "compensation_scheduled"]
    assert scheduled == ([0, 1] if parallel else [0, 3])
    assert sorted(undone) == ["car", "hotel", "hotel"], "a compensation is tried again as any activity"
    assert undone[0] == "hotel"
    assert {"compensation_failed", "compensation_completed"} <= set(types(run))


@pytest.mark.rule("G4")
def test_only_what_completed_is_compensated() -> None:
    @workflow(name="kin_kit.partly")
    async def partly() -> None:
        await weigh(Parcel(1)).options(compensate=lambda weight: undo(f"weight {weight}"))
        try:
            await weigh(Parcel(2)).options(compensate=undo("never"))
        except ActivityError:
            await compensate_all()

    undone: list[str] = []

    def fail_second(parcel: Parcel) -> int:
        return 5 // (2 - parcel.weight)

    run_sync(partly(), activities={weigh: fail_second, undo: undone.append})
    assert undone == ["weight 5"]


# -- cancel


@workflow(name="kin_kit.grandparent")
async def grandparent() -> int:
    return await awaits()


@pytest.mark.rule("K1", "K5")
def test_a_cancel_ends_all_descendants_at_once() -> None:
    run = start_sync(grandparent())
    (child,) = run.children
    (grandchild,) = child.children
    run.cancel(reason="enough")
    for each in (run, child, grandchild):
        with pytest.raises(RunCancelledError, match="enough"):
            each.result()


@pytest.mark.rule("C5")
def test_a_child_that_is_cancelled_from_outside_is_an_error_of_its_await() -> None:
    run = start_sync(awaits())
    run.children[0].cancel()
    with pytest.raises(RunFailedError, match="was cancelled"):
        run.result()


@workflow(name="kin_kit.tidy")
async def tidy(pause: int) -> str:
    async with saga() as undos:
        undos.push(undo("booking"))
        try:
            await go.wait(timeout=days(3))
        finally:
            await sleep(pause)
    return "done"


@pytest.mark.rule("K4")
def test_a_cancel_with_clean_up_lets_the_code_undo_and_end_itself() -> None:
    undone: list[str] = []
    run = start_sync(tidy(5), activities={undo: undone.append})
    run.cancel(reason="enough", cleanup=30)
    assert (run.state, undone) == ("suspended", [])
    run.advance(5)
    assert undone == ["booking"]
    with pytest.raises(RunCancelledError, match="enough"):
        run.result()


@pytest.mark.rule("K4")
@pytest.mark.parametrize("wait", [lambda run: run.advance(30), lambda run: run.fire_timer()])
def test_who_has_not_cleaned_up_in_time_is_ended(wait: Callable[[SyncRun[Any]], None]) -> None:
    undone: list[str] = []
    run = start_sync(tidy(60), activities={undo: undone.append})
    run.cancel(cleanup=30)
    run.advance(29)
    assert run.state == "suspended"
    wait(run)
    assert (run.state, undone) == ("cancelled", [])


@pytest.mark.rule("K4", "K5")
def test_a_cancel_with_clean_up_reaches_the_children_and_the_parent_has_not_failed() -> None:
    @workflow(name="kin_kit.tidy_parent")
    async def tidy_parent() -> str:
        return await tidy(0)

    undone: list[str] = []
    run = start_sync(tidy_parent(), activities={undo: undone.append})
    run.cancel(cleanup=30)
    run.advance(1)
    assert (run.state, run.children[0].state, undone) == ("cancelled", "cancelled", ["booking"])


@pytest.mark.rule("N2", "K4")
def test_a_run_does_not_escape_its_cancel_by_continuing_as_new() -> None:
    @workflow(name="kin_kit.stubborn")
    async def stubborn(first: bool = True) -> None:
        try:
            await go.wait()
        except asyncio.CancelledError:
            if first:
                continue_as_new(stubborn(False))
            raise

    run = start_sync(stubborn())
    run.cancel(reason="enough", cleanup=30)
    assert [history[-1].type for history in run.chain] == ["run_continued_as_new", "cancel_requested"]
    with pytest.raises(RunCancelledError, match="enough"):
        run.result()
