"""The statements of a session on its connection: prepared once, answered whole, and nothing left over by a failure."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from continuum.errors import JournalError
from continuum.model.run import RunSeed
from continuum.postgres import PostgresStore
from continuum.postgres.arrays import texts
from tests.integration.servers import wait_until

LIMIT_S = 60.0
MEGABYTE = 1 << 20
Other = psycopg.Connection[psycopg.rows.TupleRow]
WAITING = (
    "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%update continuum_runs%'"
)


@pytest.fixture
def other(database_url: str, fresh_schema: str) -> Iterator[Other]:
    """A connection of somebody else, in the same schema."""
    with another(database_url, fresh_schema) as connection:
        yield connection


@contextmanager
def another(url: str, schema: str) -> Iterator[Other]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        yield connection


@contextmanager
def locked(url: str, store: PostgresStore) -> Iterator[None]:
    """Let whoever changes a run wait."""
    with another(url, store.session.schema) as connection, connection.transaction():
        connection.execute("lock table continuum_runs in exclusive mode")
        yield


def started(store: PostgresStore, args: bytes = b"") -> UUID:
    (run,) = store.catalog.insert([RunSeed(id=uuid4(), workflow="flow", args=args)])
    return run.run_id


def signalled(store: PostgresStore, run_id: UUID) -> None:
    assert store.catalog.signal(run_id, "go", b"", None)[0] == "delivered"


def prepared(store: PostgresStore) -> list[str]:
    rows = store.session.open().execute("select name from pg_prepared_statements order by name").fetchall()
    return [row[0] for row in rows]


def test_a_statement_is_prepared_once_and_survives_a_rollback(store: PostgresStore) -> None:
    started(store)
    before = prepared(store)
    with suppress(ZeroDivisionError), store.session.transaction("insert"):
        started(store)
        raise ZeroDivisionError
    started(store)
    assert prepared(store) == before == ["flush_3", "insert_one_2", "skip_numbers_1"]


@pytest.mark.parametrize("request_", [started, lambda store: signalled(store, started(store))])
def test_a_transaction_waits_for_the_disk_whatever_was_shown_early_before(
    store: PostgresStore, request_: Callable[[PostgresStore], object]
) -> None:
    store.session.open().execute("set synchronous_commit = on")
    request_(store)
    with store.session.transaction("requests"):
        request_(store)
        (setting,) = store.session.open().execute("show synchronous_commit").fetchall()
    assert setting == ("on",)


def test_more_than_a_socket_holds_goes_both_ways(store: PostgresStore) -> None:
    large = b"x" * (16 * MEGABYTE)
    run_ids = [started(store, large) for _ in range(2)]
    found = store.session.together(*[("get", {"run": run_id}) for run_id in run_ids])
    assert all(row[0] == run_id and large in row for run_id, ((*row,),) in zip(run_ids, found, strict=True))


def test_what_cannot_be_sent_leaves_the_session_as_it_was(store: PostgresStore) -> None:
    run_id = started(store)
    number = store.session.connections
    good = ("get", {"run": run_id})
    for name in ("\ud800", "\0"):
        bad = (
            "signal",
            {"run": run_id, "name": name, "payload": b"", "delivery_id": None, "told": "", "early": False},
        )
        with pytest.raises(JournalError):
            store.session.rows(*bad)
        with pytest.raises(JournalError):
            store.session.shown_early(*bad)
        with pytest.raises(JournalError):
            store.session.together(good, bad, good)
        assert store.session.rows(*good)[0][0] == run_id
    assert store.session.connections == number


def test_statements_together_are_all_done_or_none(store: PostgresStore, other: Other) -> None:
    run_id = started(store)
    note = ("notify_ended", {"payloads": texts(["x" * 9000])})  # too long for a notification
    change = ("set_attributes", {"run": run_id, "attributes": '{"changed": true}'})
    with pytest.raises(JournalError, match="payload string too long"):
        store.session.together(change, note)
    ((attributes,),) = other.execute("select attributes from continuum_runs").fetchall()
    assert attributes == {}
    assert len(store.session.together(change, change)) == 2


def test_a_refusal_at_the_commit_is_not_taken_for_success(
    store: PostgresStore,
    other: Other,
) -> None:
    """The rows of a statement come before its transaction commits."""
    other.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'not at all'; end $$;"
        "create constraint trigger late after insert on continuum_runs deferrable initially deferred"
        " for each row execute function refuse()"
    )
    with pytest.raises(JournalError, match="not at all"):
        started(store)
    assert other.execute("select count(*) from continuum_runs").fetchone() == (0,)
    assert store.catalog.get(uuid4()) is None


def test_a_session_that_is_ended_while_statements_wait_is_an_error_and_then_replaced(
    store: PostgresStore, other: Other, database_url: str
) -> None:
    change = ("set_attributes", {"run": started(store), "attributes": "{}"})
    for ask in (lambda: store.session.rows(*change), lambda: store.session.together(change, change)):
        with ThreadPoolExecutor(1) as threads, locked(database_url, store):
            asked = threads.submit(ask)
            wait_until(lambda: other.execute(WAITING).fetchall(), "it waits for the lock")
            other.execute(f"select pg_terminate_backend(pid) from ({WAITING}) as waiting")
            with pytest.raises(JournalError):
                asked.result(LIMIT_S)
        assert store.session.rows(*change)


def test_a_wait_that_is_interrupted_leaves_no_answer_for_the_next(
    store: PostgresStore, other: Other, database_url: str
) -> None:
    class InterruptedHere(BaseException):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise InterruptedHere

    def send_when_it_waits(thread: int) -> None:
        wait_until(lambda: other.execute(WAITING).fetchall(), "it waits for the lock")
        signal.pthread_kill(thread, signal.SIGUSR1)

    run_id = started(store)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with ThreadPoolExecutor(1) as threads, locked(database_url, store):
            sent = threads.submit(send_when_it_waits, threading.get_ident())
            with pytest.raises(InterruptedHere):
                store.session.rows("set_attributes", {"run": run_id, "attributes": "{}"})
            sent.result(LIMIT_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    row = store.catalog.get(run_id)
    assert row is not None
    assert row.id == run_id


def test_a_notification_that_comes_with_an_answer_is_kept(
    store: PostgresStore,
    other: Other,
) -> None:
    connection = store.session.open()
    connection.execute("listen heard")
    other.execute("notify heard, 'something'")
    store.catalog.get(uuid4())
    notification = connection.pgconn.notifies()
    assert notification is not None
    assert notification.extra == b"something"
