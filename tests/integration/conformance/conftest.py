"""``scene``: every test of this suite runs on both stores, each time on an empty one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from continuum.memory import MemoryStore
from continuum.postgres import PostgresStore, migrate, open_store
from tests.integration.conformance.scene import Scene, Store, ticking_store

SCHEMA = f"conformance_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT LIKE '%%migration%%'
"""


@pytest.fixture(scope="session")
def postgres_store(database_url: str) -> Iterator[PostgresStore]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))
    migrate(database_url, SCHEMA)
    store = open_store(database_url, SCHEMA)
    yield store
    store.close()


@pytest.fixture(scope="session")
def emptying(database_url: str) -> Iterator[Callable[[], None]]:
    """Return what deletes every row of the schema but the record of its migrations."""
    with psycopg.connect(database_url, autocommit=True) as connection:

        def empty() -> None:
            tables = [sql.Identifier(SCHEMA, name) for (name,) in connection.execute(TABLES, (SCHEMA,))]
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))

        yield empty


@pytest.fixture
def memory() -> Store:
    return ticking_store()


@pytest.fixture
def postgres(postgres_store: Store, emptying: Callable[[], None]) -> Store:
    emptying()
    return postgres_store


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


@pytest.fixture
def beside(store: Store, request: pytest.FixtureRequest) -> Iterator[Callable[[], Store]]:
    """Return what opens one more store on the same rows: one belongs to one thread, and is one session."""
    opened: list[Store] = []

    def open_beside() -> Store:
        if isinstance(store, MemoryStore):
            opened.append(store.beside())
        else:
            opened.append(open_store(request.getfixturevalue("database_url"), SCHEMA))
        return opened[-1]

    yield open_beside
    for one in opened:
        one.close()


@pytest.fixture
def timer_rows(store: Store, request: pytest.FixtureRequest) -> Callable[[], int]:
    """Return what counts the timers that stand in the tables, those of ended runs too, which no port shows."""
    if isinstance(store, MemoryStore):
        with store._database.transaction("look") as transaction:
            return lambda: sum(len(run.timers) for run in transaction.tables.runs.values())
    connection = request.getfixturevalue("looking")

    def count() -> int:
        table = sql.Identifier(SCHEMA, "continuum_timers")
        ((rows,),) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchall()
        return int(rows)

    return count


@pytest.fixture(scope="session")
def looking(database_url: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
