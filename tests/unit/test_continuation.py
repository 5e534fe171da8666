"""continue_as_new: how a run ends for its successor, and what happens to code that swallows it (N, X8)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from continuum.core.call import WorkflowCall, call
from continuum.core.definitions import activity, workflow
from continuum.core.effects import continue_as_new, sleep, start_child, wait_signal
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import RunContinuedAsNew, from_row
from continuum.model.ids import successor_run_id
from continuum.testing import run_sync
from tests.unit.machine_driver import RUN, Driver

after: list[str] = []


@activity(name="chain.step")
def step(value: int) -> int:
    return value + 1


@workflow(name="chain.loop")
async def loop(count: int, how: str = "plain") -> int:
    value = await step(count)
    try:
        await _HOW[how](value)
    except Exception:  # noqa: BLE001 - that it does not catch the continuation is the point
        after.append("caught")
    after.append("after")
    return value


async def _plain(value: int) -> None:
    continue_as_new(loop(value))


async def _task(value: int) -> None:
    await asyncio.create_task(_plain(value))


async def _gather(value: int) -> None:
    await asyncio.gather(sleep(5), _plain(value), sleep(5), return_exceptions=True)


async def _group(value: int) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_cleans_up())
        group.create_task(_plain(value))


async def _inside_group(value: int) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(_cleans_up())
        await asyncio.sleep(0)
        continue_as_new(loop(value))


async def _in_background(value: int) -> None:
    task = asyncio.create_task(_plain(value))
    await wait_signal("never")
    await task


async def _raises_again(value: int) -> None:
    try:
        await _plain(value)
    except BaseException:
        after.clear()
        raise


async def _cleans_up() -> None:
    try:
        await sleep(3)
    finally:
        await step(99)


_HOW: dict[str, Any] = {
    "plain": _plain,
    "task": _task,
    "gather": _gather,
    "group": _group,
    "inside": _inside_group,
    "background": _in_background,
    "again": _raises_again,
}


def continued(how: str) -> Driver:
    after.clear()
    run = Driver(loop, 1, how)
    run.complete(1, 2)
    return run


@pytest.mark.rule("N1", "N4", "X8")
@pytest.mark.parametrize("how", _HOW)
def test_wherever_it_is_called_it_ends_the_run_and_no_code_runs_after_it(how: str) -> None:
    run = continued(how)
    last = run.steps[-1]
    assert (last.state, last.result, last.error) == ("continued", None, None)
    assert run.types[-1] == "run_continued_as_new"
    assert after == []
    seed = last.out.successor
    assert seed is not None
    assert (seed.id, seed.workflow, seed.args) == (
        successor_run_id(RUN),
        loop.name,
        payload.encode([[2], {}]),
    )
    assert (seed.continued_from_run_id, seed.correlation_id) == (RUN, RUN)
    run.machine.close()
    assert not run.machine.changed or run.machine.take().events == []
    assert after == []


@pytest.mark.rule("N1", "R5")
@pytest.mark.parametrize("how", _HOW)
def test_a_continued_run_replays_to_the_same_end_and_has_no_second_successor(how: str) -> None:
    run = continued(how)
    again = run.replayed()
    assert again.history == run.history
    assert (again.steps[-1].state, again.steps[-1].out.successor) == ("continued", None)
    for machine in (run.machine, again.machine):
        machine.close()
    assert after == []


@pytest.mark.rule("N3", "N2")
def test_the_successor_has_the_version_that_is_loaded_and_the_place_of_its_predecessor() -> None:
    run = continued("plain")
    seed = run.steps[-1].out.successor
    assert seed is not None
    assert seed.version_hash == loop.version_hash
    body = from_row(run.history[-1])
    assert isinstance(body, RunContinuedAsNew)
    assert UUID(bytes=body.run) == seed.id


@pytest.mark.rule("N3")
def test_the_successor_of_a_run_of_an_older_version_is_not_pinned_to_that() -> None:
    @workflow(name="chain.looped")
    async def newest(count: int) -> int:
        await sleep(2)
        return count

    def continuing(successor: WorkflowCall[int]) -> tuple[str, str | None]:
        @workflow(name="chain.looped.old", logical="chain.looped")
        async def oldest(count: int) -> int:
            continue_as_new(successor)

        seed = Driver(oldest, 1).steps[-1].out.successor
        assert seed is not None
        assert oldest.version_hash != newest.version_hash
        return seed.workflow, seed.version_hash

    assert continuing(newest(2)) == ("chain.looped", newest.version_hash)
    by_name = continuing(call("chain.looped", 2))
    assert by_name == ("chain.looped", None), "whoever loads it takes the newest"


@pytest.mark.rule("N3")
def test_the_successor_has_the_newest_version_also_if_the_code_names_an_older_one() -> None:
    @workflow(name="chain.older.1", logical="chain.named")
    async def oldest(count: int) -> int:
        continue_as_new(oldest(count + 1))

    @workflow(name="chain.older.2", logical="chain.named")
    async def older(count: int) -> int:
        continue_as_new(oldest(count + 2))

    @workflow(name="chain.named")
    async def newest(count: int) -> int:
        await sleep(2)
        return count

    assert len({oldest.version_hash, older.version_hash, newest.version_hash}) == 3
    for code in (oldest, older):
        seed = Driver(code, 1).steps[-1].out.successor
        assert seed is not None
        assert (seed.workflow, seed.version_hash) == ("chain.named", newest.version_hash)
    assert run_sync(oldest(1)) == 2, "in memory too"


@pytest.mark.rule("N3")
def test_of_older_versions_alone_the_successor_has_the_one_that_was_defined_last() -> None:
    @workflow(name="chain.only.1", logical="chain.only")
    async def first(count: int) -> int:
        continue_as_new(first(count + 1))

    @workflow(name="chain.only.2", logical="chain.only")
    async def last(count: int) -> int:
        await sleep(2)
        return count

    seed = Driver(first, 1).steps[-1].out.successor
    assert seed is not None
    assert seed.version_hash == last.version_hash


@pytest.mark.rule("D3")
def test_a_child_has_the_version_that_the_code_names() -> None:
    @workflow(name="chain.child.1", logical="chain.child")
    async def older(count: int) -> int:
        return count

    @workflow(name="chain.child")
    async def newest(count: int) -> int:
        return -count

    @workflow(name="chain.parent")
    async def parent() -> None:
        await start_child(older(1))
        await start_child(newest(1))
        await start_child(call("chain.child", 1))

    seeds = [seed for step in Driver(parent).steps for seed in step.out.children_started]
    assert seeds[0].version_hash == older.version_hash


@workflow(name="chain.swallow")
async def swallow(how: str) -> object:
    try:
        continue_as_new(loop(1))
    except BaseException:  # noqa: BLE001 - what careless code does
        if how == "raise":
            raise ValueError("another") from None
    finally:
        if how == "finally":
            await sleep(1)
    match how:
        case "activity":
            await step(1)
        case "child":
            await start_child(loop(1))
        case "again":
            continue_as_new(loop(2))
        case "twice":
            with suppress(BaseException):
                await step(1)
    return "swallowed"


@pytest.mark.rule("X8")
@pytest.mark.parametrize("how", ["return", "activity", "child", "again", "twice", "raise", "finally"])
def test_code_that_swallows_it_fails_and_nothing_is_journaled_after(how: str) -> None:
    run = Driver(swallow, how)
    assert run.types == []
    last = run.steps[-1]
    assert (last.state, run.failure.type) == ("failed", "continuum.errors.SuspendLeakError")
    assert "continue_as_new" in run.failure.message and "test_continuation.py" in run.failure.message
    assert (last.out.successor, last.out.dispatches, last.out.children_started) == (None, [], [])
    assert run.replayed().failure.type == run.failure.type


@pytest.mark.rule("X8")
def test_a_task_that_swallows_it_fails_the_run_too() -> None:
    @workflow(name="chain.task_swallows")
    async def outer() -> object:
        async def inner() -> str:
            with suppress(BaseException):
                continue_as_new(loop(1))
            return "swallowed"

        return await asyncio.create_task(inner())

    run = Driver(outer)
    assert (run.steps[-1].state, run.types) == ("failed", [])


@pytest.mark.rule("R3")
def test_another_successor_than_the_recorded_one_is_drift() -> None:
    @workflow(name="chain.varies")
    async def varies(how: str) -> None:
        if how == "effect":
            await sleep(1)
        continue_as_new(swallow("x") if how == "target" else loop(2 if how == "args" else 1))

    history = Driver(varies, "as it was").history
    expectations = {
        "args": r"event 1:\n.*continue_as_new chain\.loop #1 .*\n.*with other arguments",
        "target": r"event 1:\n.*continue_as_new chain\.loop #1 .*\n.*continue_as_new chain\.swallow #1",
        "effect": r"event 1:\n.*continue_as_new chain\.loop #1 .*\n.*timer #1",
    }
    for how, message in expectations.items():
        with pytest.raises(ReplayDriftError, match=message):
            Driver(varies, how, history=history)
    sleeping = Driver(varies, "effect").history
    with pytest.raises(ReplayDriftError, match=r"timer #1 .*\n.*continue_as_new chain\.loop #1"):
        Driver(varies, "as it was", history=sleeping)


def test_what_comes_for_a_run_that_was_continued_is_refused() -> None:
    run = continued("background")
    assert not run.signal(1, "never", 1)
    assert not run.machine.child_ended(UUID(int=1), 1, "completed", b"", 0)
    assert not run.machine.cancel(None, 1.0, 0)
    assert not run.fire(2)
    assert run.types[-1] == "run_continued_as_new"


def test_only_a_workflow_can_continue_a_run() -> None:
    @workflow(name="chain.wrong")
    async def wrong() -> None:
        continue_as_new(step(1))  # type: ignore[arg-type]

    run = Driver(wrong)
    assert run.failure.type == "TypeError" and "chain.step" in run.failure.message
