"""The run machine: what it journals and what it lets out, and that a replay is the same walk."""

from __future__ import annotations

import asyncio

import pytest

from continuum.core.definitions import workflow
from continuum.core.effects import now, side_effect
from continuum.errors import ActivityError, ContinuumError, PayloadError
from continuum.model.events import EVENT_TYPES, Failure
from continuum.model.retry import Retry
from tests.unit.machine_driver import BEGAN, Driver, Order, chain, charge, double, gathered


@pytest.mark.rule("R1", "A14")
def test_the_result_of_one_step_and_the_schedule_of_the_next_are_one_commit() -> None:
    run = Driver(chain, 1)
    run.complete(1, 2)
    assert [EVENT_TYPES[row.kind] for row in run.steps[-1].events] == [
        "activity_completed",
        "activity_scheduled",
    ]
    run.complete(3, 4)
    run.complete(5, 8)
    assert run.result == 8
    assert run.types == ["activity_scheduled", "activity_completed"] * 3


@pytest.mark.rule("R8")
def test_nothing_is_let_out_but_with_the_events_that_led_to_it() -> None:
    run = Driver(chain, 1)
    (dispatch,) = run.steps[0].out.dispatches
    assert (dispatch.seq, dispatch.attempt, run.steps[0].events[0].seq) == (1, 1, 1)
    run.complete(1, 2)
    assert [d.seq for d in run.steps[-1].out.dispatches] == [3]


def test_a_completion_that_comes_twice_or_for_nobody_is_ignored() -> None:
    run = Driver(chain, 1)
    assert run.complete(1, 2)
    assert not run.complete(1, 2)
    assert not run.complete(99, 2)
    assert not run.complete(3, 2, attempt=2)
    assert run.types == ["activity_scheduled", "activity_completed", "activity_scheduled"]


@pytest.mark.rule("R1")
def test_values_are_restored_by_annotation_and_failures_name_their_path() -> None:
    @workflow(name="t.restore")
    async def buy(order: Order) -> str:
        return f"{type(order).__name__} {await charge(order)}"

    run = Driver(buy, Order("o1", 5))
    run.complete(1, "paid")
    assert run.result == "Order paid"
    bad = Driver(buy, {"id": "o1", "cents": "many"})
    assert bad.failure.type == "continuum.errors.PayloadError"
    assert "cents" in bad.failure.message


@pytest.mark.rule("R4")
def test_concurrent_branches_see_arrivals_in_the_order_of_the_journal() -> None:
    run = Driver(gathered)
    assert run.types == ["timer_started"] * 3
    for seq in (3, 1, 2):
        run.fire(seq)
    for seq, value in ((9, 4), (5, 6), (7, 2)):
        run.complete(seq, value)
    assert run.result == [2, 4, 6]
    again = run.replayed()
    assert again.result == [2, 4, 6]
    assert again.history == run.history


