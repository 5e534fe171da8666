"""What only a real server shows of a poster: a backend that was killed, a full socket, plans that became stale."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from continuum.errors import JournalError
from continuum.model.events import SideEffect, to_row
from continuum.ports.journal import Lease, RunCommit, TaskRow
from continuum.ports.offload import CommitWork, MailWork, Work
from continuum.postgres import PostgresStore, open_poster, session
from continuum.postgres import posting as module
from continuum.postgres.posting import PostgresPoster
from tests.integration.conformance.scene import Scene, step
from tests.integration.conformance.test_posted import ANSWER_S, answer
from tests.integration.servers import wait_until

MIB = 2**20


@pytest.fixture
def poster(database_url: str, fresh_schema: str, store: PostgresStore) -> Iterator[PostgresPoster]:
    with closing(open_poster(database_url, fresh_schema)) as poster:
        poster.open()
        yield poster


def large(lease: Lease, size: int) -> RunCommit:
    event = to_row(1, SideEffect(bytes(size)))
    return RunCommit(lease.run_id, lease.token, 0, [event], "running", is_child=False)


def plain(lease: Lease, base_seq: int = 0) -> RunCommit:
    event = to_row(base_seq + 1, SideEffect(b"value"))
    return RunCommit(lease.run_id, lease.token, base_seq, [event], "running", is_child=False)


def posted(poster: PostgresPoster, work: Work) -> Any:
    assert poster.post(work)
    return answer(poster)


def kill(database_url: str, poster: PostgresPoster) -> None:
    pid = poster.backend_pid
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s)", [pid])
        query = "select count(*) from pg_stat_activity where pid = %s"
        wait_until(lambda: connection.execute(query, [pid]).fetchone() == (0,), "the backend is gone")


@pytest.mark.rule("R6")
def test_a_killed_backend_fails_the_work_that_meets_it_and_the_next_connection_does_it(
    database_url: str, scene: Scene, poster: PostgresPoster
) -> None:
    lease = scene.leased()
    kill(database_url, poster)
    with pytest.raises(JournalError):
        posted(poster, CommitWork([plain(lease)]))
    assert poster.fileno() is None
    poster.open()
    assert posted(poster, CommitWork([plain(lease)])) == {lease.run_id}


def test_an_idle_poster_tells_that_its_connection_has_ended(
    database_url: str, poster: PostgresPoster
) -> None:
    assert poster.take() is None
    kill(database_url, poster)
    with pytest.raises(JournalError):
        answer(poster)
    assert poster.fileno() is None


def test_a_commit_larger_than_the_socket_takes_leaves_in_parts(scene: Scene, poster: PostgresPoster) -> None:
    lease = scene.leased()
    assert poster.post(CommitWork([large(lease, 16 * MIB)]))
    assert poster.unsent(), "a socket holds less"
    assert answer(poster) == {lease.run_id}
    (event,) = scene.catalog.events(lease.run_id)
    assert len(event.payload) > 16 * MIB


def test_a_statement_that_fails_is_an_error_and_the_next_work_gets_its_own_answer(
    store: PostgresStore, scene: Scene, poster: PostgresPoster
) -> None:
    lease = scene.leased()
    clash = RunCommit(
        lease.run_id, lease.token, 0, [*plain(lease).events, *plain(lease).events], "running", is_child=False
    )
    with pytest.raises(JournalError, match="duplicate key"):
        posted(poster, CommitWork([clash]))
    assert scene.seqs(lease.run_id) == []
    poster.open()
    assert posted(poster, MailWork([lease])) == store.journal.mail([lease])


def test_steps_that_concern_others_are_not_posted(scene: Scene, poster: PostgresPoster) -> None:
    lease = scene.leased()
    task = TaskRow(1, 1, "shop.charge", b"args", "default", 0.0)
    assert not poster.post(CommitWork([step(lease, tasks_set=(task,))])), (
        "its notice is a transaction of its own"
    )
    child = RunCommit(lease.run_id, lease.token, 0, [], "completed", is_child=True)
    assert not poster.post(CommitWork([child])), "its end may wake a parent"
    assert not poster.post(lambda desk: None)
    assert posted(poster, CommitWork([plain(lease)])) == {lease.run_id}, "nothing was sent for the others"


def test_a_poster_whose_opening_took_long_works_as_any(
    database_url: str, fresh_schema: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = scene.leased()
    monkeypatch.setattr(session, "SLOW_S", 0.0)
    with closing(open_poster(database_url, fresh_schema)) as poster:
        opening = threading.Thread(target=poster.open, daemon=True)
        opening.start()
        opening.join(ANSWER_S)
        assert not opening.is_alive(), "it waits for an answer to what it did not send"
        assert posted(poster, CommitWork([plain(lease)])) == {lease.run_id}


def test_after_a_slow_answer_plans_are_made_anew(
    scene: Scene, poster: PostgresPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = scene.leased()
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    monkeypatch.setattr(module, "REPLAN_S", 0.0)
    for base_seq in range(3):
        assert posted(poster, CommitWork([plain(lease, base_seq)])) == {lease.run_id}
    assert poster.plans_discarded == 2
    assert scene.seqs(lease.run_id) == [1, 2, 3]
