"""What a node costs that has nothing to do: processor time, PostgreSQL's with it, and the statements that it sends.

PostgreSQL itself counts the statements (`pg_stat_statements`), so that nothing is forgotten, and what autovacuum does
is not taken for ours. Without the extension transactions are counted, which include autovacuum's, some 1.5 a second: an
idle node's statements are a transaction each. Half a minute is looked at in windows, and a window of ten seconds has
everything in it that is done as often as that; autovacuum and checkpoints fall into a few of the windows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from bench.bed import READY_S, Bed
from bench.cpu import of_node, postmaster_of, tree_s
from bench.plan import Plan
from continuum import Node

_EXTENSION = sql.SQL("create extension if not exists pg_stat_statements schema {schema}")
_PLACE = sql.SQL(
    "select nspname from pg_extension join pg_namespace as place on place.oid = extnamespace"
    " where extname = 'pg_stat_statements'"
)
_STATEMENTS = sql.SQL(
    "select coalesce(sum(calls), 0) from {place}.pg_stat_statements"
    " where toplevel and dbid = (select oid from pg_database where datname = current_database())"
    " and query not like '%pg_stat_%'"
)
_TRANSACTIONS = sql.SQL(
    "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Idle:
    """Window by window: percent of a core, and statements of each node a second. ``transactions_per_s`` of the whole
    database, autovacuum's too."""

    cpu_percents: list[float]
    statements_per_s: list[float]
    transactions_per_s: float


def watch(bed: Bed, plan: Plan, nodes: int = 1) -> Idle:
    """Look at the node of this bed, and at all of so many nodes for what they ask."""
    counted = _counted(bed)
    postmaster = postmaster_of(bed)
    cpu_percents: list[float] = []
    statements_per_s: list[float] = []
    before, began = bed.number(_TRANSACTIONS), time.perf_counter()
    for _ in range(plan.parked_idle_windows):
        asked, spent_s, since = _number(bed, counted), _spent_s(bed, postmaster), time.perf_counter()
        time.sleep(plan.parked_idle_s)
        took_s = time.perf_counter() - since
        cpu_percents.append((_spent_s(bed, postmaster) - spent_s) / took_s * 100)
        own = 1 if counted is _TRANSACTIONS else 0
        statements_per_s.append(max(_number(bed, counted) - asked - own, 0.0) / took_s / nodes)
    own = 2 * plan.parked_idle_windows + 1
    transactions = max(bed.number(_TRANSACTIONS) - before - own, 0.0)
    return Idle(cpu_percents, statements_per_s, transactions / (time.perf_counter() - began))


@contextmanager
def neighbour(bed: Bed) -> Iterator[None]:
    """A second node on the same database, of the same size."""
    node = Node(
        "bench.flows",
        database=bed.url,
        instance=bed.instance,
        name="beside",
        engines=bed.engines,
        workers=bed.workers,
    )
    try:
        node.start()
        node.wait_ready(READY_S)
        yield
    finally:
        node.stop(graceful=False)


def _counted(bed: Bed) -> sql.SQL | sql.Composed:
    """What is asked for the number of statements so far; of transactions where the server cannot tell it."""
    with suppress(psycopg.Error):
        bed.ask(_EXTENSION)
        ((place,),) = bed.ask(_PLACE)
        question = _STATEMENTS.format(place=sql.Identifier(place))
        _number(bed, question)
        return question
    return _TRANSACTIONS


def _number(bed: Bed, question: sql.SQL | sql.Composed) -> float:
    return float(bed.ask(question)[0][0])


def _spent_s(bed: Bed, postmaster: int | None) -> float:
    return of_node(bed) + (tree_s(postmaster, deep=True) if postmaster is not None else 0.0)
