"""Every statement of ``postgres/queries`` finds its rows in large tables by the indexes that its first line names.

Plans are generic, as a session makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from continuum.model.query import Query
from continuum.postgres import session as postgres_session
from continuum.postgres.query import clauses_of
from continuum.postgres.schema import migrate
from continuum.postgres.session import Session, statement
from tests.integration.rows import FILL

QUERIES = sorted(Path(postgres_session.__file__).with_name("queries").glob("*.sql"))
# Asked by a person, once in a while.
FOR_PEOPLE = {"collect_versions", "versions", "workflows", "overview_queues"}
COMPOSED = {"query"}  # gets its conditions later
PLANNED = [path.stem for path in QUERIES if path.stem not in FOR_PEOPLE | COMPOSED]

# What grows with the number of runs; owners and versions do not.
LARGE = ("runs", "events", "signals", "timers", "activity_tasks", "activity_results", "snapshots")

Node = dict[str, Any]


class Explained:
    """A schema, and what its server would do with the statements in it."""

    def __init__(self, session: Session) -> None:
        self.connection = session.open()
        self._plans: dict[str, list[Node]] = {}
        found = self.connection.execute(
            "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid where i.indpred is not null"
        ).fetchall()
        self.partial = {name for (name,) in found}
        found = self.connection.execute(
            "select relid::regclass::text from pg_partition_tree('continuum_events') where isleaf"
        ).fetchall()
        self.partitions = {name for (name,) in found}

    def plan(self, name: str) -> list[Node]:
        """The nodes of the generic plan of a statement, each knowing whether a limit stands above it."""
        if name not in self._plans:
            self._plans[name] = self._explain(statement(name))
        return self._plans[name]

    def _explain(self, text: bytes) -> list[Node]:
        names: dict[bytes, int] = {}
        numbered = re.sub(
            rb"%\((\w+)\)b", lambda found: b"$%d" % names.setdefault(found[1], len(names) + 1), text
        )
        with psycopg.ClientCursor(self.connection) as cursor:  # leaves $1 to the server
            ((rows,),) = cursor.execute(b"explain (generic_plan, format json) " + numbered).fetchall()
        return list(_nodes(rows[0]["Plan"], limited=False))

    def is_large(self, table: str) -> bool:
        return table in self.partitions or table in {f"continuum_{name}" for name in LARGE}


def _nodes(node: Node, *, limited: bool) -> Iterator[Node]:
    yield node | {"limited": limited}
    for below in node.get("Plans", ()):
        yield from _nodes(below, limited=limited or node["Node Type"] == "Limit")


@pytest.fixture(scope="module")
def explained(database_url: str) -> Iterator[Explained]:
    schema = "continuum_plans"
    session = Session(database_url, schema)
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(schema)
        migrate(database_url, schema)
        try:
            connection.execute(sql.SQL("set search_path to {}").format(name))
            for step in (*FILL, "analyze"):
                connection.execute(step)
            yield Explained(session)
        finally:
            session.close()
            connection.execute(sql.SQL("drop schema {} cascade").format(name))


def named_indexes(name: str) -> str:
    first_line = statement(name).decode().splitlines()[0]
    return first_line.partition(" Index: ")[2].rstrip(".")


def used_indexes(plan: list[Node]) -> set[str]:
    scanned = {node["Index Name"] for node in plan if "Index Name" in node}
    return scanned | {name for node in plan for name in node.get("Conflict Arbiter Indexes", ())}


@pytest.mark.parametrize("name", PLANNED)
def test_a_statement_reads_no_large_table_from_end_to_end(explained: Explained, name: str) -> None:
    for node in explained.plan(name):
        table = node.get("Relation Name", "")
        assert not (node["Node Type"] == "Seq Scan" and explained.is_large(table)), f"{name} walks {table}"


@pytest.mark.parametrize("name", PLANNED)
def test_a_statement_walks_no_large_index_from_end_to_end(explained: Explained, name: str) -> None:
    """A partial index may be walked, for it has only what is outstanding; and any, up to a limit."""
    for node in explained.plan(name):
        index = node.get("Index Name")
        if index is None or "Index Cond" in node or node["limited"] or index in explained.partial:
            continue
        table = str(node.get("Relation Name", index))
        assert not explained.is_large(table), f"{name} walks all of {index}"


@pytest.mark.parametrize("name", PLANNED)
def test_a_statement_starts_no_other_processes(explained: Explained, name: str) -> None:
    """To start them takes longer than a statement, and what a generic plan does not know looks like a third of all."""
    assert not [node["Node Type"] for node in explained.plan(name) if "Gather" in node["Node Type"]]


@pytest.mark.parametrize("name", PLANNED)
def test_a_statement_uses_the_indexes_that_its_first_line_names(explained: Explained, name: str) -> None:
    named, used = named_indexes(name), used_indexes(explained.plan(name))
    missing = set(re.findall(r"continuum_\w+", named)) - used
    assert not missing, f"{name} does not use {missing}, but {used}"
    if "primary key" in named:
        assert any(index.endswith("_pkey") for index in used), f"{name} uses no primary key, but {used}"
    if "each partition" in named:
        assert {f"{table}_pkey" for table in explained.partitions} <= used, f"{name} uses {used}"


def test_every_statement_names_its_indexes() -> None:
    assert [path.stem for path in QUERIES if not named_indexes(path.stem)] == []


def test_a_page_of_runs_comes_from_the_index_of_its_namespace(explained: Explained) -> None:
    clauses = clauses_of(Query(namespace="space7", limit=100))
    text = sql.SQL(" ").join([sql.SQL(statement("query").decode()), *(clause.text for clause in clauses)])
    values = [value for clause in clauses for value in clause.parameters]
    with psycopg.ClientCursor(explained.connection) as cursor:
        ((rows,),) = cursor.execute(sql.SQL("explain (format json) ") + text, values).fetchall()
    plan = list(_nodes(rows[0]["Plan"], limited=False))
    assert used_indexes(plan) == {"continuum_runs_listed"}
    assert not [node for node in plan if node["Node Type"] == "Sort"]
