"""A real node whose engines hear by themselves, a client in another process, and connections that break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from time import monotonic

import psycopg
import pytest
from psycopg import sql

from continuum import Client, Node
from continuum.postgres import Listener, migrate
from tests.cluster.node_flows import chain, wait_then_chain
from tests.cluster.nodes import wait_until

LIMIT_S = 60.0
SOON_S = 8.0  # less than the interval of the scans
FLOWS = "tests.cluster.node_flows"
EARS = "from pg_stat_activity as activity where datname = current_database() and application_name = 'continuum-ear'"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


class Scene:
    def __init__(self, database_url: str, schema: str, stack: ExitStack) -> None:
        migrate(database_url, schema)
        instance = schema.removeprefix("continuum_")
        self.node = stack.enter_context(
            Node(FLOWS, database=database_url, instance=instance, name="n1", engines=2, drain_s=5.0)
        )
        self.node.wait_ready(LIMIT_S)
        self.client = stack.enter_context(Client(database_url, instance=instance))
        self._database = stack.enter_context(psycopg.connect(database_url, autocommit=True))
        self._database.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
        self.others = stack.enter_context(closing(Listener(database_url, schema)))
        self.wait_for_room()
        self.others.reconnect()

    def count(self, query: str) -> object:
        row = self._database.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def wait_for_room(self) -> None:
        hearing = "select count(*) from continuum_owners where room > 0 and channel is not null"
        wait_until(lambda: self.count(hearing) == 2, "both engines hear")

    def break_connections(self) -> None:
        wait_until(lambda: self.count(f"select count(*) {EARS}") == 2, "both engines listen")
        assert self.count(f"select count(pg_terminate_backend(activity.pid, 5000)) {EARS}") == 2

    def wait_for_rest(self) -> None:
        resting = "select count(*) from continuum_runs where state = 'suspended'"
        wait_until(lambda: self.count(resting) == 1, "the run waits")

    def told(self) -> list[str]:
        """What dispatchers and routers heard of runs since the last call."""
        return [notice.kind for notice in self.others.poll() if notice.kind in ("due", "mail")]


@pytest.fixture
def scene(database_url: str, fresh_schema: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(database_url, fresh_schema, stack)


@pytest.mark.rule("S1", "W1")
def test_a_step_and_a_signal_wake_the_engine_and_neither_dispatcher_nor_router(scene: Scene) -> None:
    for length in range(3):
        assert scene.client.start(chain(length)).result(LIMIT_S) == length
    run = scene.client.start(wait_then_chain(2))
    scene.wait_for_rest()
    run.signal("go", None)
    assert run.result(LIMIT_S) == 2
    assert scene.told() == []


@pytest.mark.rule("B6")
def test_runs_and_signals_arrive_while_and_after_the_connections_break(scene: Scene) -> None:
    parked = scene.client.start(wait_then_chain(1))
    scene.wait_for_rest()
    for _ in range(3):
        began = monotonic()
        scene.break_connections()
        runs = [scene.client.start(chain(number)) for number in range(10)]
        assert [run.result(LIMIT_S) for run in runs] == list(range(10))
        assert monotonic() - began < SOON_S
    scene.break_connections()
    began = monotonic()
    parked.signal("go", None)
    assert parked.result(LIMIT_S) == 1
    assert monotonic() - began < SOON_S
    scene.wait_for_room()
    scene.told()
    assert scene.client.start(chain(2)).result(LIMIT_S) == 2
    assert scene.told() == [], "they hear again"
