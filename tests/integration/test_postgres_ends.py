"""What is written for a run while it ends goes with it, whoever comes first."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from uuid import uuid4

import pytest
from psycopg import sql

from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit, Snapshot, TaskOutcome, TaskRow, TimerRow
from continuum.postgres import PostgresStore
from tests.integration.races import (
    LIMIT_S,
    Connection,
    OpenStore,
    another,
    connection,
    count_of,
    ending,
    leased,
    step,
    store,
)

__all__ = ["another", "connection", "store"]  # fixtures
BLOB = Snapshot(1, 4, "v1", b"blob" * 100)
BLOCKED = "select 1 from pg_stat_activity where application_name = 'ender' and wait_event_type = 'Lock'"


def end_alone(store: PostgresStore, lease: Lease) -> None:
    store.journal.commit([ending(lease)])


def end_with_others(store: PostgresStore, lease: Lease) -> None:
    (other,) = leased(store)
    store.journal.commit([ending(lease), step(other)])


def end_as_a_child(store: PostgresStore, lease: Lease) -> None:
    store.journal.commit([RunCommit(lease.run_id, lease.token, 0, [], "failed", error=b"")])


def continue_as_new(store: PostgresStore, lease: Lease) -> None:
    successor = RunSeed(id=uuid4(), workflow="flow", args=b"")
    event = EventRow(1, 18, b"")
    store.journal.commit([RunCommit(lease.run_id, lease.token, 0, [event], "continued", successor=successor)])


def cancel(store: PostgresStore, lease: Lease) -> None:
    store.catalog.cancel(lease.run_id, "enough")


END = pytest.mark.parametrize("end", [end_alone, end_with_others, end_as_a_child, continue_as_new, cancel])


@pytest.mark.rule("P1")
@END
def test_a_snapshot_that_is_being_saved_while_its_run_ends_does_not_outlive_it(
    store: PostgresStore,
    another: OpenStore,
    connection: Connection,
    end: Callable[[PostgresStore, Lease], None],
) -> None:
    (lease,) = leased(store)
    ender = another("ender")
    with ThreadPoolExecutor(1) as threads:
        with store.session.transaction("save snapshot"):
            store.journal.save_snapshot(lease, BLOB)
            ended = threads.submit(end, ender, lease)
            deadline = time.monotonic() + LIMIT_S
            while not ended.done() and connection.execute(BLOCKED).fetchone() is None:
                assert time.monotonic() < deadline, "the end neither waits nor is over"
        wait([ended], LIMIT_S)
    row = store.catalog.get(lease.run_id)
    assert row is not None and row.completed_at is not None
    assert count_of(connection, "continuum_snapshots") == 0


@END
def test_what_comes_for_a_run_after_its_end_leaves_nothing(
    store: PostgresStore, connection: Connection, end: Callable[[PostgresStore, Lease], None]
) -> None:
    (lease,) = leased(store)
    rows = {"timers_set": [TimerRow(1, 60.0)], "tasks_set": [TaskRow(1, 1, "charge", b"", "default")]}
    end(store, lease)
    store.journal.save_snapshot(lease, BLOB)
    store.dispatch.offer_outcomes([TaskOutcome(lease.run_id, 1, 1, True, b"late")])
    late = RunCommit(lease.run_id, lease.token, 0, [EventRow(1, 1, b"")], "running", **rows)  # type: ignore[arg-type]
    assert store.journal.commit([late]) == set()
    store.catalog.signal(lease.run_id, "go", b"", None)
    row = store.catalog.get(lease.run_id)
    assert row is not None
    for table in ("snapshots", "timers", "activity_tasks", "signals"):
        left = sql.SQL("select 1 from {} where run_id = %s").format(sql.Identifier(f"continuum_{table}"))
        assert connection.execute(left, [lease.run_id]).fetchone() is None, table
