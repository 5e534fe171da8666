"""Kill -9 in the middle of a roll-back: every undo is made exactly once, and the runs fail with their own error."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from pathlib import Path
from uuid import UUID

import pytest

from continuum import Client, Node, RunFailedError
from continuum.postgres import migrate
from tests.cluster import journeys, tours
from tests.cluster.journeys import Line, read_ledger
from tests.cluster.tours import LEGS, flight, tour
from tests.integration.servers import wait_until

RUNS = 16  # of each kind

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(60)]


@pytest.fixture
def ledger(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = open_folder / "ledger"
    monkeypatch.setenv(journeys.LEDGER_VARIABLE, str(path))
    return path


def undone(ledger: Path) -> list[Line]:
    return [line for line in read_ledger(ledger) if line.kind == "pay"]


def kill_in_the_middle(node: Node, name: str, ledger: Path) -> None:
    """Kill -9 once more is undone than before, and while not all is."""
    before = len(undone(ledger))
    wait_until(lambda: len(undone(ledger)) > before, "something is undone")
    os.kill({row.name: row.pid for row in node.processes()}[name], signal.SIGKILL)
    assert len(undone(ledger)) < 2 * RUNS * LEGS, "the roll-backs were over already"


@pytest.mark.rule("G1", "G3", "B3")
def test_each_undo_is_made_exactly_once_whoever_is_killed_in_the_middle(
    database_url: str, fresh_schema: str, ledger: Path
) -> None:
    migrate(database_url, fresh_schema)
    instance = fresh_schema.removeprefix("continuum_")
    with (
        Client(database_url, instance=instance) as client,
        Node(tours.__name__, database=database_url, instance=instance, workers=2, drain_s=5.0) as node,
    ):
        node.wait_ready(30)
        in_turn = client.start_many([tour(number) for number in range(RUNS)])
        side_by_side = client.start_many([flight(number) for number in range(RUNS)])
        for victim in ("engine-1", "worker-1"):
            kill_in_the_middle(node, victim, ledger)
        for run in (*in_turn, *side_by_side):
            with pytest.raises(RunFailedError, match="is full"):
                run.result(timeout=40)
            types = [event.type for event in run.history()]
            assert types.count("compensation_scheduled") == types.count("compensation_completed") == LEGS
    check(undone(ledger), {run.id for run in in_turn}, {run.id for run in side_by_side})


def check(lines: list[Line], in_turn: set[UUID], side_by_side: set[UUID]) -> None:
    legs: dict[UUID, list[int]] = defaultdict(list)
    for line in lines:
        legs[UUID(line.run)].append(line.number)
    assert set(legs) == in_turn | side_by_side
    assert all(legs[run] == [3, 2, 1, 0] for run in in_turn), "the last is undone first"
    assert all(sorted(legs[run]) == [0, 1, 2, 3] for run in side_by_side)
