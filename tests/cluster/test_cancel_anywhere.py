"""A cancel works whoever owns the run, and who asked for it hears what really happened (K3)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from continuum import Client, RunCancelledError, RunHandle, RunTerminalError
from continuum.node import Node
from tests.cluster.cancel_flows import answering, working
from tests.cluster.nodes import LIMIT_S, alive, wait_until

pytestmark = pytest.mark.cluster

FLOWS = "tests.cluster.cancel_flows"
WHY = "no stock"


@pytest.fixture
def node(database_url: str, instance: str) -> Iterator[Node]:
    with Node(FLOWS, database=database_url, instance=instance, drain_s=2.0, workers=1) as node:
        node.wait_ready(LIMIT_S)
        yield node


def engine_of(node: Node) -> int:
    (pid,) = [process.pid for process in node.processes() if process.name == "engine-1"]
    return pid


def waits(run: RunHandle[str]) -> None:
    wait_until(lambda: [event.type for event in run.history()] == ["signal_awaited"], "it waits")


def cancelled(client: Client, run_id: UUID) -> None:
    client.cancel(run_id, reason=WHY)
    run = client.get_run(run_id)
    assert (run.state, run.owner) == ("cancelled", None), "when the call returns it is done"
    with pytest.raises(RunCancelledError, match=WHY):
        client.result(run_id, LIMIT_S)


@pytest.mark.rule("K3")
def test_a_live_owner_drops_the_run_and_goes_on(node: Node, client: Client, open_folder: Path) -> None:
    run, neighbour = client.start(working(str(open_folder))), client.start(answering())
    wait_until((open_folder / "begun").exists, "the activity runs")
    waits(neighbour)
    before = engine_of(node)
    assert str(client.get_run(run.id).owner).split("/")[2] == "engine-1"
    cancelled(client, run.id)
    client.signal(neighbour.id, "answer", "yes")
    assert neighbour.result(LIMIT_S) == "yes"
    assert engine_of(node) == before
    assert [event.type for event in run.history()] == ["activity_scheduled"], "the owner wrote nothing more"


@pytest.mark.rule("K3")
def test_a_run_that_nobody_owns_is_cancelled_in_the_database(client: Client) -> None:
    delayed = client.start(answering(), delay=3600)
    due = client.start(answering())
    assert client.get_run(due.id).owner is None, "there is no node"
    for run in (delayed, due):
        cancelled(client, run.id)


@pytest.mark.rule("K3")
def test_a_run_of_a_dead_owner_is_cancelled_before_anybody_finds_the_death(
    client: Client, database_url: str, instance: str
) -> None:
    with Node(FLOWS, database=database_url, instance=instance, workers=1) as node:
        node.wait_ready(LIMIT_S)
        run = client.start(answering())
        waits(run)
        pids = [process.pid for process in node.processes()]
        for process in node.processes():  # the supervisor first: nobody is left to notice
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not alive(pids), "all of the node is dead")
        assert client.get_run(run.id).owner is not None, "nobody has given the lease back"
        cancelled(client, run.id)
        node.stop(graceful=False)


@pytest.mark.rule("K3", "L1")
def test_an_owner_that_cannot_be_reached_holds_no_cancel_up_and_writes_nothing_when_it_is_back(
    node: Node, client: Client
) -> None:
    runs = [client.start(answering()) for _ in range(3)]
    for run in runs:
        waits(run)
    engine = engine_of(node)
    os.kill(engine, signal.SIGSTOP)
    try:
        for run in runs[:2]:
            client.signal(run.id, "answer", "yes")  # waits for the owner, which would end the run with it
        cancelled(client, runs[0].id)
        client.cancel(runs[1].id, reason=WHY)
    finally:
        os.kill(engine, signal.SIGCONT)
    client.signal(runs[2].id, "answer", "yes")
    assert runs[2].result(LIMIT_S) == "yes", "the owner is back"
    for run in runs[:2]:
        assert run.run().state == "cancelled"
        assert [event.type for event in run.history()] == ["signal_awaited"]


@pytest.mark.rule("K3", "R7")
def test_of_a_cancel_and_an_end_at_one_time_one_happens_and_the_caller_hears_which(
    node: Node, client: Client
) -> None:
    outcomes = set()
    with ThreadPoolExecutor(2) as threads:
        for _ in range(30):
            run = client.start(answering())
            waits(run)
            ended = threads.submit(client.signal, run.id, "answer", "yes")
            asked = threads.submit(client.cancel, run.id)
            refused = asked.exception(LIMIT_S)
            ended.exception(LIMIT_S)
            if refused is None:
                with pytest.raises(RunCancelledError):
                    run.result(LIMIT_S)
            else:
                assert isinstance(refused, RunTerminalError)
                assert refused.state == "completed"
                assert run.result(LIMIT_S) == "yes"
            assert run.run().state == ("cancelled" if refused is None else "completed")
            outcomes.add(refused is None)
    assert True in outcomes
