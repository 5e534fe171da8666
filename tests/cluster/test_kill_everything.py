"""The promise: every process is killed in turn, then the database, then the node; nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from continuum import Client, Node
from continuum.embedded import EmbeddedPostgres
from continuum.errors import JournalError
from tests.cluster import journeys
from tests.cluster.journeys import check_payments, check_runs, go, journey, read_ledger
from tests.integration.servers import wait_until

RUNS, LEGS = 200, 4
FLOWS = "tests.cluster.journeys"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(150)]


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(open_folder / "pg") as server:
        yield server
        server.stop("immediate")


@pytest.fixture
def ledger(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = open_folder / "ledger"
    monkeypatch.setenv(journeys.LEDGER_VARIABLE, str(path))
    return path


def kill(node: Node, name: str) -> None:
    """Kill -9 a process of the node, and wait until another has its place."""
    pids = {row.name: row.pid for row in node.processes()}
    os.kill(pids[name], signal.SIGKILL)
    wait_until(
        lambda: {row.name: row.pid for row in node.processes()}.get(name, pids[name]) != pids[name],
        f"{name} came back",
    )


def kill_whole(node: Node) -> None:
    for row in node.processes():
        os.kill(row.pid, signal.SIGKILL)


def until_growth(ledger: Path) -> None:
    """Wait until work goes on: some more attempts have begun."""
    before = len(read_ledger(ledger))
    wait_until(lambda: len(read_ledger(ledger)) >= before + 20, "work goes on", 60)


def patiently(action: Callable[[], object]) -> None:
    """Do what a client does whose database restarts: try again until it is there."""

    def done() -> bool:
        try:
            action()
        except JournalError:
            return False
        return True

    wait_until(done, "the database takes it", 30)


@pytest.mark.rule("R6", "R7", "B3", "B6", "L1", "A1", "A4", "A5", "A8", "A14", "S1", "T2", "O4", "W1")
def test_two_hundred_runs_end_right_while_everything_is_killed(
    server: EmbeddedPostgres, ledger: Path
) -> None:
    with Client(server.url) as client:
        node = Node(FLOWS, database=server.url, name="victim", workers=2, migrate=True)
        with node:
            node.wait_ready(60)
            runs = client.start_many([journey(number, LEGS) for number in range(RUNS)])
            for name in ("engine-1", "worker-1", "dispatcher", "timer", "router"):
                until_growth(ledger)
                kill(node, name)
            for run in runs[: RUNS // 2]:
                client.signal(run.id, go, 7, id="go")
            until_growth(ledger)
            server.restart("immediate")
            until_growth(ledger)
            kill_whole(node)
        with Node(FLOWS, database=server.url, name="victim", workers=2):
            for run in runs:
                patiently(lambda run=run: client.signal(run.id, go, 7, id="go"))  # type: ignore[misc]
            results = {run.id: run.result(timeout=90) for run in runs}
            check_runs(results, [run.history() for run in runs], read_ledger(ledger))
            check_payments(read_ledger(ledger), RUNS * LEGS)
