"""Parked runs: what each occupies while it is live, what is left when it was given back, what an idle node does.

A node gets as many engines as hold all of the runs by their default limits. The idle node is one of the usual size on
the same database, after they were given back.
"""

from __future__ import annotations

import math
import time
from statistics import median

from psycopg import sql

from bench.bed import Bed
from bench.cpu import memory_bytes, of_node
from bench.crowd import PARKED, drive
from bench.errors import BenchError
from bench.figures import Figure, Section, median_of
from bench.fill import settle
from bench.flows import noop, waits_signal
from bench.plan import BARS, Plan, Say
from continuum.runtime.limits import EngineLimits

LIVE_PART = 0.85  # of an engine's limit: a little below it gives back those that rested longest
WARM_UP_RUNS = 2000
GIVEN_BACK_S = 240.0
LOOK_S = 1.0

_HELD = sql.SQL("select count(*) from {schema}.continuum_runs where lease_owner is not null")
_TRANSACTIONS = sql.SQL(
    "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
)


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Memory by run; processor and queries of the idle node."""
    engines = math.ceil(plan.parked_runs / (EngineLimits().runs_max * LIVE_PART))
    with bed.aside("parked", engines) as full:
        live_kb, held, given_back_kb = _memory(full, plan, say)
        full.stop(graceful=True)
        full.engines = 1
        settle(full)
        _ = full.node
        time.sleep(plan.parked_calm_s)  # after its start a node looks around
        percents, queries_per_s = _idle(full, plan)
    say(
        f"parked: the idle node takes {median(percents):.2f} % of a core and asks {queries_per_s:.2f} queries/s"
    )
    how = (
        f"{held:,} runs that wait for a signal, live in {engines} engines; then a node with one engine, idle for"
        f" {plan.parked_idle_windows} times {plan.parked_idle_s:.0f} s on the same database"
    )
    figures = (
        Figure("kb_per_run", live_kb, bar=BARS["parked.kb_per_run"]),
        Figure("given_back_kb_per_run", given_back_kb),
        median_of("idle_cpu_percent", percents, BARS["parked.idle_cpu_percent"]),
        Figure("idle_queries_per_s", queries_per_s, bar=BARS["parked.idle_queries_per_s"]),
    )
    return Section("parked", how, figures)


def _memory(bed: Bed, plan: Plan, say: Say) -> tuple[float, int, float | None]:
    """KB of the engines by live run, how many are live, and KB by run when they were given back (None: not waited)."""
    drive(bed, "parked-warm-up", noop, WARM_UP_RUNS * bed.engines)
    engines = bed.processes("engine")
    before = memory_bytes(engines)
    drive(bed, "parked", lambda _: waits_signal(), plan.parked_runs, in_flight=3000, arrived=PARKED)
    held = round(bed.number(_HELD))
    live_kb = (memory_bytes(engines) - before) / 1024 / held
    if held < plan.parked_runs / 2:
        raise BenchError(
            f"{held:,} of {plan.parked_runs:,} runs are live, so they say nothing of their memory"
        )
    say(f"parked: {held:,} live runs in {len(engines)} engines, {live_kb:.2f} KB each")
    if not plan.parked_until_evicted:
        return live_kb, held, None
    give_up_at = time.monotonic() + GIVEN_BACK_S
    while bed.number(_HELD):
        if time.monotonic() > give_up_at:
            raise BenchError(f"parked runs are still held after {GIVEN_BACK_S:.0f} s; it was given up")
        time.sleep(LOOK_S)
    left_kb = (memory_bytes(engines) - before) / 1024 / held
    say(f"parked: all given back, {left_kb:.2f} KB are left of each")
    return live_kb, held, left_kb


def _idle(bed: Bed, plan: Plan) -> tuple[list[float], float]:
    """Percent of a core that all processes of the node take, window by window; the queries of a second in all of them.

    A backend that rests tells of its last transactions up to ten seconds later, so that a single window says nothing.
    """
    percents: list[float] = []
    asked, began = bed.number(_TRANSACTIONS), time.perf_counter()
    for _ in range(plan.parked_idle_windows):
        spent_s, since = of_node(bed), time.perf_counter()
        time.sleep(plan.parked_idle_s)
        percents.append((of_node(bed) - spent_s) / (time.perf_counter() - since) * 100)
    took_s = time.perf_counter() - began
    own = 1  # the question about them
    return percents, max(bed.number(_TRANSACTIONS) - asked - own, 0.0) / took_s
