"""Durations at their ends: negative ones are over, far ones are waited for, what is none is refused in words."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from threading import TIMEOUT_MAX
from typing import Any

import pytest

from continuum import (
    RunFailedError,
    activity,
    activity_info,
    now,
    sleep,
    sleep_until,
    wait_signal,
    workflow,
)
from continuum.client.waiting import rest_of
from continuum.model.retry import FAR_S, Retry, seconds_of, wait_s_of
from continuum.testing import run_sync, start_sync

FAR = (dt.timedelta(days=8_000 * 365), dt.timedelta.max, 1e300, 10**400)
LAST = dt.datetime.max.replace(tzinfo=dt.UTC)


@workflow(name="durations.waits")
async def waits(timeout: float) -> str:
    try:
        return str(await wait_signal("go", timeout=timeout))
    except TimeoutError:
        return "late"


@workflow(name="durations.sleeps")
async def sleeps(how: str, duration: Any) -> str:
    before = now()
    match how:
        case "sleep":
            await sleep(duration)
        case "asyncio.sleep":
            await asyncio.sleep(duration)
        case "timeout":
            try:
                async with asyncio.timeout(duration):
                    await wait_signal("never")
            except TimeoutError:
                return "late"
        case "wait_for":
            try:
                await asyncio.wait_for(wait_signal("never"), duration)
            except TimeoutError:
                return "late"
    return f"{(now() - before).total_seconds():g}"


@workflow(name="durations.sleeps-until")
async def sleeps_until(moment: dt.datetime) -> dt.datetime:
    await sleep_until(moment)
    return now()


@activity(name="durations.deadline")
def deadline() -> bool:
    return activity_info().deadline is not None


@workflow(name="durations.calls")
async def calls(limit: float) -> bool:
    return await deadline().options(timeout=limit, heartbeat_timeout=limit)


@pytest.mark.rule("S3")
def test_a_wait_of_less_than_no_time_is_over_at_once_and_takes_what_is_there() -> None:
    assert run_sync(waits(-1)) == run_sync(waits(0)) == "late"
    assert run_sync(waits(-1), signals=[("go", "came")]) == "came"


@pytest.mark.parametrize("how", ["sleep", "asyncio.sleep"])
def test_a_sleep_of_less_than_no_time_is_over_at_once(how: str) -> None:
    assert run_sync(sleeps(how, -1)) == "0"


@pytest.mark.parametrize("how", ["timeout", "wait_for"])
def test_a_limit_that_is_over_is_over_at_once(how: str) -> None:
    assert run_sync(sleeps(how, -1)) == "late"


@pytest.mark.parametrize("how", ["sleep", "asyncio.sleep", "timeout", "wait_for"])
@pytest.mark.parametrize("duration", [1e300, 3e11, 8_000 * 365 * 86_400])
def test_what_is_far_is_waited_for(how: str, duration: float) -> None:
    run = start_sync(sleeps(how, duration))
    run.advance(dt.timedelta(days=7_000 * 365))
    assert run.state == "suspended"
    run.cancel()
    assert run.state == "cancelled"


def test_a_wait_with_a_far_limit_takes_its_signal() -> None:
    run = start_sync(waits(1e300))
    run.inject_signal("go", "came")
    assert run.result() == "came"


@pytest.mark.parametrize(
    "moment", [LAST, dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5)))]
)
def test_the_last_moment_there_is_can_be_slept_until(moment: dt.datetime) -> None:
    run = start_sync(sleeps_until(moment))
    run.advance(dt.timedelta(days=1_000 * 365))
    assert run.state == "suspended"
    run.fire_timer()
    assert run.result() == LAST


def test_the_first_moment_there_is_has_passed() -> None:
    run_sync(sleeps_until(dt.datetime.min.replace(tzinfo=dt.UTC)))


@pytest.mark.parametrize("how", ["sleep", "asyncio.sleep", "timeout", "wait_for"])
@pytest.mark.parametrize("duration", [math.inf, math.nan])
def test_what_is_no_duration_is_refused_in_words_where_it_is_given(how: str, duration: float) -> None:
    with pytest.raises(RunFailedError, match=r"finite number of seconds|Invalid delay") as failed:
        run_sync(sleeps(how, duration))
    assert failed.value.type == "ValueError"


@pytest.mark.parametrize("duration", [math.inf, math.nan])
def test_a_wait_is_not_limited_by_what_is_no_duration(duration: float) -> None:
    with pytest.raises(RunFailedError, match="leave the limit out"):
        run_sync(waits(duration))


def test_a_date_is_no_moment_to_sleep_until() -> None:
    @workflow
    async def sleeps_until_a_day() -> None:
        await sleep_until(dt.date(2030, 1, 1))  # type: ignore[arg-type]

    with pytest.raises(RunFailedError, match="aware datetime"):
        run_sync(sleeps_until_a_day())


def test_an_attempt_may_have_a_far_limit() -> None:
    assert run_sync(calls(1e300))


@pytest.mark.parametrize("duration", FAR)
def test_a_far_duration_is_kept_as_far_as_clocks_go(duration: Any) -> None:
    assert seconds_of(duration) == wait_s_of(duration) == FAR_S
    assert (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=FAR_S)).year < dt.MAXYEAR


def test_a_negative_duration_is_a_wait_that_is_over_and_no_other_duration() -> None:
    assert wait_s_of(-(10**400)) == wait_s_of(dt.timedelta.min) == 0.0
    with pytest.raises(ValueError, match="0 or more"):
        seconds_of(dt.timedelta.min)


def test_a_far_back_off_is_a_duration() -> None:
    assert Retry(initial=1e308, max_delay=1e308).delay_s(1, lambda: 1.0) == FAR_S


def test_a_thread_waits_as_far_as_it_can() -> None:
    rest_s = rest_of(FAR_S)
    assert rest_s is not None
    assert rest_s <= TIMEOUT_MAX
