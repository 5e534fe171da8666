"""Notifications that arrive, and runs inserted by a caller's own connection."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.dispatch import Death, Told, Woken
from continuum.ports.journal import Lease, Release, RunCommit
from continuum.ports.mailbox import Notice
from continuum.postgres import Listener, PostgresStore
from continuum.postgres.notices import ends_of, parse

OWNER, ELSEWHERE = "node/default/engine-1/boot-1", "elsewhere/default/engine-1/boot-1"
LIMIT_S = 30.0


@pytest.fixture
def listener(database_url: str, fresh_schema: str) -> Iterator[Listener]:
    listener = Listener(database_url, fresh_schema, ("due", "wake", "done"))
    listener.reconnect()
    yield listener
    listener.close()


def heard(listener: Listener, count: int) -> list[Notice]:
    """Return the first notices but those of new owners, of which there must be ``count``."""
    notices: list[Notice] = []
    deadline = time.monotonic() + LIMIT_S
    while len(notices) < count and time.monotonic() < deadline:
        select.select([listener], [], [], 0.1)
        notices += [notice for payload in listener.payloads() for notice in said(payload)]
    return notices


def said(payload: bytes) -> list[Notice]:
    """What a payload says to nodes, but of new owners, or to clients."""
    ended = [Notice("done", UUID(int=number)) for number in ends_of(payload)]
    return ended or [notice for notice in parse(payload) if notice.kind != "owner"]


def seed() -> RunSeed:
    return RunSeed(id=uuid4(), workflow="flow", args=b"", attributes={"plan": "pro"})


def run_of(store: PostgresStore) -> UUID:
    return store.catalog.insert([seed()])[0].run_id


def test_runs_inserted_together_are_announced_once(store: PostgresStore, listener: Listener) -> None:
    store.catalog.insert([seed(), seed(), seed()])
    store.mailbox.announce_ended([UUID(int=1)])
    assert heard(listener, 2) == [Notice("due"), Notice("done", UUID(int=1))]


def test_a_signal_is_announced_to_the_owner_or_as_due(store: PostgresStore, listener: Listener) -> None:
    run_id = run_of(store)
    store.catalog.signal(run_id, "approved", b"", None)
    store.dispatch.register(OWNER, "node", "", 600.0)
    store.dispatch.claim(OWNER, 1)
    store.catalog.signal(run_id, "approved", b"", None)
    assert heard(listener, 3) == [Notice("due"), Notice("due"), Notice("mail", run_id, OWNER)]


def test_an_owner_that_is_told_by_message_is_not_notified(store: PostgresStore, listener: Listener) -> None:
    for owner in (OWNER, ELSEWHERE):
        store.dispatch.register(owner, owner.partition("/")[0], "", 600.0)
    parent_id = run_of(store)
    (parent,) = store.dispatch.claim(OWNER, 1)
    for number, told in ((1, Told(lambda owner: owner == OWNER)), (2, None)):
        child = RunSeed(id=uuid4(), workflow="flow", args=b"", parent_run_id=parent_id, parent_command=number)
        event = EventRow(number, 1, b"")
        start = RunCommit(parent_id, parent.token, number - 1, [event], "running", children_started=[child])
        assert store.journal.commit([start])
        (claimed,) = store.dispatch.claim(ELSEWHERE, 1)
        end = RunCommit(child.id, claimed.token, 0, [], "completed", result=b"")
        assert store.journal.commit([end], False, told)
    store.mailbox.announce_ended([UUID(int=1)])
    mail = [notice for notice in heard(listener, 5) if notice.kind == "mail"]
    assert mail == [Notice("mail", parent_id, OWNER)], "of the second child only"


def test_a_cancelled_run_is_announced_to_those_who_wait_and_to_its_owner(
    store: PostgresStore, listener: Listener
) -> None:
    run_id = run_of(store)
    store.dispatch.register(OWNER, "node", "", 600.0)
    store.dispatch.claim(OWNER, 1)
    store.catalog.cancel(run_id, None)
    assert set(map(repr, heard(listener, 3))) == {
        repr(Notice("due")),
        repr(Notice("done", run_id)),
        repr(Notice("mail", run_id, OWNER)),
    }


def family_of(store: PostgresStore) -> tuple[Lease, Lease]:
    """Start a run of another node with a child that this one has."""
    for owner in (OWNER, ELSEWHERE):
        store.dispatch.register(owner, owner.partition("/")[0], "", 600.0)
    (root,) = store.catalog.insert([seed()], owner=ELSEWHERE)
    assert root.token is not None
    parent = Lease(root.run_id, root.token)
    child = RunSeed(id=uuid4(), workflow="flow", args=b"", parent_run_id=root.run_id, parent_command=1)
    store.journal.commit(
        [
            RunCommit(
                parent.run_id, parent.token, 0, [EventRow(1, 1, b"")], "running", children_started=[child]
            )
        ]
    )
    (claimed,) = store.dispatch.claim(OWNER, 1)
    return parent, Lease(claimed.run_id, claimed.token)


@pytest.mark.rule("K2")
def test_a_cancelled_family_is_announced_once_to_those_who_wait_and_to_each_owner(
    store: PostgresStore, listener: Listener
) -> None:
    parent, child = family_of(store)
    store.catalog.cancel(parent.run_id, None)
    assert sorted(map(repr, heard(listener, 5))) == sorted(
        [
            repr(Notice("due")),
            repr(Notice("done", parent.run_id)),
            repr(Notice("done", child.run_id)),
            repr(Notice("mail", parent.run_id, ELSEWHERE)),
            repr(Notice("mail", child.run_id, OWNER)),
        ]
    )


@pytest.mark.rule("C2")
def test_the_end_of_a_child_is_announced_to_the_parents_owner_on_another_node(
    store: PostgresStore, listener: Listener
) -> None:
    parent, child = family_of(store)
    store.journal.commit([RunCommit(child.run_id, child.token, 0, [], "completed")])
    assert heard(listener, 2) == [Notice("due"), Notice("mail", parent.run_id, ELSEWHERE)]


@pytest.mark.rule("K2")
def test_children_that_a_commit_cancels_are_announced(store: PostgresStore, listener: Listener) -> None:
    parent, child = family_of(store)
    store.journal.commit([RunCommit(parent.run_id, parent.token, 1, [], "running", children_cancelled=[1])])
    assert heard(listener, 3) == [
        Notice("due"),
        Notice("mail", child.run_id, OWNER),
        Notice("done", child.run_id),
    ]


@pytest.mark.rule("K4")
def test_a_cancel_that_leaves_time_is_announced_to_owners_and_to_nobody_who_waits(
    store: PostgresStore, listener: Listener
) -> None:
    parent, child = family_of(store)
    store.catalog.cancel(parent.run_id, None, 60.0)
    store.mailbox.announce_ended([UUID(int=1)])
    assert heard(listener, 5) == [
        Notice("due"),
        Notice("mail", parent.run_id, ELSEWHERE),
        Notice("mail", child.run_id, OWNER),
        Notice("ends"),  # for the dispatchers: the end of the time
        Notice("done", UUID(int=1)),
    ]


def test_any_number_of_ended_runs_fits_into_notifications(store: PostgresStore, listener: Listener) -> None:
    ended = [uuid4() for _ in range(1000)]
    store.mailbox.announce_ended(ended)
    assert [notice.run_id for notice in heard(listener, 1000)] == ended


def test_runs_that_an_owner_leaves_are_announced_as_left(store: PostgresStore, listener: Listener) -> None:
    """By its death, or because it lacks their code: a claim of new runs does not find these."""
    store.dispatch.register(OWNER, "node", "", 600.0)
    lacking, later = run_of(store), run_of(store)
    tokens = {run.run_id: run.token for run in store.dispatch.claim(OWNER, 2)}
    store.journal.release([Release(later, tokens[later], 5.0)])
    store.journal.release([Release(lacking, tokens[lacking], 5.0, "no code", lacks_code=True)])
    store.dispatch.retire([OWNER])
    store.mailbox.announce_mail([Woken(uuid4(), None)])
    kinds = [notice.kind for notice in heard(listener, 6)]
    assert kinds == ["due", "due", "due", "left", "left", "due"]


def test_mail_is_announced_to_each_owner_and_runs_without_owner_as_due_once(
    store: PostgresStore, listener: Listener
) -> None:
    mine = uuid4()
    store.mailbox.announce_mail([Woken(uuid4(), None), Woken(mine, OWNER), Woken(uuid4(), None)])
    assert heard(listener, 2) == [Notice("due"), Notice("mail", mine, OWNER)]


def test_a_run_that_a_person_resumes_is_announced(store: PostgresStore, listener: Listener) -> None:
    store.dispatch.register(ELSEWHERE, "elsewhere", "", 600.0)
    run_id = run_of(store)
    store.dispatch.claim(ELSEWHERE, 1)
    store.dispatch.blame([Death(run_id, ELSEWHERE)], 1)
    assert store.catalog.resume(run_id)[0] == "resumed"
    assert heard(listener, 2) == [Notice("due"), Notice("alone")]


def test_payloads_that_are_not_ours_are_ignored(
    store: PostgresStore, listener: Listener, database_url: str, fresh_schema: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for payload in ("", "due:1", "mail:nonsense:x", f"mail:{uuid4().hex}:", "done:", "done:x,2", "other"):
            connection.execute("select pg_notify(%s, %s)", [f"{fresh_schema}_due", payload])
    run_of(store)
    assert heard(listener, 1) == [Notice("due")]


@pytest.mark.rule("O4")
def test_a_listener_whose_connection_broke_says_so_and_hears_again_after_it_reconnects(
    store: PostgresStore, listener: Listener, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where application_name = 'continuum-listener' and datname = current_database()"
        )
    deadline = time.monotonic() + LIMIT_S
    while listener.connected and time.monotonic() < deadline:
        assert listener.poll() == []
    assert not listener.connected
    with pytest.raises(JournalError, match="reconnect"):
        listener.fileno()
    listener.reconnect()
    run_of(store)
    assert heard(listener, 1) == [Notice("due")]


def test_a_run_inserted_by_a_callers_transaction_exists_when_that_commits(
    store: PostgresStore, database_url: str
) -> None:
    kept, undone = seed(), seed()
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        path = connection.execute("show search_path").fetchone()
        assert store.catalog.insert_with(connection, [kept])[0].created
        assert connection.execute("show search_path").fetchone() == path
        assert store.catalog.get(kept.id) is None
        connection.commit()
        store.catalog.insert_with(connection, [undone])
        connection.rollback()
    assert store.catalog.get(kept.id) is not None
    assert store.catalog.get(undone.id) is None


def test_a_refused_insert_leaves_the_callers_transaction_usable(
    store: PostgresStore, database_url: str
) -> None:
    bad = RunSeed(id=uuid4(), workflow="flow", args=b"", attributes={"name": "\x00"})
    with psycopg.connect(database_url) as connection:
        with pytest.raises(JournalError, match="insert"):
            store.catalog.insert_with(connection, [bad])
        assert connection.execute("select 1").fetchone() == (1,)
