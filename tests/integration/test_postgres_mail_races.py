"""What arrives for a run while it ends or is given back: both orders, forced by held locks, and nothing is lost."""

from __future__ import annotations

import pytest

from continuum.ports.journal import Release, TaskOutcome
from continuum.postgres import PostgresStore
from tests.integration.races import (
    LIMIT_S,
    OWNER,
    Connection,
    OpenStore,
    another,
    connection,
    count_of,
    ending,
    leased,
    meanwhile,
    store,
)

__all__ = ["another", "connection", "store"]  # fixtures


@pytest.mark.rule("S1")
def test_a_signal_that_was_first_ends_with_the_run_whose_end_waited_for_it(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    committer = another("committer")
    with store.session.transaction("signal"):
        assert store.catalog.signal(lease.run_id, "approved", b"", "once")[0] == "delivered"
        committing = meanwhile(connection, "committer", lambda: committer.journal.commit([ending(lease)]))
    assert committing.result(LIMIT_S) == {lease.run_id}
    assert count_of(connection, "continuum_signals") == 0


@pytest.mark.rule("S4")
def test_a_signal_that_waited_for_the_end_of_its_run_is_refused(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    client = another("client")
    with store.session.transaction("commit"):
        store.journal.commit([ending(lease)])
        signalling = meanwhile(
            connection, "client", lambda: client.catalog.signal(lease.run_id, "approved", b"", None)
        )
    assert signalling.result(LIMIT_S) == ("terminal", "completed")
    assert count_of(connection, "continuum_signals") == 0


@pytest.mark.rule("B6", "L7")
def test_a_run_given_back_while_a_signal_commits_is_due_at_once(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    engine = another("engine")
    with store.session.transaction("signal"):
        store.catalog.signal(lease.run_id, "approved", b"", None)
        releasing = meanwhile(
            connection, "engine", lambda: engine.journal.release([Release(lease.run_id, lease.token, None)])
        )
    releasing.result(LIMIT_S)
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [lease.run_id]


@pytest.mark.rule("B6", "L7")
def test_a_signal_that_waited_while_its_run_was_given_back_makes_it_due(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    client = another("client")
    with store.session.transaction("release"):
        store.journal.release([Release(lease.run_id, lease.token, None)])
        signalling = meanwhile(
            connection, "client", lambda: client.catalog.signal(lease.run_id, "approved", b"", None)
        )
    signalling.result(LIMIT_S)
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [lease.run_id]


@pytest.mark.rule("B6", "L7")
def test_an_outcome_that_waited_while_its_run_was_given_back_makes_it_due(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    worker = another("worker")
    outcome = TaskOutcome(lease.run_id, 1, 1, True, b"")
    with store.session.transaction("release"):
        store.journal.release([Release(lease.run_id, lease.token, None)])
        offering = meanwhile(connection, "worker", lambda: worker.dispatch.offer_outcomes([outcome]))
    assert [woken.owner for woken in offering.result(LIMIT_S)] == [None]
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [lease.run_id]