def test_a_side_effect_runs_once_and_its_failure_is_recorded_too() -> None:
    calls: list[int] = []

    @workflow(name="t.side")
    async def effect() -> object:
        first = "nothing"
        try:
            side_effect(lambda: 1 // 0)
        except ActivityError as error:
            first = error.type
        value = side_effect(lambda: (calls.append(1), (1, "x"))[1])  # type: ignore[func-returns-value]
        await double(1)
        return [first, value]

    run = Driver(effect)
    run.complete(3, 2)
    assert run.result == ["ZeroDivisionError", (1, "x")]
    assert run.replayed().result == ["ZeroDivisionError", (1, "x")]
    assert calls == [1]


@pytest.mark.rule("A4")
def test_a_failed_activity_reaches_the_code_with_its_facts() -> None:
    @workflow(name="t.fails")
    async def fails() -> object:
        try:
            return await double(1)
        except ActivityError as error:
            return [error.type, error.message, error.attempts, error.traceback]

    run = Driver(fails)
    run.machine.fail(1, 1, Failure("ValueError", "no", "trace"), False, BEGAN)
    run.take()
    assert run.result == ["ValueError", "no", 1, "trace"]
    assert run.replayed().result == run.result


@pytest.mark.rule("A1", "A7")
def test_a_retry_is_a_durable_attempt_and_the_old_one_counts_no_more() -> None:
    run = Driver(chain, 1)
    assert run.machine.retry(1, 1, Failure("OSError", "x"), 2.5)
    run.take()
    (dispatch,) = run.steps[-1].out.dispatches
    assert (dispatch.attempt, dispatch.delay_s) == (2, 2.5)
    assert not run.complete(1, 2, attempt=1)
    again = run.replayed()
    assert [p.dispatch.attempt for p in again.machine.attempts()] == [2]
    assert again.complete(1, 2, attempt=2)


def test_the_error_of_a_run_is_text_and_carries_its_cause() -> None:
    @workflow(name="t.error")
    async def broken() -> None:
        try:
            await double(1)
        except ActivityError as error:
            raise KeyError("gone") from error

    run = Driver(broken)
    run.machine.fail(1, 1, Failure("ValueError", "no"), False, BEGAN)
    run.take()
    failure = run.failure
    assert (failure.type, failure.cause) == ("KeyError", "continuum.errors.ActivityError: no")
    assert "test_machine.py" in failure.traceback


def test_a_payload_that_cannot_be_encoded_is_refused_where_it_is_passed() -> None:
    @workflow(name="t.payload")
    async def passes() -> str:
        try:
            await double(lambda: 1)  # type: ignore[arg-type]
        except PayloadError as error:
            await double(1)
            return error.path
        return "accepted"

    run = Driver(passes)
    run.complete(1, 2)
    assert "double" in str(run.result)
    assert run.replayed().history == run.history


def test_effects_outside_a_workflow_say_what_to_do() -> None:
    with pytest.raises(ContinuumError, match=r"inside a workflow.*continuum\.start"):
        now()


def test_a_dropped_run_journals_nothing_whatever_its_finally_blocks_try() -> None:
    seen: list[str] = []

    @workflow(name="t.dropped")
    async def stubborn() -> None:
        try:
            await double(1)
        finally:
            seen.append("finally")
            await double(2)

    run = Driver(stubborn)
    run.machine.drop()
    assert seen == ["finally"]
    assert not run.machine.changed


def test_locks_queues_events_and_groups_work_and_replay() -> None:
    @workflow(name="t.asyncio")
    async def composed() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        lock, done, out = asyncio.Lock(), asyncio.Event(), []

        async def produce() -> None:
            for n in range(3):
                await queue.put(await double(n))
            done.set()

        async def consume() -> None:
            for _ in range(3):
                async with lock:
                    out.append(await queue.get())

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
        await done.wait()
        out.append(await asyncio.wait_for(double(50), 30))
        return out

    run = Driver(composed)
    for seq in (1, 3, 5):
        run.complete(seq, seq)
    run.complete(8, 100)
    assert run.result == [1, 3, 5, 100]
    assert run.replayed().history == run.history


def test_equal_calls_in_a_gather_are_run_each() -> None:
    @workflow(name="t.equal")
    async def equal() -> list[int]:
        assert double(1) == double(1)
        return list(await asyncio.gather(double(1), double(1)))

    with pytest.warns(RuntimeWarning, match="never awaited"):
        run = Driver(equal)
    assert run.types == ["activity_scheduled"] * 2
    run.complete(2, 20)
    run.complete(1, 10)
    assert run.result == [10, 20]


def test_a_task_group_takes_calls_and_a_retry_policy_is_checked_at_definition() -> None:
    @workflow(name="t.tasks")
    async def tasks() -> int:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(double(n)) for n in (1, 2)]
        return sum(task.result() for task in made)

    run = Driver(tasks)
    run.complete(2, 40)
    run.complete(1, 2)
    assert run.result == 42
    with pytest.raises(ValueError, match="max_attempts"):
        Retry(max_attempts=0)


@pytest.mark.rule("D1")
def test_only_an_async_def_is_a_workflow() -> None:
    with pytest.raises(TypeError, match="async def"):

        @workflow  # type: ignore[arg-type]
        def plain() -> None: ...
