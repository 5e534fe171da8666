"""The test kit with more than one run: children, chains, sagas and cancels go in memory as on a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from continuum import (
    ActivityError,
    ChildError,
    ContinuumError,
    Retry,
    RunCancelledError,
    RunFailedError,
    RunTerminalError,
    Signal,
    UnknownWorkflowError,
    activity,
    call,
    compensate_all,
    continue_as_new,
    days,
    hours,
    now,
    patched,
    run_info,
    saga,
    sleep,
    start_child,
    workflow,
)
from continuum.testing import RunWaitingError, SyncRun, run_sync, start_sync


@pytest.fixture(autouse=True)
def _paranoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run that ends is replayed at once, and must end in the same way."""
    monkeypatch.setenv("CONTINUUM_PARANOID", "1")


@dataclass(frozen=True)
class Parcel:
    weight: int


go = Signal("go", int)


@activity(name="kin_kit.weigh")
def weigh(parcel: Parcel) -> int:
    return parcel.weight


@activity(name="kin_kit.undo", retry=Retry(max_attempts=2, jitter=0))
def undo(what: str) -> None:
    """Undoes nothing; tests replace it."""


@workflow(name="kin_kit.pack")
async def pack(parcel: Parcel) -> Parcel:
    await sleep(hours(1))
    return Parcel(await weigh(parcel) + 1)


@workflow(name="kin_kit.waits")
async def waits() -> int:
    return await go.wait()


@workflow(name="kin_kit.awaits")
async def awaits() -> int:
    return await waits()


@workflow(name="kin_kit.grandparent")
async def grandparent() -> int:
    return await awaits()


@workflow(name="kin_kit.count")
async def count(left: int, total: int = 0) -> int:
    total += await go.wait()
    if left > 1:
        continue_as_new(count(left - 1, total))
    return total


def types(run: SyncRun[Any]) -> list[str]:
    return [event.type for event in run.history]


# -- children


@pytest.mark.rule("C1")
def test_children_run_side_by_side_and_their_results_come_restored() -> None:
    @workflow(name="kin_kit.ship")
    async def ship(count: int) -> tuple[list[int], float]:
        began = now()
        parcels = await asyncio.gather(*(pack(Parcel(number)) for number in range(count)))
        return [parcel.weight for parcel in parcels], (now() - began).total_seconds()

    assert run_sync(ship(3)) == ([1, 2, 3], 3600.0)
    run = start_sync(ship(2))
    assert len({child.id for child in run.children}) == 2
    assert types(run) == ["child_started", "child_started"]
    run.fire_timer()
    run.fire_timer()
    assert types(run)[2:] == ["child_completed", "child_completed"]
    assert [child.result() for child in run.children] == [Parcel(1), Parcel(2)]


def test_a_fake_stands_in_for_an_activity_of_a_child() -> None:
    assert run_sync(pack(Parcel(1)), activities={weigh: lambda: 7}) == Parcel(8)

    @workflow(name="kin_kit.outer")
    async def outer() -> Parcel:
        return await pack(Parcel(1))

    assert run_sync(outer(), activities={weigh: lambda: 7}) == Parcel(8)


@pytest.mark.rule("C5")
def test_a_child_that_fails_is_an_error_of_its_await() -> None:
    @workflow(name="kin_kit.breaks")
    async def breaks() -> None:
        raise asyncio.CancelledError("of its own making")

    @workflow(name="kin_kit.handles")
    async def handles() -> str:
        try:
            await breaks()
        except ChildError as error:
            return f"{error.state} {error}"
        return "nothing"

    assert "failed child kin_kit.breaks" in run_sync(handles())


def test_a_child_that_waits_is_driven_by_the_test_as_its_parent_is() -> None:
    run = start_sync(awaits())
    with pytest.raises(RunWaitingError, match=r"child kin_kit.waits #1 .*wait for signal go .*in child"):
        run.result()
    (child,) = run.children
    child.inject_signal(go, 5)
    assert (child.state, child.result(), run.result()) == ("completed", 5, 5)


def test_a_child_knows_its_parent_and_has_a_chain_of_its_own() -> None:
    @workflow(name="kin_kit.who")
    async def who() -> list[Any]:
        info = run_info()
        return [info.id, info.parent_run_id, info.correlation_id]

    @workflow(name="kin_kit.asks")
    async def asks() -> list[Any]:
        return await who()

    run = start_sync(asks())
    (child,) = run.children
    assert run.result() == [child.id, run.id, child.id]


