"""A history that is too large to be read is found out, and the neighbours of its run go on (B7)."""

from __future__ import annotations

import os

import psutil
import psycopg
import pytest

from continuum import Client
from continuum.model.events import SignalReceived, to_row
from continuum.node import Node
from continuum.runtime.limits import DEATHS
from tests.cluster.large_flows import collects, neighbour
from tests.cluster.nodes import LIMIT_S, wait_until

pytestmark = pytest.mark.cluster

MIB = 1 << 20
HISTORY_EVENTS = 200  # of a mebibyte each
ROOM_BYTES = 100 * MIB  # more address space than an engine has taken when it has nothing to do


def processes_of(node: Node) -> list[psutil.Process]:
    children = [psutil.Process(process.pid) for process in node.processes()]
    parents = {child.ppid() for child in children} - {os.getpid(), *(child.pid for child in children)}
    return [*map(psutil.Process, parents), *children]


def engine_of(node: Node) -> psutil.Process:
    return next(psutil.Process(process.pid) for process in node.processes() if process.name == "engine-1")


@pytest.mark.rule("B7")
@pytest.mark.long
def test_a_history_that_is_too_large_to_be_read_is_set_aside_and_its_neighbours_end_right(
    database_url: str, instance: str, client: Client, fresh_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEATHS, "2")
    with Node("tests.cluster.large_flows", database=database_url, instance=instance, workers=1) as node:
        node.wait_ready(LIMIT_S)
        run = client.start(collects())
        wait_until(lambda: len(run.history()) == 1, "it waits")
        body = to_row(2, SignalReceived("go", 1, os.urandom(MIB - 1000), 1)).payload
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f'set search_path to "{fresh_schema}"')
            connection.execute(
                "insert into continuum_events (run_id, seq, kind, payload)"
                " select %s, 1 + n, %s, %s from generate_series(1, %s) as n",
                [run.id, to_row(2, SignalReceived("go", 1, b"", 1)).kind, body, HISTORY_EVENTS],
            )
            connection.execute(
                "update continuum_runs set last_seq = %s where id = %s", [1 + HISTORY_EVENTS, run.id]
            )
        engine = engine_of(node)
        most = engine.memory_info().vms + ROOM_BYTES
        for process in processes_of(node):
            process.rlimit(psutil.RLIMIT_AS, (most, most))
        engine.kill()
        assert client.start(neighbour(5)).result(timeout=LIMIT_S) == 5
        wait_until(lambda: "deaths: 2 of 2" in str(run.run().attention), "it is set aside", run.run)
        assert run.run().state == "suspended"
        assert client.start(neighbour(5)).result(timeout=LIMIT_S) == 5, "the node works as before"
