"""A cancel that leaves time for cleaning up: CancelledError inside, and how the run ends (K4)."""

from __future__ import annotations

import asyncio

import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import now, sleep, start_child, wait_signal
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ActivityError
from continuum.model import payload
from continuum.model.events import CancelRequested, Failure
from tests.unit.machine_driver import BEGAN, RUN, SECOND
from tests.unit.test_children import Parent, item

AT = BEGAN + 50 * SECOND


@activity(name="clean.work")
def work(value: int) -> int:
    return value


@activity(name="clean.undo")
def undo(value: int) -> int:
    return value


class Cancelled(Parent):
    def cancel(self, reason: str | None = "enough", cleanup_s: float = 30.0) -> bool:
        took = self.machine.cancel(reason, cleanup_s, AT)
        self.take()
        return took

    def replayed(self) -> Cancelled:
        return Cancelled(self.target, *self.args, history=self.history)


@workflow(name="clean.tidy")
async def tidy(how: str) -> object:
    try:
        await work(1)
    except asyncio.CancelledError:
        await undo(1)
        await sleep(5)
        match how:
            case "returns":
                return "tidied"
            case "fails":
                raise ValueError("could not tidy") from None
        raise
    return "done"


@pytest.mark.rule("K4", "A15", "R1")
def test_the_code_sees_cancelled_error_and_may_still_use_activities_and_timers() -> None:
    run = Cancelled(tidy, "raises")
    assert run.cancel()
    assert run.types == ["activity_scheduled", "cancel_requested", "activity_scheduled"]
    assert run.steps[-1].out.abandoned == [(1, 1)]
    assert [dispatch.seq for dispatch in run.steps[-1].out.dispatches] == [3]
    assert not run.complete(1, 1), "what was cancelled has no result any more"
    run.complete(3, 1)
    run.fire(5)
    last = run.steps[-1]
    assert last.state == "cancelled"
    assert decode_failure(last.error or b"") == Failure("continuum.Cancelled", "enough")
    again = run.replayed()
    assert (again.history, again.steps[-1].state) == (run.history, "cancelled")


@pytest.mark.rule("K4")
@pytest.mark.parametrize(("how", "state"), [("returns", "completed"), ("fails", "failed")])
def test_code_that_ends_in_another_way_in_time_has_ended_in_that_way(how: str, state: str) -> None:
    run = Cancelled(tidy, how)
    run.cancel()
    run.complete(3, 1)
    run.fire(5)
    assert run.steps[-1].state == state
    assert run.replayed().steps[-1].state == state


@pytest.mark.rule("K4")
def test_only_the_first_cancel_counts_also_after_a_replay() -> None:
    run = Cancelled(tidy, "raises")
    assert run.cancel()
    assert not run.cancel("again")
    again = run.replayed()
    assert not again.cancel("again")
    again.complete(3, 1)
    assert not again.cancel("again")
    assert again.types.count("cancel_requested") == 1


@pytest.mark.rule("C5", "K4")
def test_a_workflow_that_cancels_itself_without_being_asked_has_failed() -> None:
    @workflow(name="clean.itself")
    async def itself() -> None:
        await wait_signal("go")
        raise asyncio.CancelledError

    run = Cancelled(itself)
    run.signal(1, "go", None)
    assert (run.steps[-1].state, run.failure.type) == ("failed", "asyncio.exceptions.CancelledError")


@pytest.mark.rule("K4", "R4")
def test_a_cancel_goes_through_groups_and_time_outs_as_in_asyncio() -> None:
    @workflow(name="clean.groups")
    async def groups() -> str:
        async def branch(value: int) -> None:
            try:
                await work(value)
            finally:
                await undo(value)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for value in (1, 2):
                group.create_task(branch(value))
        return "not reached"

    run = Cancelled(groups)
    run.cancel()
    assert run.types[3:] == ["cancel_requested", "activity_scheduled", "activity_scheduled"]
    run.complete(5, 1)
    run.machine.fail(6, 1, Failure("ValueError", "no"), False, AT)
    run.take()
    assert run.steps[-1].state == "failed", "a clean-up that fails is what the run says"
    assert run.replayed().history == run.history


@pytest.mark.rule("K4", "C6")
def test_children_that_were_there_have_their_own_time_and_later_ones_are_cancelled_as_ever() -> None:
    @workflow(name="clean.parent")
    async def parent() -> object:
        try:
            return await item(1)
        finally:
            try:
                async with asyncio.timeout(3):
                    await item(2)
            except TimeoutError:
                await start_child(item(3))

    run = Cancelled(parent)
    run.cancel()
    assert run.steps[-1].out.children_cancelled == [], "the same cancel has reached it already"
    assert [seed.parent_command for seed in run.steps[-1].out.children_started] == [4]
    run.fire(3)
    assert run.steps[-1].out.children_cancelled == [4]
    assert run.steps[-1].state == "cancelled"
    assert run.replayed().history == run.history


@pytest.mark.rule("K4")
def test_the_time_inside_is_that_of_the_request() -> None:
    @workflow(name="clean.time")
    async def timed() -> object:
        try:
            await sleep(1000)
        except asyncio.CancelledError:
            return now().timestamp()
        return None

    run = Cancelled(timed)
    run.cancel()
    assert run.steps[-1].out.timers_cleared == [1]
    assert run.result == AT / SECOND
    assert run.replayed().result == run.result


def test_a_failed_activity_before_the_cancel_is_not_a_cancel() -> None:
    @workflow(name="clean.order")
    async def order() -> str:
        try:
            await work(1)
        except ActivityError:
            return "failed first"
        return "no"

    run = Cancelled(order)
    run.machine.fail(1, 1, Failure("ValueError", "no"), False, AT)
    run.take()
    assert not run.cancel()
    assert run.result == "failed first"


@pytest.mark.rule("K4")
@pytest.mark.parametrize("how", ["returns", "fails", "raises"])
def test_whatever_comes_of_a_clean_up_that_was_too_long_is_a_cancelled_run(how: str) -> None:
    run = Cancelled(tidy, how)
    run.cancel("enough", 5.0)
    run.complete(3, 1)
    assert run.machine.fire(5, AT + 7 * SECOND)
    run.take()
    assert run.steps[-1].state == "cancelled"
    error = run.steps[-1].error
    assert error is not None and decode_failure(error).message == "enough"
    again = run.replayed()
    assert (again.steps[-1].state, again.steps[-1].error) == ("cancelled", error)


@pytest.mark.rule("B5")
def test_a_run_that_was_cancelled_before_it_began_runs_no_code() -> None:
    identity = RunIdentity(RUN, tidy.name, "default", BEGAN, RUN)
    machine = Machine(identity, tidy, payload.encode([["returns"], {}]), Crew("b:0"))
    machine.never_begin(CancelRequested(30.0, BEGAN, "enough"))
    assert machine.ended and machine.changed
    step = machine.take()
    assert (step.state, step.events) == ("cancelled", [])
    assert step.error is not None and decode_failure(step.error).message == "enough"
