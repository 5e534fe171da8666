"""What a client was told is done survives a crash of the server, although others see it before it is on disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from continuum.embedded import EmbeddedPostgres
from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit
from continuum.postgres import PostgresStore, Session, migrate, open_store
from continuum.postgres.session import Parameters, Row

SCHEMA, OWNER = "continuum_crash", "node/default/engine-1/boot-1"
# Nothing reaches the disk by itself while the test runs.
SETTINGS = {"fsync": "off", "wal_writer_delay": "10s", "bgwriter_delay": "10s", "autovacuum": "off"}
Request = Callable[[PostgresStore, RunSeed], None]


def start(store: PostgresStore, seed: RunSeed) -> None:
    store.catalog.insert([seed])


def signal(store: PostgresStore, seed: RunSeed) -> None:
    store.catalog.signal(seed.id, "go", b"\x01", "once")


def runs(store: PostgresStore, seed: RunSeed) -> int:
    return int(store.catalog.get(seed.id) is not None)


def signals(store: PostgresStore, seed: RunSeed) -> int:
    return int(store.catalog.signal(seed.id, "go", b"\x01", "once")[0] == "duplicate")


def crashed(root: Path, request: Request, found: Callable[[PostgresStore, RunSeed], int]) -> int:
    """Make the request, crash the server, and say how much of it is there afterwards."""
    server = EmbeddedPostgres(root, settings=SETTINGS)
    seed = RunSeed(id=uuid4(), workflow="flow", args=b"\x90")
    try:
        migrate(server.attach(), SCHEMA)
        with closing(open_store(server.url, SCHEMA)) as store:
            if request is not start:
                start(store, seed)
            request(store, seed)
            server.restart("immediate")
        with closing(open_store(server.url, SCHEMA)) as store:
            return found(store, seed)
    finally:
        server.stop("immediate")


@pytest.mark.parametrize(("request_", "found"), [(start, runs), (signal, signals)])
def test_a_request_that_was_answered_survives_a_crash(
    root: Path, request_: Request, found: Callable[[PostgresStore, RunSeed], int]
) -> None:
    assert crashed(root, request_, found) == 1


def test_without_its_second_transaction_it_would_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_shown(session: Session, name: str, parameters: Parameters) -> list[Row]:
        return session.rows(name, {**parameters, "early": True})

    monkeypatch.setattr(Session, "shown_early", only_shown)
    assert crashed(root, start, runs) == 0


@pytest.mark.rule("S1", "S6", "L1")
def test_what_an_engine_was_told_and_a_crash_forgot_is_not_written(root: Path) -> None:
    """The engine's memory outlives the server: what it knows too early must neither be written nor be mistaken."""
    server = EmbeddedPostgres(root, settings=SETTINGS)
    seed = RunSeed(id=uuid4(), workflow="flow", args=b"\x90")
    try:
        migrate(server.attach(), SCHEMA)
        with (
            closing(open_store(server.url, SCHEMA)) as client,
            closing(open_store(server.url, SCHEMA)) as engine,
        ):
            (run,) = client.catalog.insert([seed], owner=OWNER)
            engine.dispatch.register(OWNER, "node", "", 600.0)
            assert run.token is not None
            lease = Lease(seed.id, run.token)
            client.catalog.signal(seed.id, "go", b"A", None)  # on disk, and all before
            early = {"run": seed.id, "name": "go", "payload": b"B", "delivery_id": "once", "told": ""}
            client.session.rows("signal", {**early, "early": True})
            (mail,) = engine.journal.mail([lease])
            assert [signal.payload for signal in mail.signals] == [b"A", b"B"]
            server.restart("immediate")
            with suppress(JournalError):
                engine.session.rows("flush", {})  # finds the connection broken
            with suppress(JournalError):
                client.session.rows("flush", {})
            step = RunCommit(lease.run_id, lease.token, 0, [EventRow(1, 1, b"")], "running", is_child=False)
            step.signals_consumed = [signal.id for signal in mail.signals]
            assert not engine.journal.commit([step])
            assert client.catalog.signal(seed.id, "go", b"C", "once")[0] == "delivered"
            (left,) = engine.journal.mail([lease])
            assert [signal.payload for signal in left.signals] == [b"A", b"C"]
            assert left.signals[-1].id not in step.signals_consumed, "an id is never given again"
    finally:
        server.stop("immediate")
