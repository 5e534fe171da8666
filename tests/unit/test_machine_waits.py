"""Timers, signals and timeouts of a run: of each race one wins, and a replay has the same winner."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any, cast

import pytest

from continuum.core.definitions import workflow
from continuum.core.effects import now, random, run_info, sleep, sleep_until, uuid4, wait_signal
from tests.unit.machine_driver import BEGAN, Driver, approved, double, patient


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


@pytest.mark.rule("S1", "S2")
def test_signals_that_came_before_their_waits_are_consumed_in_the_order_of_their_arrival_by_name() -> None:
    @workflow(name="t.early_fifo")
    async def early() -> list[object]:
        await sleep(1)
        return [await wait_signal(name) for name in "aabab"]

    run = Driver(early)
    for number, name in enumerate("abaab"):
        run.signal(9 - number, name, number)  # the order of arrival, whatever the ids
    run.fire(1)
    assert run.result == [0, 2, 1, 3, 4]
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
