"""Rows that fell into the default partition: they move out, under load, and no reader misses or doubles one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum.model.events import EventRow
from continuum.ports.journal import Lease, RunCommit
from continuum.postgres import PostgresStore, ensure_partitions, partitions
from tests.integration.races import (
    LIMIT_S,
    Connection,
    OpenStore,
    another,
    connection,
    leased,
    store,
)

__all__ = ["another", "connection", "store"]  # fixtures
MONTHS = (
    "select inhrelid::regclass::text from pg_inherits where inhparent = 'continuum_events'::regclass"
    " and inhrelid::regclass::text not like '%default' order by 1"
)
STRAYS = "select count(*) from continuum_events_default"


@pytest.fixture
def months(connection: Connection, store: PostgresStore) -> list[str]:
    """The names of this month's partition and the next one's, which are not there."""
    names = [str(name).rpartition(".")[2] for (name,) in connection.execute(MONTHS).fetchall()]
    for name in names:
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))
    return names


def strays(connection: Connection) -> object:
    row = connection.execute(STRAYS).fetchone()
    assert row is not None
    return row[0]


def write(store: PostgresStore, lease: Lease, first: int, count: int = 1) -> None:
    rows = [EventRow(seq, 1, b"event") for seq in range(first, first + count)]
    commit = RunCommit(lease.run_id, lease.token, first - 1, rows, "running")
    assert store.journal.commit([commit]) == {lease.run_id}


def old_rows(connection: Connection, run_id: UUID, count: int, ago: str) -> None:
    connection.execute(
        "insert into continuum_events select %s, seq, 1, 'old', now() - %s::interval from generate_series(1, %s) seq",
        [run_id, ago, count],
    )


@contextmanager
def busy(stores: list[PostgresStore], leases: list[Lease]) -> Iterator[list[int]]:
    """Write and read events of these runs all the while; yield how many each has written."""
    written, done = [0] * len(leases), threading.Event()

    def work(number: int) -> None:
        store, lease = stores[number], leases[number]
        while not done.is_set():
            write(store, lease, written[number] + 1)
            written[number] += 1
            seqs = [event.seq for event in store.catalog.events(lease.run_id)]
            assert seqs == list(range(1, written[number] + 1)), "an event is missing, or there twice"

    with ThreadPoolExecutor(len(leases)) as threads:
        working = [threads.submit(work, number) for number in range(len(leases))]
        try:
            yield written
        finally:
            done.set()
            for each in working:
                each.result(LIMIT_S)


@pytest.mark.rule("O3", "CA1")
def test_the_rows_of_a_missing_month_move_into_its_partition(
    store: PostgresStore, connection: Connection, months: list[str]
) -> None:
    (lease,) = leased(store)
    write(store, lease, 1, 3)
    assert strays(connection) == 3
    assert ensure_partitions(store.session) == months
    assert (strays(connection), len(store.catalog.events(lease.run_id))) == (0, 3)
    write(store, lease, 4)
    assert (strays(connection), len(store.catalog.events(lease.run_id))) == (0, 4)
    assert ensure_partitions(store.session) == []


@pytest.mark.rule("O3", "CA1")
def test_months_of_before_move_too_each_into_its_own(
    store: PostgresStore, connection: Connection, months: list[str]
) -> None:
    run_ids = [UUID(int=number) for number in range(1, 4)]
    for run_id, ago in zip(run_ids, ("40 days", "75 days", "400 days"), strict=True):
        old_rows(connection, run_id, 10, ago)
    assert len(ensure_partitions(store.session)) == 5
    assert strays(connection) == 0
    assert [len(store.catalog.events(run_id)) for run_id in run_ids] == [10] * 3


@pytest.mark.rule("O3", "CA1")
def test_rows_move_while_many_write_and_read_and_several_nodes_move_them(
    store: PostgresStore, another: OpenStore, connection: Connection, months: list[str]
) -> None:
    leases = leased(store, 3)
    nodes = [another("node") for _ in range(3)]
    with busy([another() for _ in leases], leases) as written:
        made: list[str] = []
        deadline = time.monotonic() + LIMIT_S
        while (len(made) < 2 or min(written) < 20) and time.monotonic() < deadline:
            with ThreadPoolExecutor(len(nodes)) as threads:
                for names in threads.map(lambda node: ensure_partitions(node.session), nodes):
                    made += names
    assert sorted(made) == months, "each was made by one of them"
    assert strays(connection) == 0


@pytest.mark.rule("O3")
def test_who_reads_for_long_does_not_let_a_move_stand_in_the_way_of_others(
    store: PostgresStore, another: OpenStore, connection: Connection, database_url: str, months: list[str]
) -> None:
    (lease,) = leased(store)
    write(store, lease, 1)
    schema = store.session.schema
    with psycopg.connect(database_url) as reader:
        reader.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        reader.execute("select count(*) from continuum_events")
        assert months[0] not in ensure_partitions(another().session), "it gives up after a moment"
        write(store, lease, 2)
    assert months[0] in ensure_partitions(store.session)
    assert len(store.catalog.events(lease.run_id)) == 2


@pytest.mark.rule("O3", "CA1")
def test_a_month_with_too_many_rows_gets_its_partition_from_tomorrow_and_the_rest_when_it_is_quiet(
    store: PostgresStore, connection: Connection, months: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "ROWS_MAX", 5)
    row = connection.execute("select (now() at time zone 'utc')::date").fetchone()
    assert row is not None
    name, today = months[0], row[0]
    first = today.replace(day=1)  # type: ignore[attr-defined]
    for day, known, wanted in (
        (first.replace(day=10), set(), (f"{name}_from_11", 11, 0)),
        (first.replace(day=11), {f"{name}_from_11"}, None),
        (first.replace(day=12), {f"{name}_from_11"}, (f"{name}_to_11", 1, 20)),
        (first.replace(day=12), {f"{name}_from_11", f"{name}_to_11"}, None),
    ):
        found = partitions._wanted(first, day, known, 0 if f"{name}_to_11" in known else 20)
        assert (found and (found.name, found.first.day, found.rows)) == wanted


@pytest.mark.rule("O3")
def test_a_large_month_is_left_to_who_has_time_for_it(
    store: PostgresStore, connection: Connection, months: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "ROWS_MAX", 50)
    old_rows(connection, UUID(int=1), 200, "75 days")
    assert ensure_partitions(store.session, rows_max=50) == months
    assert strays(connection) == 200
    assert len(ensure_partitions(store.session, rows_max=None)) == 1
    assert (strays(connection), len(store.catalog.events(UUID(int=1)))) == (0, 200)
