"""Plans are made once a session, often while the tables are empty, and have to be good when the tables are full.

A table whose rows come and go is worse than a new one: while it is known to be empty, by its statistics, making a plan
anew gives the same plan. PostgreSQL then reads all of it for each row of a list, or compares each row with all of the
list, because nothing seems to be there. So every plan is looked at in both states: it may touch the rows of a large
table only by an index condition, on the first column of the index. Whoever reads a partial index as a whole does it
because all of it is what is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

import continuum.postgres
from continuum.postgres import PostgresStore, migrate, open_store
from continuum.postgres.session import statement
from tests.integration.rows import FILL, REST

QUERIES = sorted(path.stem for path in (Path(continuum.postgres.__file__).parent / "queries").glob("*.sql"))
LARGE = (
    "continuum_runs",
    "continuum_events",
    "continuum_signals",
    "continuum_timers",
    "continuum_activity_tasks",
    "continuum_activity_results",
    "continuum_snapshots",
)
# Of these all is asked for, and their entries are few: they go when they are dealt with.
READ_WHOLE = {
    "lose_orphans": {"continuum_activity_tasks_running"},
    "next_due": {"continuum_runs_due", "continuum_runs_cancels"},  # the first entry of each
    "unread": {
        "continuum_activity_tasks_done",
        "continuum_runs_cancels",
        "continuum_runs_child_ends",
        "continuum_signals_unread",
    },
}
COMPARED = {
    "claim_suspect": {"continuum_runs_parked"},  # with one owner
    "move_children": {
        "continuum_runs_children"
    },  # the children of the runs that are continued, with these runs
}
# What people ask, now and then: they count all that there is, or are planned with the conditions of each call.
OF_PEOPLE = {
    "query",
    "versions",
    "collect_versions",
    *(name for name in QUERIES if name.startswith("overview_")),
}


@pytest.fixture(scope="module", params=["new", "known to be empty"])
def store(database_url: str, request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    schema = "plans_of_empty_tables"
    migrate(database_url, schema)
    store = open_store(database_url, schema)
    with store.session.guarded("connect") as connection:
        if request.param != "new":
            for table in LARGE:
                if table != "continuum_events":  # a table of partitions has no such setting
                    off = sql.SQL("alter table {} set (autovacuum_enabled = off)")  # it would interfere
                    connection.execute(off.format(sql.Identifier(table)))
            for step in (*FILL, *REST, "analyze"):
                connection.execute(step)
        yield store
        connection.execute(f"drop schema {schema} cascade".encode())
    store.close()


def plan_of(store: PostgresStore, name: str) -> dict[str, Any]:
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = re.sub(r"%\((\w+)\)b", numbered, statement(name).decode())
    given = f"({', '.join(['null'] * len(names))})" if names else ""
    with store.session.guarded("explain") as connection:
        connection.execute(f"prepare plan_{name} as {text}".encode(), prepare=False)
        row = connection.execute(
            f"explain (format json) execute plan_{name}{given}".encode(), prepare=False
        ).fetchone()
        connection.execute(f"deallocate plan_{name}".encode(), prepare=False)
    assert row is not None
    return row[0][0]["Plan"]  # type: ignore[no-any-return]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def read_whole(store: PostgresStore, plan: dict[str, Any]) -> set[str]:
    """Indexes, or tables, that the plan reads without a condition that leaves a few entries of each."""
    with store.session.guarded("explain") as connection:
        columns = dict(
            connection.execute(
                "select indexrelid::regclass::text, pg_get_indexdef(indexrelid, 1, true) from pg_index"
            )
        )
    return {
        name
        for node in nodes(plan)
        if node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan")
        and (name := node.get("Index Name", node.get("Relation Name", ""))).startswith(LARGE)
        and not is_selective(node.get("Index Cond", ""), columns.get(name, ""))
    }


def is_selective(condition: str, column: str) -> bool:
    """True if the index is entered by its first column; "(delivery_id IS NULL)" is true of most."""
    return bool(set(condition) & set("<=>")) and re.search(rf"\b{column}\b", condition) is not None


def compared(plan: dict[str, Any]) -> set[str]:
    """Indexes of which each row is compared with each of a list, instead of being looked up for it. Not with owners:
    they are few."""
    return {
        side["Index Name"]
        for node in nodes(plan)
        if node["Node Type"] == "Nested Loop" and "Join Filter" in node and "owner" not in node["Join Filter"]
        for side in node["Plans"]
        if side["Parent Relationship"] in ("Outer", "Inner") and side.get("Index Name", "").startswith(LARGE)
    }


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in OF_PEOPLE])
def test_a_statement_planned_on_empty_tables_reads_by_index_conditions_only(
    store: PostgresStore, name: str
) -> None:
    assert read_whole(store, plan_of(store, name)) <= READ_WHOLE.get(name, set())


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in OF_PEOPLE])
def test_a_statement_planned_on_empty_tables_compares_no_table_with_a_list(
    store: PostgresStore, name: str
) -> None:
    assert compared(plan_of(store, name)) <= COMPARED.get(name, set())


@pytest.mark.parametrize("name", ["claim", "claim_due", "next_due"])
def test_what_is_due_is_found_by_the_index_of_due_runs(store: PostgresStore, name: str) -> None:
    assert "continuum_runs_due" in {node.get("Index Name") for node in nodes(plan_of(store, name))}
