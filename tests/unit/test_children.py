"""Children: what a parent journals of them, what cancels them, and that replay agrees (chapter C)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest

from continuum.core.call import call
from continuum.core.commands.child import DEPTH_MAX
from continuum.core.definitions import Workflow, activity, workflow
from continuum.core.effects import now, sleep, start_child
from continuum.core.failure import encode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ChildError, ConfigurationError, ReplayDriftError, RunExistsError
from continuum.model import payload
from continuum.model.events import ChildStarted, EventRow, Failure, from_row
from continuum.model.ids import child_run_id
from continuum.model.run import RunState
from tests.unit.machine_driver import BEGAN, RUN, SECOND, Driver


@dataclass(frozen=True)
class Receipt:
    cents: int


@activity(name="kin.pay")
def pay(cents: int) -> int:
    return cents


@workflow(name="kin.item")
async def item(cents: int) -> Receipt:
    return Receipt(await pay(cents))


class Parent(Driver):
    """A driver whose children end when the test says so."""

    def end(self, seq: int, state: RunState, data: bytes, child_id: UUID | None = None) -> bool:
        at = BEGAN + len(self.history) * SECOND
        took = self.machine.child_ended(child_id or self.child(seq), seq, state, data, at)
        self.take()
        return took

    def completes(self, seq: int, value: object) -> bool:
        return self.end(seq, "completed", payload.encode(value))

    def child(self, seq: int) -> UUID:
        body = from_row(self.history[seq - 1])
        assert isinstance(body, ChildStarted)
        return UUID(bytes=body.child)

    def replayed(self) -> Parent:
        return Parent(self.target, *self.args, history=self.history)


@workflow(name="kin.one")
async def one() -> object:
    receipt = await item(5)
    return [type(receipt).__name__, receipt.cents]


@pytest.mark.rule("C1", "R8", "R1")
def test_a_child_is_started_with_the_commit_of_its_event_and_its_end_is_journaled() -> None:
    run = Parent(one)
    (seed,) = run.steps[0].out.children_started
    assert run.types == ["child_started"] and run.steps[0].state == "suspended"
    assert (seed.id, seed.workflow, seed.args) == (run.child(1), item.name, payload.encode([[5], {}]))
    assert (seed.parent_run_id, seed.parent_command, seed.depth) == (RUN, 1, 1)
    assert seed.version_hash == item.version_hash
    assert run.completes(1, {"cents": 5})
    assert run.result == ["Receipt", 5]
    assert run.types == ["child_started", "child_completed"]
    assert run.steps[-1].out.children_consumed == [seed.id]
    again = run.replayed()
    assert (again.result, again.history) == (run.result, run.history)


@pytest.mark.rule("C1")
def test_no_replay_starts_a_child_twice_and_a_lost_commit_starts_the_same() -> None:
    run = Parent(one)
    assert run.replayed().steps[0].out.children_started == []
    assert Parent(one).steps[0].out.children_started == run.steps[0].out.children_started
    ids = {child_run_id(RUN, 1, None), child_run_id(RUN, 2, None), child_run_id(RUN, 1, "child 2")}
    assert len(ids) == 3 and child_run_id(RUN, 1, "x") == child_run_id(RUN, 9, "x")


@pytest.mark.rule("C5")
@pytest.mark.parametrize("name", ["ValueError", "asyncio.exceptions.CancelledError", "continuum.Cancelled"])
def test_a_child_that_failed_is_failed_whatever_its_error_is_called(name: str) -> None:
    @workflow(name="kin.fails")
    async def fails() -> object:
        try:
            return await item(1)
        except ChildError as error:
            return [error.state, str(error.run_id), str(error)]

    run = Parent(fails)
    run.end(1, "failed", encode_failure(Failure(name, "no money")))
    state, run_id, text = cast("list[str]", run.result)
    assert (state, run_id) == ("failed", str(run.child(1)))
    assert f"{name}: no money" in text and "kin.item" in text
    assert run.types[-1] == "child_failed"
    assert run.replayed().result == run.result


@pytest.mark.rule("C5")
def test_a_cancelled_child_is_an_error_of_its_await() -> None:
    run = Parent(one)
    run.end(1, "cancelled", b"")
    assert run.types[-1] == "child_cancelled"
    assert (run.failure.type, run.steps[-1].state) == ("continuum.errors.ChildError", "failed")
    assert run.replayed().failure == run.failure


def test_an_end_that_comes_twice_counts_once_and_one_for_nobody_is_consumed_without_an_event() -> None:
    @workflow(name="kin.two")
    async def two() -> int:
        return (await item(1)).cents + (await item(2)).cents

    run = Parent(two)
    assert run.completes(1, {"cents": 1})
    assert not run.completes(1, {"cents": 1}) and run.steps[-1].out.children_consumed == []
    stranger = UUID(int=5)
    assert not run.machine.child_ended(stranger, 77, "completed", payload.encode(1), BEGAN)
    assert run.machine.changed, "whoever delivers it must not deliver it for ever"
    run.take()
    assert (run.steps[-1].events, run.steps[-1].out.children_consumed) == ([], [stranger])


@workflow(name="kin.refs")
async def refs() -> list[int]:
    first = await start_child(item(1), id="first")
    second = await start_child(item(2))
    await sleep(10)
    receipts = await asyncio.gather(second, first)
    again = await first
    return [*(receipt.cents for receipt in receipts), again.cents]


@pytest.mark.rule("C1")
def test_the_end_of_a_child_before_its_await_is_kept_and_the_await_returns_at_once() -> None:
    run = Parent(refs)
    assert run.types == ["child_started", "child_started", "timer_started"]
    assert run.child(1) == child_run_id(RUN, 1, "first")
    assert run.completes(1, {"cents": 1})
    assert run.types[-1] == "child_completed", "it is journaled when it comes"
    run.fire(3)
    assert run.completes(2, {"cents": 2})
    assert run.result == [2, 1, 1]
    assert (run.replayed().result, run.replayed().history) == (run.result, run.history)


def test_a_second_child_under_the_same_id_is_refused_and_nothing_is_journaled() -> None:
    @workflow(name="kin.same")
    async def same() -> object:
        ref = await start_child(item(1), id="x")
        try:
            await start_child(item(2), id="x")
        except RunExistsError as error:
            return [error.run_id == ref.id, error.key, "attach" in str(error)]
        return None

    run = Parent(same)
    assert run.result == [True, "x", False]
    assert run.types == ["child_started"]
    assert run.replayed().result == run.result


@workflow(name="kin.impatient")
async def impatient(attached: bool) -> str:
    ref = None if attached else await start_child(item(1))
    try:
        async with asyncio.timeout(10):
            await (item(1) if ref is None else ref)
    except TimeoutError:
        await sleep(100)
    if ref is not None:
        return f"late {(await ref).cents}"
    return "gave up"


@pytest.mark.rule("C6")
def test_cancelling_the_await_of_a_call_cancels_the_child() -> None:
    run = Parent(impatient, True)
    assert run.types == ["timer_started", "child_started"]
    run.fire(1)
    assert run.steps[-1].out.children_cancelled == [2]
    assert not run.end(2, "cancelled", b""), "its end is nobody's"
    again = run.replayed()
    assert again.steps[0].out.children_cancelled == [], "it was cancelled by the commit that is journaled"
    again.fire(4)
    assert again.result == "gave up"


@pytest.mark.rule("C6")
def test_cancelling_the_await_of_a_reference_only_stops_waiting() -> None:
    run = Parent(impatient, False)
    run.fire(2)
    assert run.steps[-1].out.children_cancelled == []
    run.fire(4)
    assert run.completes(1, {"cents": 3})
    assert run.result == "late 3"
    assert run.replayed().history == run.history


@pytest.mark.rule("C6")
def test_a_child_that_is_given_up_before_its_commit_is_never_started() -> None:
    @workflow(name="kin.rash")
    async def rash() -> str:
        task = asyncio.ensure_future(item(1))
        await asyncio.sleep(0)
        task.cancel()
        return "never mind"

    run = Parent(rash)
    assert run.result == "never mind"
    out = run.steps[-1].out
    assert (out.children_started, out.children_cancelled) == ([], [])


@pytest.mark.rule("C6")
def test_the_end_of_a_run_cancels_the_children_of_its_awaits_and_leaves_its_references() -> None:
    @workflow(name="kin.leaves")
    async def leaves() -> None:
        await start_child(item(1))
        await asyncio.gather(item(2), item(3))

    run = Parent(leaves)
    run.end(2, "failed", encode_failure(Failure("ValueError", "no")))
    assert run.steps[-1].state == "failed"
    assert run.steps[-1].out.children_cancelled == [3]


@pytest.mark.rule("C4")
def test_the_limit_of_depth_is_an_error_where_the_child_is_started() -> None:
    @workflow(name="kin.deep")
    async def deep() -> str:
        text = ""
        for start in (one, lambda: start_child(one())):
            try:
                await start()
            except ConfigurationError as error:
                text = str(error)
        return text

    def machine_at(depth: int, target: Workflow[..., Any]) -> Machine:
        identity = RunIdentity(RUN, target.name, "default", BEGAN, RUN, depth=depth)
        machine = Machine(identity, target, payload.encode([[], {}]), Crew("b:0"))
        machine.begin()
        return machine

    step = machine_at(DEPTH_MAX, deep).take()
    assert "limit of depth" in str(payload.decode(step.result or b""))
    assert (step.events, step.out.children_started) == ([], [])
    (seed,) = machine_at(DEPTH_MAX - 1, one).take().out.children_started
    assert seed.depth == DEPTH_MAX


def history_of(target: Workflow[..., Any], *args: object) -> list[EventRow]:
    return Parent(target, *args).history


@workflow(name="kin.changed")
async def changed(how: str) -> object:
    match how:
        case "kind":
            return await pay(5)
        case "target":
            return await one()
        case "args":
            return await item(6)
        case "ref":
            return (await (await start_child(item(5)))).cents
    return await item(5)


@pytest.mark.rule("R3")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kind", r"event 1:\n.*child kin\.item #1 \(.*\.py:\d+\)\n.*activity kin\.pay #1"),
        ("target", r"event 1:\n.*child kin\.item #1.*\n.*child kin\.one #1"),
        ("args", r"event 1:\n.*child kin\.item #1.*\n.*child kin\.item #1 \(.*, with other arguments\)"),
    ],
)
def test_another_child_than_the_recorded_one_is_drift(how: str, message: str) -> None:
    with pytest.raises(ReplayDriftError, match=message):
        Parent(changed, how, history=history_of(one))


@pytest.mark.rule("R2", "R3")
def test_a_child_of_the_same_workflow_and_arguments_is_the_recorded_one() -> None:
    run = Parent(changed, "ref", history=history_of(one))
    run.completes(1, {"cents": 5})
    assert run.result == 5


@pytest.mark.rule("R5")
def test_an_end_of_a_child_that_nothing_waits_for_is_drift_in_replay() -> None:
    run = Parent(one)
    run.completes(1, {"cents": 5})

    @workflow(name="kin.none")
    async def none() -> None:
        return

    with pytest.raises(ReplayDriftError, match=r"child_started|child kin\.item"):
        Parent(none, history=run.history)


def test_a_child_by_name_gives_its_result_as_it_was_stored_and_an_activity_is_no_child() -> None:
    @workflow(name="kin.named")
    async def named() -> object:
        text = ""
        try:
            await start_child(pay(1))  # type: ignore[arg-type]
        except TypeError as error:
            text = str(error)
        return [await call("kin.elsewhere", 1), "pay" in text, now().year]

    run = Parent(named)
    (seed,) = run.steps[0].out.children_started
    assert seed.version_hash is None
    run.completes(1, {"cents": 5})
    assert run.result == [{"cents": 5}, True, 2023]


@pytest.mark.rule("X8")
def test_a_dropped_parent_cancels_no_child_and_starts_none() -> None:
    @workflow(name="kin.dropped")
    async def dropped() -> None:
        try:
            await item(1)
        finally:
            await item(2)

    run = Parent(dropped)
    run.machine.drop()
    step = run.machine.take()
    assert (step.events, step.out.children_started, step.out.children_cancelled) == ([], [], [])
