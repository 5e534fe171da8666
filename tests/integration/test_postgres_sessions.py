"""What only real sessions show: a server that was restarted, a backend that was killed, a pooler, other schemas."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from continuum.embedded_reaper import StopMode
from continuum.errors import JournalError
from continuum.model.run import RunSeed
from continuum.postgres import PostgresStore, migrate, open_store
from continuum.postgres import session as postgres_session
from continuum.postgres.prepared import Prepared
from tests.integration.servers import quick, wait_until

THEIRS, MINE = "n2/default/engine-1/b2-1", "b1"
ALL = 100
OpenStore = Callable[..., PostgresStore]


@pytest.fixture
def another(database_url: str, fresh_schema: str) -> Iterator[OpenStore]:
    """Return what opens a store on the test's schema, or on the one that is named; each is a session."""
    stores: list[PostgresStore] = []

    def open_another(schema: str = fresh_schema, url: str = database_url) -> PostgresStore:
        migrate(database_url, schema)
        stores.append(open_store(url, schema))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()


def held(store: PostgresStore, owner: str = THEIRS) -> PostgresStore:
    assert store.dispatch.hold(owner)
    store.dispatch.register(owner, "n2", "", 600.0)
    return store


def look(store: PostgresStore) -> list[str]:
    return store.dispatch.retire_gone(store.dispatch.look_for_gone(MINE, ALL).gone)


def backend_of(store: PostgresStore) -> int:
    return store.session.open().info.backend_pid


def terminate(database_url: str, store: PostgresStore) -> None:
    """End the session from outside, as an administrator would, and wait until it is gone."""
    pid = backend_of(store)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s)", [pid])
        query = "select count(*) from pg_stat_activity where pid = %s"
        wait_until(lambda: connection.execute(query, [pid]).fetchone() == (0,), "the backend is gone")


@pytest.mark.rule("L4")
def test_a_session_that_is_minded_is_replaced_before_anybody_looks(
    database_url: str, another: OpenStore
) -> None:
    mine, theirs = another(), held(another())
    line = theirs.dispatch.holds
    assert line.fileno() is not None
    terminate(database_url, theirs)
    before = theirs.session.connections
    while theirs.session.connections == before:
        descriptor = line.fileno()
        assert descriptor is not None
        assert select.select([descriptor], [], [], 30)[0], "the end of a connection can be read"
        line.mend()
    assert look(mine) == []
    assert theirs.dispatch.heartbeat(THEIRS, 30.0) is not None


@pytest.mark.rule("L4")
def test_a_session_that_was_ended_and_is_not_replaced_is_found(database_url: str, another: OpenStore) -> None:
    mine, theirs = another(), held(another())
    terminate(database_url, theirs)
    assert look(mine) == [THEIRS]
    with suppress(JournalError):  # the call that meets the break
        theirs.dispatch.heartbeat(THEIRS, 30.0)
    assert theirs.dispatch.heartbeat(THEIRS, 30.0) is None


@pytest.mark.rule("L4")
def test_a_session_that_ends_after_a_slow_call_is_replaced_as_any(
    database_url: str, another: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a slow call all plans are discarded: that meets the end of the connection, and nobody waits for it."""
    theirs = held(another())
    line, before, discard = theirs.dispatch.holds, theirs.session.connections, Prepared.discard_plans

    def end_first(prepared: Prepared) -> None:
        terminate(database_url, theirs)
        monkeypatch.undo()
        discard(prepared)

    monkeypatch.setattr(postgres_session, "SLOW_S", 0.0)
    monkeypatch.setattr(Prepared, "discard_plans", end_first)
    assert theirs.session.connect() == before
    assert line.fileno() is None
    line.mend()
    assert theirs.session.connections > before
    assert look(another()) == []


@pytest.mark.rule("L4", "O4")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_nobody_is_taken_for_dead_because_the_server_was_restarted(open_folder: Path, mode: StopMode) -> None:
    with quick(open_folder / "pg") as server:
        migrate(server.url, "restarted")
        mine, theirs = (open_store(server.url, "restarted") for _ in range(2))
        held(theirs)
        with suppress(JournalError):
            server.restart(mode)
        for store in (mine, theirs):
            store.close()
        assert look(mine) == [], "all locks are gone, and that says nothing"
        assert theirs.dispatch.heartbeat(THEIRS, 600.0) is not None
        assert look(mine) == []
        theirs.close()
        wait_until(lambda: look(mine) == [THEIRS], "held again on this server, and gone again")
        mine.close()
        server.stop("immediate")


@pytest.mark.rule("L4", "O4")
def test_nobody_is_taken_for_dead_because_the_server_crashed_and_went_on(open_folder: Path) -> None:
    """A backend that is killed takes all sessions with it, but not the postmaster, whose start stays the same."""
    with quick(open_folder / "pg") as server:
        migrate(server.url, "crashed")
        mine, theirs = (open_store(server.url, "crashed") for _ in range(2))
        held(theirs)
        postmaster = server.postmaster_pid
        os.kill(backend_of(mine), signal.SIGKILL)
        wait_until(lambda: answers(mine), "the server has recovered")
        assert server.postmaster_pid == postmaster
        assert look(mine) == []
        with suppress(JournalError):
            theirs.dispatch.heartbeat(THEIRS, 600.0)
        assert theirs.dispatch.heartbeat(THEIRS, 600.0) is not None
        theirs.close()
        wait_until(lambda: look(mine) == [THEIRS], "held again, and gone again")
        mine.close()
        server.stop("immediate")


def answers(store: PostgresStore) -> bool:
    try:
        store.session.rows("skip_numbers", {})
    except JournalError:
        return False
    return True


@pytest.mark.rule("I1")
def test_an_owner_of_the_same_name_in_another_schema_is_another(
    database_url: str, fresh_schema: str, another: OpenStore
) -> None:
    other_schema = f"{fresh_schema}_b"
    mine, theirs, same_name = another(), held(another()), held(another(other_schema))
    try:
        theirs.close()
        wait_until(lambda: look(mine) == [THEIRS], "its lock is another than that in the other schema")
        assert look(another(other_schema)) == []
    finally:
        same_name.close()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f'drop schema "{other_schema}" cascade')


@pytest.mark.rule("L4")
def test_behind_a_pooler_no_lock_is_held_and_nobody_is_taken_for_dead(
    database_url: str, another: OpenStore
) -> None:
    mine = another()
    settings = conninfo_to_dict(database_url)
    with pooler_before(f"{settings['host']}/.s.PGSQL.{settings['port']}") as (host, port):
        theirs = another(url=make_conninfo(database_url, host=host, port=port, sslmode="disable"))
        assert theirs.dispatch.hold(THEIRS) is False
        theirs.dispatch.register(THEIRS, "n2", "", 600.0)
        assert theirs.catalog.insert([RunSeed(id=uuid4(), workflow="w", args=b"")], owner=THEIRS)
        theirs.close()
        assert look(mine) == []
        assert mine.dispatch.retire_silent(mine.dispatch.ask("n2", "b2")) == [THEIRS]


@contextmanager
def pooler_before(target: str) -> Iterator[tuple[str, int]]:
    """What a client sees of a pooler: a process id that is the pooler's own (protocol message BackendKeyData)."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=relay, args=(client, target), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()


def relay(client: socket.socket, target: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
        server.connect(target)
        started = False
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(1 << 16)
                if not data:
                    return
                if source is server and not started and (at := data.find(b"K\x00\x00\x00\x0c")) >= 0:
                    data, started = data[: at + 5] + b"\x00\x00\x00\x07" + data[at + 9 :], True
                (server if source is client else client).sendall(data)
