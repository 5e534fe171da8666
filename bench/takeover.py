"""A node is killed, and another takes over its runs: from the kill to the end of each run, by the database's clock.

Every run has an activity under way at the node that dies, so that going on elsewhere takes all there is to it: the
death is found, the run claimed and replayed, the lost attempt judged, the next one let out and its result committed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import psycopg
from psycopg import sql

from bench.bed import READY_S, Bed
from bench.errors import BenchError
from bench.figures import Bar, Section, median_of
from bench.flows import holds_once
from bench.plan import Plan, Say
from continuum import Client, Node
from continuum.config import schema_of

P50_BAR, ALL_BAR = Bar(1.0, at_most=True), Bar(3.0, at_most=True)
STALL_S = 90.0
LOOK_S = 0.05
SLOTS = 2000

_UNDER_WAY = sql.SQL("""
    select count(*) from {schema}.continuum_runs as run
    where run.lease_owner like 'dies/%%' and run.last_seq > 0
""")
_LEFT = sql.SQL("select count(*) from {schema}.continuum_runs where completed_at is null")
_TAKEN_S = sql.SQL("""
    select extract(epoch from completed_at - %s)::float8 from {schema}.continuum_runs where state = 'completed'
""")


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Seconds from the kill until half of the runs, and all of them, have ended on the other node."""
    p50: list[float] = []
    last: list[float] = []
    for number in range(1, plan.takeover_rounds + 1):
        # Others look once a second: the kills fall on different moments of it.
        taken_s = _once(bed.url, plan.takeover_runs, 1.0 + number / plan.takeover_rounds)
        p50.append(median(taken_s))
        last.append(max(taken_s))
        say(f"takeover {number}/{plan.takeover_rounds}: p50 {p50[-1]:.2f} s, all after {last[-1]:.2f} s")
    how = (
        f"{plan.takeover_rounds} times: two nodes, {plan.takeover_runs:,} runs with an activity under way on one of"
        " them, kill -9 of its whole tree"
    )
    return Section("takeover", how, (median_of("p50_s", p50, P50_BAR), median_of("all_s", last, ALL_BAR)))


def _once(url: str, runs: int, settle_s: float) -> list[float]:
    with _instance(url) as (instance, database), ExitStack() as stack:
        schema = sql.Identifier(schema_of(instance))

        def number(query: sql.SQL) -> int:
            row = database.execute(query.format(schema=schema)).fetchone()
            assert row is not None, "it counts"
            return int(row[0])

        dies, lives = (_node(url, instance, name) for name in ("dies", "lives"))
        for node in (dies, lives):
            stack.callback(node.stop, graceful=False)
        dies.start()
        dies.wait_ready(READY_S)
        client = stack.enter_context(Client(url, instance=instance))
        client.start_many([holds_once() for _ in range(runs)])
        _until(lambda: number(_UNDER_WAY) == runs, "every run has its activity under way")
        lives.start()
        lives.wait_ready(READY_S)
        time.sleep(settle_s)
        row = database.execute("select clock_timestamp()").fetchone()
        dies.stop(graceful=False)
        _until(lambda: number(_LEFT) == 0, "every run has ended on the other node")
        rows = database.execute(_TAKEN_S.format(schema=schema), row).fetchall()
    if len(rows) != runs:
        raise BenchError(f"{len(rows)} of {runs} runs completed; this is a bug")
    return [taken_s for (taken_s,) in rows]


def _node(url: str, instance: str, name: str) -> Node:
    return Node(
        "bench.flows", database=url, instance=instance, name=name, workers=1, slots=SLOTS, migrate=True
    )


@contextmanager
def _instance(url: str) -> Iterator[tuple[str, psycopg.Connection[tuple[float]]]]:
    """Give the name of an instance of its own, dropped afterwards, and a connection."""
    instance = f"takeover_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as database:
        try:
            yield instance, database
        finally:
            schema = sql.Identifier(schema_of(instance))
            database.execute(sql.SQL("drop schema if exists {} cascade").format(schema))


def _until(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + STALL_S
    while not condition():
        if time.monotonic() > give_up_at:
            raise BenchError(f"still not after {STALL_S:.0f} s: {what}")
        time.sleep(LOOK_S)
