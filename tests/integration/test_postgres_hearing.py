"""What an engine hears from PostgreSQL itself, on its private channel."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from continuum.errors import JournalError
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, SignalRow
from continuum.ports.mailbox import Notice
from continuum.postgres import Listener, PostgresStore, dispatch
from continuum.postgres.catalog import _seed
from continuum.postgres.notices import OUTCOME_BYTES_MAX, secret_channel
from continuum.postgres.place import here
from tests.integration.conformance.scene import until
from tests.integration.races import (
    LIMIT_S,
    OWNER,
    Connection,
    OpenStore,
    another,
    connection,
    meanwhile,
    step,
)

__all__ = ["another", "connection"]  # fixtures
LONG = bytes(OUTCOME_BYTES_MAX)


@pytest.fixture
def engine(another: OpenStore) -> PostgresStore:
    """A session of an engine that has not begun to listen."""
    engine = another("engine")
    engine.dispatch.hold(OWNER)
    engine.dispatch.register(OWNER, "node", "", 600.0, [("flow", "v1")])
    return engine


@pytest.fixture
def ear(engine: PostgresStore, database_url: str, fresh_schema: str) -> Iterator[Listener]:
    """The engine's channel."""
    channel = secret_channel()
    ear = Listener(database_url, fresh_schema, (), channel)
    ear.reconnect()
    assert engine.dispatch.hear(OWNER, channel, 1)
    yield ear
    ear.close()


@pytest.fixture
def others(engine: PostgresStore, database_url: str, fresh_schema: str) -> Iterator[Listener]:
    """What dispatchers and routers hear."""
    others = Listener(database_url, fresh_schema)
    others.reconnect()
    yield others
    others.close()


@pytest.fixture
def store(another: OpenStore, engine: PostgresStore) -> PostgresStore:
    """A client's session."""
    return another("client")


def heard(listener: Listener, count: int = 1) -> list[Notice]:
    notices: list[Notice] = []
    deadline = time.monotonic() + LIMIT_S
    while len(notices) < count and time.monotonic() < deadline:
        select.select([listener], [], [], 0.1)
        notices += listener.poll()
    return notices


def started(store: PostgresStore, args: bytes = b"args") -> UUID:
    seed = RunSeed(id=uuid4(), workflow="flow", args=args, namespace="shop", correlation_id=UUID(int=7))
    return store.catalog.insert([seed])[0].run_id


def lease_of(engine: PostgresStore, run_id: UUID) -> Lease:
    return next(lease for lease in engine.journal.leased_since(OWNER, 0) if lease.run_id == run_id)


def test_the_run_itself_is_told_and_nobody_else_wakes(
    store: PostgresStore, engine: PostgresStore, ear: Listener, others: Listener
) -> None:
    run_id = started(store)
    ((notice),) = heard(ear)
    lease = lease_of(engine, run_id)
    assert (notice.kind, notice.run_id, notice.token) == ("leased", run_id, lease.token)
    (loaded,) = engine.journal.load([lease])
    assert notice.claimed is not None and notice.claimed.fresh
    for name in set(notice.claimed.__struct_fields__) - {"fresh"}:
        assert getattr(notice.claimed, name) == getattr(loaded.run, name), name
    engine.dispatch.ask("node", "boot")
    assert [notice.kind for notice in heard(others)] == ["ask"], "and no due run before"


def test_of_a_long_run_the_lease_is_told(store: PostgresStore, engine: PostgresStore, ear: Listener) -> None:
    run_id = started(store, LONG)
    token = lease_of(engine, run_id).token
    assert heard(ear) == [Notice("leased", run_id, token=token)]


def test_a_run_within_a_transaction_is_left_to_the_dispatchers(
    store: PostgresStore, ear: Listener, others: Listener
) -> None:
    with store.session.transaction("insert"):
        run_id = started(store)
    row = store.catalog.get(run_id)
    assert row is not None and row.owner is None
    assert heard(others) == [Notice("due")]


def test_a_run_is_not_given_to_another_machine(
    store: PostgresStore, engine: PostgresStore, ear: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "here", lambda: "another boot, or another network of this machine")
    assert engine.dispatch.hear(OWNER, "channel", 1)
    row = store.catalog.get(started(store))
    assert row is not None and row.owner is None


