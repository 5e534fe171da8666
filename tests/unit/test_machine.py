"""The run machine: what it journals, what it refuses, and that a replay is the same walk."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest

from continuum.core.definitions import Workflow, activity, workflow
from continuum.core.effects import (
    Signal,
    now,
    random,
    run_info,
    side_effect,
    sleep,
    sleep_until,
    uuid4,
    wait_signal,
)
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.recorded import Recorded
from continuum.core.step import Crew, RunIdentity, Step
from continuum.errors import ActivityError, ContinuumError, PayloadError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, EventRow, Failure
from continuum.model.retry import Retry

RUN = UUID(int=7)
BEGAN = 1_700_000_000_000_000
SECOND = 1_000_000


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


@activity
def charge(order: Order) -> str:
    return order.id


@activity
def double(value: int) -> int:
    return 2 * value


approved = Signal("approved", bool)


class Driver:
    """A machine with its journal: takes every step at once, as a shell does after each arrival."""

    def __init__(
        self, target: Workflow[..., Any], *args: object, history: list[EventRow] | Recorded | None = None
    ) -> None:
        self.target, self.args = target, args
        identity = RunIdentity(RUN, target.name, "default", BEGAN, RUN)
        self.machine = Machine(identity, target, payload.encode([list(args), {}]), Crew("b:0"))
        self.history = history.rows() if isinstance(history, Recorded) else list(history or [])
        self.steps: list[Step] = []
        self.machine.begin(history if isinstance(history, Recorded) else self.history)
        self.take()

    def take(self) -> None:
        step = self.machine.take()
        assert [row.seq for row in step.events] == [
            len(self.history) + 1 + index for index in range(len(step.events))
        ]
        self.history += step.events
        self.steps.append(step)

    def complete(self, seq: int, value: object, attempt: int = 1) -> bool:
        took = self.machine.complete(seq, attempt, payload.encode(value), BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    def fire(self, seq: int) -> bool:
        took = self.machine.fire(seq, BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    def signal(self, signal_id: int, name: str, value: object) -> bool:
        took = self.machine.signal(signal_id, name, payload.encode(value), BEGAN + len(self.history) * SECOND)
        self.take()
        return took

    @property
    def types(self) -> list[str]:
        return [EVENT_TYPES[row.kind] for row in self.history]

    @property
    def result(self) -> object:
        step = self.steps[-1]
        assert step.state == "completed", decode_failure(step.error or b"")
        return payload.decode(step.result or b"")

    @property
    def failure(self) -> Failure:
        assert self.steps[-1].error is not None
        return decode_failure(self.steps[-1].error)

    def replayed(self) -> Driver:
        return Driver(self.target, *self.args, history=self.history)


@workflow
async def chain(value: int) -> int:
    for _ in range(3):
        value = await double(value)
    return value


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


@workflow
async def gathered() -> list[int]:
    async def twice(value: int) -> int:
        await sleep(value)
        return await double(value)

    return await asyncio.gather(*(twice(n) for n in (1, 2, 3)))


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


@workflow
async def racing() -> str:
    try:
        async with asyncio.timeout(10):
            return f"value {await double(1)}"
    except TimeoutError:
        return f"late {await wait_signal('end')}"


@pytest.mark.rule("R4", "A15", "T5")
def test_a_timeout_withdraws_the_activity_and_its_late_result_leaves_no_event() -> None:
    run = Driver(racing)
    assert run.types == ["timer_started", "activity_scheduled"]
    run.fire(1)
    assert run.steps[-1].out.abandoned == [(2, 1)]
    assert not run.complete(2, 5)
    run.signal(1, "end", "x")
    assert run.result == "late x"
    assert run.replayed().history == run.history


@pytest.mark.rule("T5")
def test_a_timer_that_is_not_needed_goes_with_the_commit_of_what_cancelled_it() -> None:
    run = Driver(racing)
    run.complete(2, 5)
    assert run.result == "value 5"
    assert run.steps[-1].out.timers_cleared == [1]


@workflow
async def patient() -> object:
    try:
        return await approved.wait(timeout=60)
    except TimeoutError:
        return "nobody"


@pytest.mark.rule("S2")
def test_a_signal_before_its_wait_is_journaled_as_received_only() -> None:
    @workflow(name="t.early")
    async def early() -> object:
        await double(1)
        return await approved.wait()

    run = Driver(early)
    assert not run.signal(11, "approved", True)
    run.complete(1, 2)
    assert run.types == ["activity_scheduled", "activity_completed", "signal_received"]
    assert run.result is True
    assert run.steps[-1].out.signals_consumed == [11]
    assert run.replayed().history == run.history


@pytest.mark.rule("S3")
@pytest.mark.parametrize("signal_first", [True, False])
def test_of_a_signal_and_its_timeout_exactly_one_wins(signal_first: bool) -> None:
    run = Driver(patient)
    assert run.steps[0].out.timers_set[0].delay_s == 60
    if signal_first:
        assert run.signal(1, "approved", True)
        assert not run.fire(1)
        assert run.result is True
        assert run.steps[-2].out.timers_cleared == [1]
    else:
        assert run.fire(1)
        assert not run.signal(1, "approved", True)
        assert run.result == "nobody"
    assert run.replayed().history == run.history


@pytest.mark.rule("S1", "S7")
def test_signals_are_consumed_once_in_order_and_a_cancelled_wait_consumes_none() -> None:
    @workflow(name="t.fifo")
    async def fifo() -> list[object]:
        try:
            async with asyncio.timeout(5):
                await wait_signal("a")
        except TimeoutError:
            pass
        return [await wait_signal("a"), await wait_signal("a")]

    run = Driver(fifo)
    run.fire(1)
    run.signal(5, "a", "first")
    run.signal(5, "a", "first")
    run.signal(4, "a", "second")
    assert run.result == ["first", "second"]
    assert run.replayed().history == run.history


def test_time_and_randomness_are_those_of_the_run() -> None:
    @workflow(name="t.time")
    async def timed() -> list[object]:
        first = now()
        await sleep(100)
        return [first, now(), uuid4(), random(), run_info().id]

    run = Driver(timed)
    run.machine.fire(1, BEGAN + 1)  # an engine whose clock lags: the timer's own time counts
    run.take()
    result = cast("list[Any]", run.result)
    first, second, *rest = result
    assert first == dt.datetime.fromtimestamp(BEGAN / 1e6, dt.UTC)
    assert second - first == dt.timedelta(seconds=100)
    assert run.replayed().result == [first, second, *rest]


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


@pytest.mark.rule("T1")
def test_sleep_until_is_a_timer_of_a_moment() -> None:
    moment = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)

    @workflow(name="t.until")
    async def until() -> str:
        await sleep_until(moment)
        return str(now() >= moment)

    run = Driver(until)
    assert run.steps[0].out.timers_set[0].until == round(moment.timestamp() * 1e6)
    run.fire(1)
    assert run.result == "True"


@pytest.mark.rule("R3")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            "other", r"event 1:\n.*double #1 \(.*\.py:\d+\)\n.*charge #1 \(.*\.py:\d+\)", id="another target"
        ),
        pytest.param("kind", r"event 1:\n.*double #1.*\n.*timer #1", id="another kind"),
        pytest.param("fewer", r"event 3:\n.*double #2.*\n.*nothing: the workflow has ended", id="ends early"),
        pytest.param("more", r"event 2:\n.*activity_completed for event 1 .*\n.*double #2", id="issues more"),
    ],
)
def test_changed_code_is_refused_with_both_sides(changed: str, message: str) -> None:
    @workflow(name=f"t.changed.{changed}")
    async def code(value: int) -> object:
        if changed == "other":
            await charge(Order("x", 1))
        if changed == "kind":
            await sleep(5)
        if changed == "more":
            return await asyncio.gather(double(1), double(2))
        return await double(value)

    run = Driver(chain, 1)
    run.complete(1, 2)
    with pytest.raises(ReplayDriftError, match=message):
        Driver(code, 1, history=run.history)


@pytest.mark.rule("R3")
def test_drift_cannot_be_swallowed_and_commands_nothing() -> None:
    @workflow(name="t.swallow")
    async def swallow(value: int) -> object:
        try:
            await charge(Order("x", 1))
        except Exception:  # noqa: BLE001 - what careless code does
            return "swallowed"
        return None

    run = Driver(chain, 1)
    identity = RunIdentity(RUN, "t.swallow", "default", BEGAN, RUN)
    machine = Machine(identity, swallow, payload.encode([[1], {}]), Crew("b:0"))
    with pytest.raises(ReplayDriftError):
        machine.begin(run.history)
    assert not machine.take().events


@pytest.mark.rule("R3")
def test_changed_arguments_of_an_activity_are_no_drift() -> None:
    run = Driver(chain, 1)
    run.complete(1, 2)
    again = Driver(chain, 50, history=run.history)
    assert [d.seq for d in again.steps[-1].out.dispatches] == []
    again.complete(3, 7)
    assert again.types[-1] == "activity_scheduled"


@pytest.mark.rule("R2")
def test_lines_are_recorded_and_never_compared() -> None:
    source = "async def code(value):\n{pad}    return await double(value)\n"
    made: list[Workflow[..., Any]] = []
    for pad in ("", "\n\n\n"):
        names: dict[str, object] = {"double": double, "__name__": "t.lines"}
        exec(compile(source.format(pad=pad), f"/x/lines{len(made)}.py", "exec"), names)
        made.append(Workflow(cast("Any", names["code"]), "t.lines.code"))
    run = Driver(made[0], 4)
    again = Driver(made[1], 4, history=run.history)
    again.complete(1, 8)
    assert again.result == 8


@pytest.mark.rule("R5")
def test_history_left_over_at_the_end_is_drift_and_a_pending_wait_is_suspended() -> None:
    @workflow(name="t.short")
    async def short(value: int) -> int:
        return await double(value)

    run = Driver(chain, 1)
    run.complete(1, 2)
    with pytest.raises(ReplayDriftError, match="the workflow has ended"):
        Driver(short, 1, history=run.history)
    waiting = Driver(patient)
    assert waiting.replayed().steps[-1].state == "suspended"
    assert waiting.replayed().steps[-1].events == []


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
