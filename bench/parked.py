"""Parked runs: what each occupies while it is live, what is left when it was given back, what an idle node does.

A node gets as many engines as hold all of the runs by their default limits. The idle node is one of the usual size on
the same database, after they were given back; it is looked at alone, and once more beside a second one.
"""

from __future__ import annotations

import math
import time
from statistics import median

from psycopg import sql

from bench.bed import ENGINES, WORKERS, Bed
from bench.cpu import memory_bytes
from bench.crowd import PARKED, drive
from bench.errors import BenchError
from bench.figures import Figure, Section, median_of
from bench.fill import settle
from bench.flows import noop, waits_signal
from bench.idle import neighbour, watch
from bench.plan import BARS, Plan, Say
from continuum.runtime.limits import EngineLimits

LIVE_PART = 0.85  # of an engine's limit: a little below it gives back those that rested longest
WARM_UP_RUNS = 2000
GIVEN_BACK_S = 240.0
LOOK_S = 1.0

_HELD = sql.SQL("select count(*) from {schema}.continuum_runs where lease_owner is not null")


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Memory by run; processor and queries of the idle node."""
    engines = math.ceil(plan.parked_runs / (EngineLimits().runs_max * LIVE_PART))
    with bed.aside("parked", engines) as full:
        live_kb, held, given_back_kb = _memory(full, plan, say)
        full.stop(graceful=True)
        full.engines = ENGINES
        settle(full)
        _ = full.node
        time.sleep(plan.parked_calm_s)  # after its start a node looks around
        alone = watch(full, plan)
        with neighbour(full):
            time.sleep(plan.parked_calm_s)
            beside = watch(full, plan, nodes=2)
    say(
        f"parked: the idle node takes {median(alone.cpu_percents):.2f} % of a core with PostgreSQL, and asks"
        f" {median(alone.statements_per_s):.2f} queries/s, beside another one {median(beside.statements_per_s):.2f}"
    )
    how = (
        f"{held:,} runs that wait for a signal, live in {engines} engines; then a node with {ENGINES} engines and"
        f" {WORKERS} worker, idle for {plan.parked_idle_windows} times {plan.parked_idle_s:.0f} s on the same database,"
        " PostgreSQL's processor time counted as its own, and as long beside another node"
    )
    figures = (
        Figure("kb_per_run", live_kb, bar=BARS["parked.kb_per_run"]),
        Figure("given_back_kb_per_run", given_back_kb),
        median_of("idle_cpu_percent", alone.cpu_percents, BARS["parked.idle_cpu_percent"]),
        median_of("idle_queries_per_s", alone.statements_per_s, BARS["parked.idle_queries_per_s"]),
        median_of("beside_queries_per_s", beside.statements_per_s, BARS["parked.beside_queries_per_s"]),
        Figure("transactions_per_s", alone.transactions_per_s),
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
