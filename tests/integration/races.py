"""Several sessions on one schema, the runs that they compete for, and how a test sees that one of them waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit
from continuum.postgres import PostgresStore, migrate, open_store

OWNER = "node/default/engine-1/boot-1"
LIMIT_S = 30.0
T = TypeVar("T")
OpenStore = Callable[..., PostgresStore]
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def another(database_url: str, fresh_schema: str) -> Iterator[OpenStore]:
    """Return what opens one more store on the test's schema; each has a connection of its own."""
    migrate(database_url, fresh_schema)
    stores: list[PostgresStore] = []

    def open_another(name: str = "race") -> PostgresStore:
        stores.append(open_store(database_url, fresh_schema, name))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()


@pytest.fixture
def store(another: OpenStore) -> PostgresStore:
    store = another()
    store.dispatch.register(OWNER, "node", "ipc://engine-1", 600.0)
    return store


@pytest.fixture
def connection(database_url: str, fresh_schema: str, store: PostgresStore) -> Iterator[Connection]:
    """A plain connection that sees the test's schema, once it is there."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(fresh_schema)))
        yield connection


def leased(store: PostgresStore, count: int = 1, owner: str = OWNER) -> list[Lease]:
    seeds = [RunSeed(id=uuid4(), workflow="flow", args=b"") for _ in range(count)]
    inserted = store.catalog.insert(seeds, owner=owner)
    return [Lease(run.run_id, run.token) for run in inserted if run.token is not None]


def started(store: PostgresStore, count: int) -> list[UUID]:
    seeds = [RunSeed(id=uuid4(), workflow="flow", args=b"") for _ in range(count)]
    return [run.run_id for run in store.catalog.insert(seeds)]


def step(lease: Lease, base_seq: int = 0, events: int = 1, is_child: bool = True) -> RunCommit:
    rows = [EventRow(base_seq + 1 + index, 1, b"event") for index in range(events)]
    return RunCommit(lease.run_id, lease.token, base_seq, rows, "running", is_child=is_child)


def ending(lease: Lease) -> RunCommit:
    return RunCommit(lease.run_id, lease.token, 0, [EventRow(1, 1, b"")], "completed", result=b"done")


def wait_until_blocked(connection: Connection, name: str) -> None:
    """Return when the session of this application name waits for a lock."""
    deadline = time.monotonic() + LIMIT_S
    blocked = "select 1 from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
    while connection.execute(blocked, [name]).fetchone() is None:
        assert time.monotonic() < deadline, f"{name} does not wait for a lock"


def meanwhile(connection: Connection, name: str, act: Callable[[], T]) -> Future[T]:
    """Run ``act`` on a thread, and return when its session waits for a lock."""
    future: Future[T] = Future()
    threading.Thread(target=lambda: future.set_result(act()), daemon=True).start()
    wait_until_blocked(connection, name)
    return future


def count_of(connection: Connection, table: str) -> object:
    row = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return row[0]
