"""The connections of a client: who waits for one when the client is closed, and how many there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from continuum.client.link import SESSIONS_MAX, EndListener, Link
from continuum.errors import ContinuumError

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


def test_a_wait_may_be_longer_than_the_system_counts(database_url: str, schema: str) -> None:
    with closing(EndListener(database_url, schema)) as ears:
        ears.interrupt()
        assert in_thread(lambda: ears.wait(LONG_S)) == [[]]
