"""Timers that are due in one instant: how late the last one is, and what a new run feels of the crowd."""

from __future__ import annotations

import time
from datetime import datetime

from psycopg import sql

from bench.bed import Bed
from bench.crowd import drive
from bench.errors import BenchError
from bench.figures import Section, median_of
from bench.flows import noop, sleeps_until
from bench.plan import BARS, Plan, Say

RESULT_S = 60.0
LEAD_S_MAX = 160.0
LOOK_S = 0.02

_IN = sql.SQL("select clock_timestamp() + %s * interval '1 second'")
_LEFT_S = sql.SQL("select extract(epoch from %s::timestamptz - clock_timestamp())::float8")
_LATE = sql.SQL(
    "select count(*), extract(epoch from max(completed_at) - %s::timestamptz)::float8 from {schema}.continuum_runs"
    " where namespace = %s and state = 'completed'"
)
# Parked, or started so late that there was nothing to wait for.
_SETTLED = sql.SQL(
    "select count(*) from {schema}.continuum_runs where namespace = %s and state in ('suspended', 'completed')"
)
_LIVE = sql.SQL(
    "select exists (select 1 from {schema}.continuum_runs where namespace = %s and state in ('running', 'suspended'))"
)


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The lateness of the last run to end, and the longest time from start to result of a run beside them."""
    late: list[float] = []
    beside: list[float] = []
    lead_s = plan.timer_lead_s
    bed.client.start(noop(0), namespace="timers-beside").result(RESULT_S)
    number = 0
    while len(late) < plan.timer_rounds:
        number += 1
        moment = _parked_until(bed, f"timers-{number}", plan.timers, lead_s)
        if moment is None:  # the instant came before all were parked: it says nothing
            lead_s *= 2
            if lead_s > LEAD_S_MAX:
                raise BenchError(
                    f"{plan.timers:,} runs are not parked within {LEAD_S_MAX:.0f} s; it was given up"
                )
            continue
        beside.append(_longest_beside(bed, f"timers-{number}"))
        late.append(_last_late_s(bed, f"timers-{number}", plan.timers, moment))
        say(
            f"timers {len(late)}/{plan.timer_rounds}: the last {late[-1]:.2f} s late, a new run {beside[-1]:.2f} s"
        )
    how = f"{plan.timer_rounds} times {plan.timers:,} runs with a timer for one instant, and empty runs beside them"
    figures = (
        median_of("last_late_s", late, BARS["timers.last_late_s"]),
        median_of("new_run_s", beside, BARS["timers.new_run_s"]),
    )
    return Section("timers", how, figures)


def _parked_until(bed: Bed, namespace: str, runs: int, lead_s: float) -> datetime | None:
    """Park runs until an instant, and wait for it; None if it came too early."""
    ((moment,),) = bed.ask(_IN, [lead_s])
    assert isinstance(moment, datetime), "a timestamptz is a datetime"
    drive(bed, namespace, lambda _: sleeps_until(moment), runs, arrived=_SETTLED)
    left_s = bed.number(_LEFT_S, [moment])
    if left_s <= 0:
        _wait_for_end(bed, namespace)
        return None
    time.sleep(left_s)
    return moment


def _longest_beside(bed: Bed, namespace: str) -> float:
    """Start empty runs one after the other for as long as the crowd lives; return the longest from start to result."""
    longest, live = 0.0, True
    while live:
        began = time.perf_counter()
        bed.client.start(noop(0), namespace="timers-beside").result(RESULT_S)
        longest = max(longest, time.perf_counter() - began)
        time.sleep(LOOK_S)
        live = _lives(bed, namespace)
    return longest


def _last_late_s(bed: Bed, namespace: str, runs: int, moment: datetime) -> float:
    ((completed, late_s),) = bed.ask(_LATE, [moment, namespace])
    if completed != runs:
        raise BenchError(f"{runs - completed} of {runs} runs of {namespace} did not complete; this is a bug")
    return float(late_s)


def _wait_for_end(bed: Bed, namespace: str) -> None:
    give_up_at = time.monotonic() + RESULT_S
    while _lives(bed, namespace):
        if time.monotonic() > give_up_at:
            raise BenchError(
                f"runs of {namespace} still live {RESULT_S:.0f} s after their timers; it was given up"
            )
        time.sleep(LOOK_S)


def _lives(bed: Bed, namespace: str) -> bool:
    ((live,),) = bed.ask(_LIVE, [namespace])
    return bool(live)
