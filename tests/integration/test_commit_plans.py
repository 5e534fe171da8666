"""How PostgreSQL executes the commit of the hot path, whatever the tables looked like when its plan was made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit
from continuum.postgres import PostgresStore, session
from continuum.postgres.session import statement

Node = dict[str, Any]


def plan_of(connection: psycopg.Connection[Any], name: str) -> Node:
    """Return the plan of a statement of ``queries/`` in this session, for parameters that are not known yet."""
    numbers: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)b",
        lambda name: f"${numbers.setdefault(name[1], len(numbers) + 1)}",
        statement(name).decode(),
    )
    answer = connection.pgconn.exec_(f"explain (generic_plan, format json) {text}".encode())
    value = answer.get_value(0, 0)
    assert value is not None, answer.error_message
    return json.loads(value)[0]["Plan"]  # type: ignore[no-any-return]


def plan_in_use(connection: psycopg.Connection[Any]) -> Node:
    """Return the plan with which this session executes the commits that it has prepared."""
    ((name, count),) = connection.execute(
        "select name, cardinality(parameter_types) from pg_prepared_statements"
        " where statement like '%%insert into continuum_events%%'",
        prepare=False,
    ).fetchall()
    nulls = ", ".join(["null"] * count)
    answer = connection.pgconn.exec_(f"explain (format json) execute {name}({nulls})".encode())
    value = answer.get_value(0, 0)
    assert value is not None, answer.error_message
    return json.loads(value)[0]["Plan"]  # type: ignore[no-any-return]


def leased(store: PostgresStore, count: int) -> list[Lease]:
    seeds = [RunSeed(id=uuid4(), workflow="flow", args=b"") for _ in range(count)]
    inserted = store.catalog.insert(seeds, owner="node/default/engine-1/boot-1")
    return [Lease(run.run_id, run.token) for run in inserted if run.token is not None]


def advance(store: PostgresStore, leases: list[Lease], base_seq: int) -> None:
    events = [EventRow(base_seq + 1, 1, b"event")]
    batch = [
        RunCommit(lease.run_id, lease.token, base_seq, events, "running", is_child=False) for lease in leases
    ]
    assert store.journal.commit(batch) == {lease.run_id for lease in leases}


def reads_all_runs(plan: Node) -> bool:
    scans = [node for node in nodes(plan) if node.get("Index Name") == "continuum_runs_pkey"]
    return any("Index Cond" not in scan for scan in scans)


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("rows", [0, 1, 5, 40, 3000])
def test_a_plain_commit_updates_runs_in_the_order_of_their_ids(store: PostgresStore, rows: int) -> None:
    """The batch is sorted by id, and so is the primary key: whichever of the two leads the join, runs are locked in
    the order of their ids. Another index, or a bitmap, would break it."""
    leased(store, rows)
    connection = store.session.open()
    connection.execute("vacuum analyze continuum_runs")
    plan = plan_of(connection, "commit_events")
    (update,) = [node for node in nodes(plan) if node.get("Operation") == "Update"]
    below = list(nodes(update))[1:]
    runs = [node for node in below if node.get("Relation Name") == "continuum_runs"]
    assert [(scan["Node Type"], scan["Index Name"]) for scan in runs] == [
        ("Index Scan", "continuum_runs_pkey")
    ]
    kinds = {node["Node Type"] for node in below}
    joins = {"Nested Loop", "Hash Join", "Merge Join"}
    assert kinds <= joins | {"Hash", "Sort", "Function Scan", "Index Scan"}
    assert all(node["Sort Key"] in (["run.id"], ["batch_1.id"]) for node in below if "Sort Key" in node)
    if rows > 1000:
        assert kinds & joins == {"Nested Loop"}, "it reads no more runs than the batch has"


def test_the_events_of_a_plain_commit_find_their_runs_by_a_hash(store: PostgresStore) -> None:
    plan = list(nodes(plan_of(store.session.open(), "commit_events")))
    (insert,) = [node for node in plan if node.get("Operation") == "Insert"]
    (scan,) = insert["Plans"][:1]
    assert (scan["Node Type"], "hashed SubPlan" in scan["Filter"]) == ("Function Scan", True)


@pytest.mark.parametrize("name", ["commit_one", "end_one"])
@pytest.mark.parametrize("rows", [2, 5, 40, 3000])
def test_a_step_that_is_alone_looks_its_run_up(store: PostgresStore, name: str, rows: int) -> None:
    """Only in a table that is known to have one run at most, all indexes with an id in them seem alike."""
    leased(store, rows)
    connection = store.session.open()
    connection.execute("vacuum analyze continuum_runs")
    plan = list(nodes(plan_of(connection, name)))
    (scan,) = [node for node in plan if node.get("Relation Name") == "continuum_runs" and "Plans" not in node]
    assert scan["Index Name"] == "continuum_runs_pkey"
    assert re.fullmatch(r"\(id = \$\d+\)", scan["Index Cond"])


def test_a_slow_call_has_the_plans_made_anew_for_tables_that_have_grown(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = store.session.open()
    leases = leased(store, 2)
    connection.execute("vacuum analyze continuum_runs")
    connection.execute("alter table continuum_runs set (autovacuum_enabled = off)")  # it would interfere
    monkeypatch.setattr(session, "SLOW_S", 60.0)
    advance(store, leases, 0)
    assert reads_all_runs(plan_in_use(connection)), "of a table with two rows, that is the least"
    leased(store, 3000)
    advance(store, leases, 1)
    assert reads_all_runs(plan_in_use(connection)), "PostgreSQL keeps a plan while the table grows"
    monkeypatch.setattr(session, "SLOW_S", 0.0)
    advance(store, leases, 2)
    monkeypatch.setattr(session, "SLOW_S", 60.0)
    advance(store, leases, 3)
    assert not reads_all_runs(plan_in_use(connection))
