"""The test kit with more than one run: children, chains and patches go in memory as on a node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from continuum import (
    ChildError,
    ContinuumError,
    RunTerminalError,
    UnknownWorkflowError,
    call,
    continue_as_new,
    hours,
    now,
    patched,
    run_info,
    sleep,
    start_child,
    wait_signal,
    workflow,
)
from continuum.testing import RunWaitingError, run_sync, start_sync
from tests.unit.kin import Parcel, awaits, go, paranoid, types, waits, weigh

__all__ = ["paranoid"]  # a fixture


@workflow(name="kin_kit.pack")
async def pack(parcel: Parcel) -> Parcel:
    await sleep(hours(1))
    return Parcel(await weigh(parcel) + 1)


@workflow(name="kin_kit.count")
async def count(left: int, total: int = 0) -> int:
    total += await go.wait()
    if left > 1:
        continue_as_new(count(left - 1, total))
    return total


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


# -- patches


def test_a_run_in_memory_is_new_and_takes_the_patched_way() -> None:
    @workflow(name="kin_kit.changed")
    async def changed() -> bool:
        await sleep(1)
        return patched("new way")

    assert run_sync(changed()) is True


@pytest.mark.rule("K4", "K5")
def test_a_child_that_is_started_in_a_clean_up_ends_with_it() -> None:
    @workflow(name="kit-families.waits-on")
    async def waits_on() -> None:
        await wait_signal("never")

    @workflow(name="kit-families.leaves-a-child")
    async def leaves_a_child() -> None:
        try:
            await wait_signal("never")
        finally:
            await start_child(waits_on())

    run = start_sync(leaves_a_child())
    run.cancel(cleanup=10)
    (child,) = run.children
    assert (run.state, child.state) == ("cancelled", "suspended")
    run.advance(9.9)
    assert child.state == "suspended"
    run.advance(0.2)
    assert child.state == "cancelled"
