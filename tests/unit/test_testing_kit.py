"""The test kit: a workflow in memory ends as it would on a node, and time is no matter."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from continuum import (
    ActivityError,
    ActivityTimeoutError,
    ContinuumError,
    DeterminismError,
    PayloadError,
    ReplayDriftError,
    Retry,
    RunCancelledError,
    RunFailedError,
    RunTerminalError,
    Signal,
    UnknownWorkflowError,
    activity,
    activity_info,
    call,
    days,
    hours,
    now,
    run_info,
    side_effect,
    sleep,
    workflow,
)
from continuum.testing import RunWaitingError, run_sync, start_sync


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


approved = Signal("approved", bool)


@activity(name="kit.charge")
def charge(order: Order) -> str:
    return f"paid {order.id}"


@activity(name="kit.ship")
async def ship(order: Order) -> str:
    await asyncio.sleep(0)
    return f"shipped {order.id}"


@workflow(name="kit.checkout")
async def checkout(order: Order) -> list[str]:
    payment = await charge(order)
    if not await approved.wait(timeout=days(3)):
        raise ValueError("declined")
    await sleep(hours(1))
    return [payment, await ship(order)]


ORDER = Order("o1", 4200)


def test_a_workflow_runs_to_its_end_at_once_with_signals_that_are_there_beforehand() -> None:
    assert run_sync(checkout(ORDER), signals=[("approved", True)]) == ["paid o1", "shipped o1"]


@pytest.mark.rule("S2")
def test_a_signal_that_is_there_beforehand_is_only_received() -> None:
    run = start_sync(checkout(ORDER), signals=[(approved, True)])
    assert [event.type for event in run.history] == [
        "activity_scheduled",
        "activity_completed",
        "signal_received",
        "timer_started",
    ]


def test_an_exception_fails_the_run_as_a_client_sees_it() -> None:
    with pytest.raises(RunFailedError, match="ValueError: declined") as caught:
        run_sync(checkout(ORDER), signals=[("approved", False)])
    assert (caught.value.type, caught.value.message) == ("ValueError", "declined")
    assert "in checkout" in caught.value.traceback


def test_a_wait_that_nobody_ends_is_an_error_that_says_what_it_waits_for() -> None:
    @workflow
    async def patient() -> None:
        await approved.wait()

    with pytest.raises(
        RunWaitingError, match=r"wait for signal approved #1 \(unit/test_testing_kit.py:\d+\)"
    ):
        run_sync(patient())


def test_a_wait_that_no_event_can_end_says_so() -> None:
    @workflow
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RunWaitingError, match="which nothing will ever set"):
        run_sync(stuck())


@pytest.mark.rule("T1")
def test_time_skips_to_the_next_timer_and_the_workflow_sees_it_pass() -> None:
    @workflow
    async def slow() -> dt.timedelta:
        began = now()
        await asyncio.gather(sleep(days(2)), sleep(days(30)))
        return now() - began

    assert run_sync(slow()) == days(30)


def constant() -> str:
    return "nothing"


async def fake_async(order: Order) -> str:
    await asyncio.sleep(0)
    return order.id


@pytest.mark.parametrize(
    ("fake", "paid"),
    [
        (lambda order: f"fake {order.id}", "fake o1"),
        (constant, "nothing"),
        (fake_async, "o1"),
        (Mock(return_value="mocked"), "mocked"),
        (AsyncMock(return_value="mocked"), "mocked"),
        (ship, "shipped o1"),
    ],
)
@pytest.mark.parametrize("key", [charge, "kit.charge"])
def test_an_activity_is_replaced_by_whatever_can_be_called(key: Any, fake: Any, paid: str) -> None:
    result = run_sync(checkout(ORDER), activities={key: fake}, signals=[("approved", True)])
    assert result == [paid, "shipped o1"]


def test_a_fake_gets_typed_arguments_and_its_result_is_checked_as_the_activitys() -> None:
    seen: list[Order] = []

    def fake(order: Order) -> str:
        seen.append(order)
        return 7  # type: ignore[return-value]

    with pytest.raises(RunFailedError, match="str"):
        run_sync(checkout(ORDER), activities={charge: fake})
    assert seen == [ORDER]


def test_what_a_fake_raises_is_a_failed_attempt() -> None:
    attempts: list[int] = []

    def fake(order: Order) -> str:
        attempts.append(activity_info().attempt)
        raise ConnectionError("away")

    @workflow
    async def stubborn() -> int:
        try:
            await charge(ORDER).options(retry=Retry(max_attempts=3))
        except ActivityError as error:
            return error.attempts
        return 0

    assert run_sync(stubborn(), activities={charge: fake}) == 3
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"activities": {"kit.nobody": constant}}, UnknownWorkflowError, "kit.nobody"),
        ({"activities": {charge: "p1"}}, TypeError, "write `lambda: 'p1'`"),
        ({"activities": {3: constant}}, TypeError, "maps activities, or their names"),
        ({"signals": [(3, True)]}, TypeError, "a signal is a Signal or a name"),
        ({"signals": [("approved", object())]}, PayloadError, "signal approved"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    arguments: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        run_sync(checkout(ORDER), **arguments)


@pytest.mark.rule("D1")
def test_only_the_call_of_a_workflow_is_run() -> None:
    with pytest.raises(TypeError, match=r"kit.charge.fn\(...\)"):
        run_sync(charge(ORDER))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="take the call of a workflow"):
        run_sync(checkout)  # type: ignore[arg-type]


def test_a_call_by_name_runs_the_registered_workflow() -> None:
    result = run_sync(call("kit.checkout", ORDER), signals=[("approved", True)])
    assert result == ["paid o1", "shipped o1"]


def test_a_run_goes_step_by_step() -> None:
    run = start_sync(checkout(ORDER))
    assert run.state == "suspended"
    with pytest.raises(RunWaitingError, match="wait for signal approved"):
        run.result()
    run.inject_signal(approved, True)
    assert run.history[-1].type == "timer_started"
    run.advance(dt.timedelta(minutes=59))
    assert run.state == "suspended"
    run.advance(60)
    assert run.state == "completed"
    assert run.result() == ["paid o1", "shipped o1"]


@pytest.mark.rule("S3")
def test_firing_the_timer_of_a_wait_ends_it_without_the_signal() -> None:
    run = start_sync(checkout(ORDER))
    run.fire_timer()
    assert run.state == "failed"
    with pytest.raises(RunFailedError, match="TimeoutError"):
        run.result()


@pytest.mark.rule("S4", "R7")
def test_an_ended_run_takes_no_signal_no_timer_and_no_cancel() -> None:
    run = start_sync(checkout(ORDER), signals=[("approved", False)])
    acts: list[Callable[[], None]] = [lambda: run.inject_signal("approved", True), run.fire_timer, run.cancel]
    for act in acts:
        with pytest.raises(RunTerminalError, match="already failed") as caught:
            act()
        assert (caught.value.run_id, caught.value.state) == (run.id, "failed")


@pytest.mark.rule("T1")
def test_a_run_without_a_timer_has_none_to_fire() -> None:
    run = start_sync(checkout(ORDER), signals=[("approved", True)])
    run.fire_timer()
    assert run.state == "completed"

    @workflow
    async def patient() -> None:
        await approved.wait()

    with pytest.raises(RunWaitingError, match="No timer is set"):
        start_sync(patient()).fire_timer()


def test_a_cancelled_run_ends_at_once_and_its_code_journals_nothing_more() -> None:
    run = start_sync(checkout(ORDER))
    events = len(run.history)
    run.cancel(reason="changed my mind")
    assert (run.state, len(run.history)) == ("cancelled", events)
    with pytest.raises(RunCancelledError, match="changed my mind"):
        run.result()


def test_a_timer_that_is_due_before_a_back_off_ends_fires_first() -> None:
    failing = charge(ORDER).options(retry=Retry(max_attempts=9, initial=60, jitter=0))

    @workflow
    async def impatient() -> str:
        try:
            async with asyncio.timeout(90):
                return await failing
        except TimeoutError:
            return "gave up"

    def away() -> str:
        raise ConnectionError

    run = start_sync(impatient(), activities={charge: away})
    assert run.state == "running", "the second back-off ends after the timer"
    assert [event.type for event in run.history].count("activity_retried") == 2
    run.fire_timer()
    assert run.result() == "gave up"


def test_a_workflow_that_never_ends_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("continuum.testing.sync.EVENTS_MAX", 100)

    @workflow
    async def endless() -> None:
        while True:
            await sleep(1)

    with pytest.raises(ContinuumError, match="has not ended"):
        run_sync(endless())


def test_a_run_in_memory_works_inside_an_async_test() -> None:
    async def test() -> list[str]:
        return run_sync(checkout(ORDER), signals=[("approved", True)])

    assert asyncio.run(test()) == ["paid o1", "shipped o1"]


def test_an_activity_runs_in_the_thread_of_the_test() -> None:
    threads: list[threading.Thread] = []

    def fake(order: Order) -> str:
        threads.append(threading.current_thread())
        return order.id

    run_sync(checkout(ORDER), activities={charge: fake}, signals=[("approved", True)])
    assert threads == [threading.current_thread()]


def test_a_workflow_cannot_run_another_in_memory() -> None:
    with pytest.raises(DeterminismError, match="await the call itself"):

        @workflow
        async def nested() -> None:
            run_sync(checkout(ORDER))


def test_a_run_knows_who_it_is() -> None:
    @workflow(name="kit.who")
    async def who() -> list[str]:
        info = run_info()
        return [str(info.id), info.workflow, info.namespace]

    run = start_sync(who())
    assert run.result() == [str(run.id), "kit.who", "default"]


@activity(name="kit.hang", timeout=0.01)
def hang(stop: bool) -> None:
    released.wait()


@activity(name="kit.hang_async", timeout=0.01)
async def hang_async(stop: bool) -> None:
    await asyncio.sleep(3600)


released = threading.Event()


@pytest.mark.rule("A9")
@pytest.mark.parametrize("target", [hang, hang_async])
def test_an_activity_that_runs_for_too_long_times_out(target: Any) -> None:
    @workflow
    async def impatient() -> str:
        try:
            await target(True)
        except ActivityTimeoutError as error:
            return str(error)
        return "done"

    assert "ran for longer than its timeout of 0.01 s" in run_sync(impatient())
    released.set()


calls = 0


@workflow(name="kit.unsteady")
async def unsteady() -> int:
    global calls
    calls += 1
    if calls % 2:
        side_effect(lambda: 1)
    return calls


@pytest.mark.rule("R5")
def test_a_paranoid_session_replays_every_run_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_PARANOID", raising=False)
    assert run_sync(unsteady()) == calls
    monkeypatch.setenv("CONTINUUM_PARANOID", "1")
    with pytest.raises(ReplayDriftError):
        run_sync(unsteady())
    with pytest.raises(ReplayDriftError):
        run_sync(unsteady())
    assert run_sync(checkout(ORDER), signals=[("approved", True)]) == ["paid o1", "shipped o1"]


def test_importing_the_kit_brings_no_database_driver() -> None:
    late = ("psycopg", "zmq", "uvloop", "psutil", "click", "pytest", "continuum.runtime", "continuum.client")
    program = f"import sys, continuum.testing; print([name for name in {late!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
