"""The start of a node on a database full of suspended runs, and many of them woken at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from psycopg import sql

from bench.bed import Bed
from bench.crowd import PARKED
from bench.errors import BenchError
from bench.figures import Section, median_of
from bench.fill import copy_run, settle
from bench.flows import go, noop, waits_signal
from bench.plan import BARS, Plan, Say
from continuum.model import payload
from continuum.postgres import open_store

STALL_S = 60.0
LOOK_S = 0.05

_PARKED_IDS = sql.SQL(
    "select id from {schema}.continuum_runs where namespace = %s and state = 'suspended' order by id"
)
_COMPLETED = sql.SQL(
    "select count(*) from {schema}.continuum_runs where namespace = %s and state = 'completed'"
)


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Seconds until a started node is ready, until it has ended a run that waited for it, and for the crowd."""
    ready: list[float] = []
    first: list[float] = []
    done: list[float] = []
    with bed.aside("restart") as full:
        _fill(full, plan.suspended_runs)
        # Every so many: they lie all over the tables.
        waiting = _spread([row[0] for row in full.ask(_PARKED_IDS, ["restart"])], plan.restart_rounds)
        for number in range(1, plan.restart_rounds + 1):
            ready_s, first_s = _start(full)
            ready.append(ready_s)
            first.append(first_s)
            done.append(_signal(full, list(islice(waiting, plan.signalled_runs))))
            full.stop(graceful=True)
            settle(full)
            say(
                f"restart {number}/{plan.restart_rounds}: ready after {ready_s:.2f} s, first result after"
                f" {first_s:.2f} s, {plan.signalled_runs:,} runs woken and ended in {done[-1]:.2f} s"
            )
    how = (
        f"{plan.restart_rounds} starts of a node on {plan.suspended_runs:,} suspended runs, and each time"
        f" {plan.signalled_runs:,} of them signalled in one transaction"
    )
    figures = (
        median_of("ready_s", ready, BARS["restart.ready_s"]),
        median_of("first_result_s", first),
        median_of("all_done_s", done, BARS["restart.all_done_s"]),
    )
    return Section("restart", how, figures)


def _fill(bed: Bed, runs: int) -> None:
    template = bed.client.start(waits_signal(), namespace="restart-template")
    give_up_at = time.monotonic() + STALL_S
    while bed.number(PARKED, ["restart-template"]) < 1:
        if time.monotonic() > give_up_at:
            raise BenchError(f"run {template.id} is not parked after {STALL_S:.0f} s; it was given up")
        time.sleep(LOOK_S)
    bed.stop(graceful=True)  # gives the run back
    copy_run(bed, template.id, runs, "restart")


def _spread(ids: list[UUID], parts: int) -> Iterator[UUID]:
    for part in range(parts):
        yield from ids[part::parts]


def _start(bed: Bed) -> tuple[float, float]:
    """Seconds until the node is ready, and until a new run that was started then has its result."""
    began = time.perf_counter()
    _ = bed.node
    ready_s = time.perf_counter() - began
    bed.client.start(noop(0), namespace="restart-first").result(STALL_S)
    return ready_s, time.perf_counter() - began


def _signal(bed: Bed, runs: list[UUID]) -> float:
    """Signal runs in one transaction; return the seconds from its commit to the end of the last of them."""
    before = bed.number(_COMPLETED, ["restart"])
    body = payload.encode(1)
    store = open_store(bed.url, bed.schema_name)
    try:
        with store.session.transaction("signal"):
            for run in runs:
                store.catalog.signal(run, go.name, body, None)
            began = time.perf_counter()
    finally:
        store.close()
    progress, ended = began, before
    while ended < before + len(runs):
        time.sleep(LOOK_S)
        latest = bed.number(_COMPLETED, ["restart"])
        now = time.perf_counter()
        if latest > ended:
            progress, ended = now, latest
        elif now - progress > STALL_S:
            raise BenchError(
                f"{ended - before:,.0f} of {len(runs):,} signalled runs have ended, and none for {STALL_S:.0f} s"
            )
    return time.perf_counter() - began