@pytest.mark.rule("B3")
def test_many_clients_at_once_do_not_take_each_other_for_an_engine_that_has_died(
    store: PostgresStore, another: OpenStore, engine: PostgresStore, ear: Listener
) -> None:
    engine.close()
    rival = another("rival")
    until(lambda: OWNER in rival.dispatch.look_for_gone("another", 10).gone)
    with store.session.transaction("insert"):  # not committed yet, as of a client that waits for its turn
        seed = RunSeed(id=uuid4(), workflow="flow", args=b"")
        parameters = {**_seed(seed), "host": here(), "told": "", "early": True}
        assert store.session.rows("insert_one", parameters)
        row = rival.catalog.get(started(rival))
        assert row is not None and row.owner is None
        assert OWNER in rival.dispatch.look_for_gone("another", 10).gone


@pytest.mark.rule("L1")
def test_each_connection_that_gives_leases_skips_what_a_crash_may_have_forgotten(
    another: OpenStore, engine: PostgresStore, ear: Listener
) -> None:
    clients = [another(f"client-{number}") for number in range(2)]
    first, second, third = (
        lease_of(engine, started(client)).token for client in (clients[0], clients[1], clients[1])
    )
    assert second > first + 900_000
    assert third == second + 1


def test_text_that_cannot_be_stored_is_refused_by_the_store_and_not_by_what_is_told(
    store: PostgresStore, ear: Listener
) -> None:
    with pytest.raises(JournalError, match="surrogates"):
        store.catalog.insert([RunSeed(id=uuid4(), workflow="\ud800", args=b"")])
    with pytest.raises(JournalError, match="surrogates"):
        store.catalog.signal(started(store), "\ud800", b"", None)


@pytest.mark.rule("S1", "S3")
def test_a_signal_is_told_if_nothing_of_its_name_is_unread_before_it(
    store: PostgresStore, engine: PostgresStore, ear: Listener, others: Listener
) -> None:
    run_id = started(store)
    heard(ear)
    lease = lease_of(engine, run_id)
    for name, payload in (("go", b"1"), ("go", b"2"), ("stop", b"3"), ("hint", LONG)):
        store.catalog.signal(run_id, name, payload, None)
    first, second, third, long = heard(ear, 4)
    (mail,) = engine.journal.mail([lease])
    assert [row.payload for row in mail.signals] == [b"1", b"2", b"3", LONG]
    assert first == Notice("signal", run_id, signal=mail.signals[0])
    assert third == Notice("signal", run_id, signal=mail.signals[2])
    assert second == long == Notice("signal", run_id)
    consumed = step(lease, 0)
    consumed.signals_consumed = [row.id for row in mail.signals]
    assert engine.journal.commit([consumed])
    store.catalog.signal(run_id, "go", b"4", None)
    (told,) = heard(ear)
    assert told.signal == SignalRow(told.signal.id if told.signal else 0, "go", b"4")
    engine.dispatch.ask("node", "boot")
    assert [notice.kind for notice in heard(others)] == ["ask"], "and no mail before"


@pytest.mark.rule("S1")
def test_a_signal_that_waited_for_another_is_not_told_before_it(
    store: PostgresStore, another: OpenStore, connection: Connection, ear: Listener
) -> None:
    run_id = started(store)
    heard(ear)
    rival = another("rival")
    with store.session.transaction("signal"):
        store.catalog.signal(run_id, "go", b"1", None)
        later = meanwhile(connection, "rival", lambda: rival.catalog.signal(run_id, "go", b"2", None))
    assert later.result(LIMIT_S)[0] == "delivered"
    first, second = heard(ear, 2)
    assert first.signal is not None and first.signal.payload == b"1"
    assert second == Notice("signal", run_id), "the first, of which its statement knew nothing, is unread"


def test_an_engine_that_does_not_hear_is_told_through_its_router(
    store: PostgresStore, engine: PostgresStore, ear: Listener, others: Listener
) -> None:
    run_id = started(store)
    heard(ear)
    assert engine.dispatch.hear(OWNER, None, 0)
    store.catalog.signal(run_id, "go", b"1", None)
    assert heard(others) == [Notice("mail", run_id, OWNER)]