@pytest.mark.rule("C4")
def test_the_limit_of_depth_is_met_in_memory_too() -> None:
    @workflow(name="kin_kit.deep")
    async def deep(level: int) -> int:
        try:
            return int(await call("kin_kit.deep", level + 1))
        except ContinuumError as error:
            if isinstance(error, ChildError):
                raise
            return level

    assert run_sync(deep(0)) == 10


def test_a_child_that_no_module_defines_is_named() -> None:
    @workflow(name="kin_kit.lost")
    async def lost() -> None:
        await call("kin_kit.nowhere")

    with pytest.raises(UnknownWorkflowError, match=r"kin_kit\.nowhere"):
        run_sync(lost())


@pytest.mark.rule("C6")
@pytest.mark.parametrize(("attached", "state"), [(True, "cancelled"), (False, "suspended")])
def test_giving_up_an_await_cancels_the_child_and_giving_up_a_reference_does_not(
    attached: bool, state: str
) -> None:
    @workflow(name="kin_kit.impatient")
    async def impatient(attached: bool) -> str:
        try:
            async with asyncio.timeout(60):
                await (waits() if attached else await start_child(waits()))
        except TimeoutError:
            return "gave up"
        return "done"

    run = start_sync(impatient(attached))
    run.fire_timer()
    assert run.result() == "gave up"
    assert [child.state for child in run.children] == [state]


@pytest.mark.rule("C1")
def test_a_child_that_is_only_started_goes_on_after_its_parent() -> None:
    @workflow(name="kin_kit.leaves")
    async def leaves() -> str:
        ref = await start_child(pack(Parcel(1)), id="first")
        return str(ref.id)

    run = start_sync(leaves())
    (child,) = run.children
    assert (run.result(), child.state) == (str(child.id), "suspended")
    child.fire_timer()
    assert child.result() == Parcel(2)


# -- chains


@pytest.mark.rule("N1")
def test_a_chain_is_one_run_and_its_unread_signals_move_along() -> None:
    assert run_sync(count(3), signals=[("go", 1), ("go", 2), ("go", 3)]) == 6
    run = start_sync(count(3))
    for number in (1, 2, 3):
        run.inject_signal(go, number)
    assert (run.state, run.result()) == ("completed", 6)
    assert [history[-1].type for history in run.chain] == [
        "run_continued_as_new",
        "run_continued_as_new",
        "signal_received",
    ]
    with pytest.raises(RunTerminalError):
        run.cancel()


@pytest.mark.rule("N2")
def test_a_successor_keeps_the_first_run_and_its_predecessor() -> None:
    @workflow(name="kin_kit.again")
    async def again(times: int) -> list[Any]:
        if times:
            continue_as_new(again(times - 1))
        return [run_info().correlation_id, run_info().continued_from_run_id]

    run = start_sync(again(2))
    assert run.result() == [run.id, run.chain[1].run_id]


@pytest.mark.rule("C3")
def test_awaiting_a_child_follows_its_chain() -> None:
    @workflow(name="kin_kit.follows")
    async def follows() -> int:
        return await count(2)

    run = start_sync(follows())
    (child,) = run.children
    child.inject_signal(go, 1)
    assert (len(child.chain), run.state) == (2, "suspended")
    child.inject_signal(go, 2)
    assert run.result() == 3
    assert run.children[0].id == child.id


@pytest.mark.rule("N1")
def test_living_children_move_to_the_successor_and_are_cancelled_with_it() -> None:
    @workflow(name="kin_kit.moves")
    async def moves(first: bool = True) -> None:
        if first:
            await start_child(waits())
            continue_as_new(moves(False))
        await go.wait()

    run = start_sync(moves())
    (child,) = run.children
    run.cancel(reason="enough")
    assert (run.state, child.state) == ("cancelled", "cancelled")


@pytest.mark.parametrize("pause", [0, 1])
def test_a_chain_that_never_ends_is_found_out(monkeypatch: pytest.MonkeyPatch, pause: int) -> None:
    monkeypatch.setattr("continuum.testing.sync.EVENTS_MAX", 100)

    @workflow(name="kin_kit.endless")
    async def endless(pause: int) -> None:
        if pause:
            await sleep(pause)
        continue_as_new(endless(pause))

    with pytest.raises(ContinuumError, match=r"more than 100 events"):
        run_sync(endless(pause))


# -- sagas and patches


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


def test_a_run_in_memory_is_new_and_takes_the_patched_way() -> None:
    @workflow(name="kin_kit.changed")
    async def changed() -> bool:
        await sleep(1)
        return patched("new way")

    assert run_sync(changed()) is True


# -- cancel


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
