"""The journal's tests once more, with what an engine posts being posted: its answers must be the same."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from continuum.ports.dispatch import Told
from continuum.ports.journal import Lease, Mail, RunCommit
from continuum.ports.offload import CommitWork, Desk, MailWork, Work
from continuum.postgres import PostgresStore, open_poster
from continuum.postgres.posting import PostgresPoster
from tests.integration.conformance.conftest import SCHEMA
from tests.integration.conformance.scene import Store
from tests.integration.conformance.test_journal import *  # noqa: F403 - they are the tests
from tests.integration.conformance.test_mailbox import *  # noqa: F403 - they are the tests

ANSWER_S = 30.0


class PostedJournal:
    """A journal whose commits and mail go through a poster, as far as it takes them."""

    def __init__(self, store: PostgresStore, poster: PostgresPoster) -> None:
        self._store, self._poster = store, poster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.journal, name)

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> set[Any]:
        return set(self._done(CommitWork(batch, announce, told))) if batch else set()

    def mail(self, leases: Sequence[Lease]) -> list[Mail]:
        mails = list(self._done(MailWork(leases)))
        for mail in mails:
            if not (mail.outcomes or mail.due_timers or mail.children):  # it may be a bare one
                alone = [MailWork([lease], is_bare=True) for lease in leases if lease.run_id == mail.run_id]
                assert [mail] in map(self._done, alone)
        return mails

    def _done(self, work: Work) -> Any:
        if not self._poster.post(work):
            return work(Desk(self._store.journal, self._store.dispatch))
        return answer(self._poster)


class PostedStore:
    def __init__(self, store: PostgresStore, poster: PostgresPoster) -> None:
        self._store = store
        self.journal = PostedJournal(store, poster)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def answer(poster: PostgresPoster) -> Any:
    """Wait for the answer as a loop does."""
    while (taken := poster.take()) is None:
        descriptor = poster.fileno()
        assert descriptor is not None
        writing = [descriptor] if poster.unsent() else []
        assert any(select.select([descriptor], writing, [], ANSWER_S)), f"no answer within {ANSWER_S} s"
    return taken[0]


@pytest.fixture(scope="module")
def poster(database_url: str, postgres_store: PostgresStore) -> Iterator[PostgresPoster]:
    with closing(open_poster(database_url, SCHEMA)) as poster:
        poster.open()
        yield poster


@pytest.fixture
def store(postgres: PostgresStore, poster: PostgresPoster) -> Store:
    posted: Any = PostedStore(postgres, poster)
    return posted  # type: ignore[no-any-return]
