"""The connections of a client: who waits for one when the client is closed, and how many there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from uuid import UUID

import psycopg
import pytest

from continuum.client.link import SESSIONS_MAX, EndListener, Link
from continuum.errors import ContinuumError, JournalError
from continuum.ports.catalog import Ending
from continuum.postgres import open_store
from continuum.postgres.catalog import PostgresCatalog
from continuum.postgres.notices import OUTCOME_BYTES_MAX, outcome_payload
from tests.integration.conformance.scene import Scene, step

LIMIT_S = 30.0
LONG_S = 1e9


@pytest.fixture
def link(database_url: str, instance: str) -> Iterator[Link]:
    link = Link(database_url, instance, 1.0)
    link.open()
    yield link
    link.close()


def in_thread(work: Callable[[], object]) -> list[object]:
    """Do it in a thread, which must end; return what came of it."""
    came: list[object] = []

    def run() -> None:
        try:
            came.append(work())
        except ContinuumError as error:
            came.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive(), "it hangs"
    return came


def test_who_would_wait_for_a_connection_of_a_closed_client_is_told(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = link.open

    def close_just_after() -> str:
        url = really_open()
        link.close()
        return url

    with ExitStack() as lent:
        for _ in range(SESSIONS_MAX):
            lent.enter_context(link.store())
        monkeypatch.setattr(link, "open", close_just_after)
        assert in_thread(lambda: link.repeat(lambda store: store)) == [
            "this client is closed; make a new one"
        ]


def test_the_spare_connection_is_one_and_is_lent_to_nobody_else(link: Link) -> None:
    with link.store(spare=True) as spare:
        pass
    with ExitStack() as lent:
        stores = [lent.enter_context(link.store()) for _ in range(SESSIONS_MAX)]
        assert spare not in stores
        with link.store(spare=True) as again:
            assert again is spare


def test_a_wait_is_interrupted_once_however_often_it_was_asked_to_end(database_url: str, schema: str) -> None:
    with closing(EndListener(database_url, schema)) as ears:
        for _ in range(3):
            ears.interrupt()
        assert in_thread(lambda: list(ears.wait(None))) == [[]]
        assert ears._heard.poll(0) == []


def test_a_wait_returns_the_numbers_of_the_runs_that_ended(database_url: str, schema: str) -> None:
    with (
        closing(EndListener(database_url, schema)) as ears,
        closing(open_store(database_url, schema)) as store,
    ):
        store.mailbox.announce_ended([UUID(int=1), UUID(int=2**127)])
        assert in_thread(lambda: list(ears.wait(LIMIT_S))) == [[1, 2**127]]


@pytest.mark.rule("W2")
@pytest.mark.parametrize("size", [1, OUTCOME_BYTES_MAX, OUTCOME_BYTES_MAX + 1])
def test_who_is_told_the_outcome_of_a_run_need_not_look(
    database_url: str, schema: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    looked: list[UUID] = []
    endings = PostgresCatalog.endings

    def look(catalog: PostgresCatalog, run_ids: Sequence[UUID]) -> dict[UUID, Ending]:
        looked.extend(run_ids)
        return endings(catalog, run_ids)

    monkeypatch.setattr(PostgresCatalog, "endings", look)
    with (
        closing(EndListener(database_url, schema)) as ears,
        closing(open_store(database_url, schema)) as store,
    ):
        lease = Scene(store).leased()
        end = step(lease, 0, 1, "completed", result=bytes(size), is_child=False)
        assert store.journal.commit([end], announce=True) == {lease.run_id}
        assert list(ears.wait(LIMIT_S)) == [lease.run_id.int]
        assert ears.look([lease.run_id]) == {
            lease.run_id: Ending(lease.run_id, "completed", bytes(size), None)
        }
        assert looked == ([] if size <= OUTCOME_BYTES_MAX else [lease.run_id])


def test_outcomes_are_believed_on_the_secret_channel_only(database_url: str, schema: str) -> None:
    with (
        closing(EndListener(database_url, schema)) as ears,
        psycopg.connect(database_url, autocommit=True) as anybody,
    ):
        forged = outcome_payload(UUID(int=7), "completed", b"forged")
        for payload in (forged, f"done:{UUID(int=8).hex}"):
            anybody.execute("select pg_notify(%s, %s)", [f"{schema}_done", payload])
        assert list(ears.wait(LIMIT_S)) == [8]


def test_a_listener_whose_connection_is_lost_looks_at_nothing(database_url: str, schema: str) -> None:
    with closing(EndListener(database_url, schema)) as ears:
        ears._listener.session.close()
        with pytest.raises(JournalError):
            ears.look([UUID(int=1)])


def test_a_wait_may_be_longer_than_the_system_counts(database_url: str, schema: str) -> None:
    with closing(EndListener(database_url, schema)) as ears:
        ears.interrupt()
        assert in_thread(lambda: list(ears.wait(LONG_S))) == [[]]
