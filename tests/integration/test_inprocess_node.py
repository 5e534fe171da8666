"""The whole node in one process, on both stores: the real roles, without processes and sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from uuid import UUID, uuid4

import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import sleep, wait_signal
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.ports.catalog import Catalog
from continuum.ports.mailbox import Notice
from continuum.postgres import Listener, migrate, open_store
from continuum.runtime.inprocess import InProcessNode, NoticeQueue, Store
from tests.integration.servers import wait_until


@activity
def double(number: int) -> int:
    return 2 * number


@workflow
async def errand(number: int) -> list[object]:
    doubled = await double(number)
    word = await wait_signal("word")
    await sleep(0.01)
    return [doubled, word]


class FailingListener(NoticeQueue):
    def poll(self) -> list[Notice]:
        raise ZeroDivisionError("a bug of the node")


@pytest.fixture
def memory() -> tuple[InProcessNode, Catalog]:
    store, notices = MemoryStore(time.time), NoticeQueue()
    store.subscribe(notices.put)
    return InProcessNode(lambda: nullcontext(store), listener=notices), store.catalog


@pytest.fixture
def postgres(database_url: str, fresh_schema: str) -> Iterator[tuple[InProcessNode, Catalog]]:
    migrate(database_url, fresh_schema)

    @contextmanager
    def opened() -> Iterator[Store]:
        with closing(open_store(database_url, fresh_schema)) as store:
            yield store

    with closing(Listener(database_url, fresh_schema)) as listener, opened() as store:
        listener.reconnect()
        yield InProcessNode(opened, listener=listener), store.catalog


def start(catalog: Catalog, number: int) -> UUID:
    seed = RunSeed(id=uuid4(), workflow=errand.name, args=payload.encode([[number], {}]))
    catalog.insert([seed])
    return seed.id


@pytest.mark.parametrize("store", ["memory", "postgres"])
def test_runs_go_the_whole_way(store: str, request: pytest.FixtureRequest) -> None:
    node, catalog = request.getfixturevalue(store)
    with node:
        runs = [start(catalog, number) for number in range(20)]
        for run in runs:
            catalog.signal(run, "word", payload.encode("go"), None)
        wait_until(
            lambda: all(catalog.endings([run])[run].state == "completed" for run in runs), "all runs ended"
        )
        results = [payload.decode(catalog.endings([run])[run].result) for run in runs]
    assert results == [[2 * number, "go"] for number in range(20)]


remembered: list[str] = []


@workflow
async def forgetful() -> list[object]:
    """It says each time that its code runs from the beginning."""
    remembered.append("begun")
    first = await double(1)
    await sleep(0.01)
    return [first, await double(2)]


@pytest.mark.parametrize(("value", "beginnings"), [("1", range(4, 20)), ("0", [1])])
def test_with_always_replay_every_wake_begins_at_the_journal(
    memory: tuple[InProcessNode, Catalog],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    beginnings: Sequence[int],
) -> None:
    monkeypatch.setenv("CONTINUUM_ALWAYS_REPLAY", value)
    remembered.clear()
    node, catalog = memory
    with node:
        run = uuid4()
        catalog.insert([RunSeed(id=run, workflow=forgetful.name, args=payload.encode([[], {}]))])
        wait_until(lambda: catalog.endings([run])[run].state == "completed", "the run has ended")
    assert payload.decode(catalog.endings([run])[run].result or b"") == [2, 4]
    assert len(remembered) in beginnings


def test_what_a_role_fails_with_is_raised_by_stop() -> None:
    store, listener = MemoryStore(time.time), FailingListener()
    node = InProcessNode(lambda: nullcontext(store), listener=listener)
    node.start()
    listener.put(Notice("due"))
    with pytest.raises(ZeroDivisionError, match="a bug of the node"):
        node.stop()
