"""A run that kills its engine again and again is found out and set aside, while its neighbours go on (B4, X10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from continuum import Client
from continuum.node import Node
from continuum.node.watchdog import LIMIT
from continuum.runtime.limits import DEATHS
from continuum.runtime.quarantine import LONE_ENGINE
from tests.cluster.harm import ARMED
from tests.cluster.killer_flows import killer, neighbour
from tests.cluster.nodes import LIMIT_S, wait_until

pytestmark = pytest.mark.cluster

FLOWS = "tests.cluster.killer_flows"
NEIGHBOURS = 50


@pytest.fixture
def armed(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that makes the killers kill. Two deaths are enough here, and two seconds of a step that hangs."""
    file = open_folder / "armed"
    file.touch()
    for name, value in {ARMED: str(file), DEATHS: "2", LIMIT: "2"}.items():
        monkeypatch.setenv(name, value)
    return file


@pytest.fixture
def node(armed: Path, database_url: str, instance: str) -> Iterator[Node]:
    with Node(FLOWS, database=database_url, instance=instance, drain_s=5.0, workers=1) as node:
        node.wait_ready(LIMIT_S)
        yield node


def engines(node: Node) -> set[int]:
    return {process.pid for process in node.processes() if process.name == "engine-1"}


@pytest.mark.rule("B4", "X10")
@pytest.mark.parametrize(
    "how",
    ["crash", "memory", "loop", *(pytest.param(how, marks=pytest.mark.long) for how in ("exit", "lock"))],
)
def test_a_run_that_kills_its_engine_is_set_aside_and_its_neighbours_end_right(
    node: Node, client: Client, armed: Path, how: str
) -> None:
    neighbours = client.start_many([neighbour(10) for _ in range(NEIGHBOURS)])
    run = client.start(killer(how))
    assert [each.result(timeout=LIMIT_S) for each in neighbours] == [10] * NEIGHBOURS
    wait_until(lambda: "deaths: 2 of 2" in str(run.run().attention), "it is set aside", run.run)
    assert run.run().state == "suspended"
    assert [event.type for event in run.history()] == ["activity_scheduled"], (
        "no step that killed was committed"
    )
    late = client.start(neighbour(2))
    assert late.result(timeout=LIMIT_S) == 2, "the node works as before"

    armed.unlink()  # the bug is mended
    client.resume(run.id)
    assert run.result(timeout=LIMIT_S) == 2
    assert run.run().attention is None
    wait_until(
        lambda: all(process.name != LONE_ENGINE for process in node.processes()), "the lone engine has left"
    )


@pytest.mark.rule("B4")
def test_only_the_first_death_is_one_of_the_neighbours_engine(node: Node, client: Client) -> None:
    waiting = client.start(neighbour(1_000))
    wait_until(lambda: len(waiting.history()) > 2, "it is in the engine")
    before = engines(node)
    run = client.start(killer("exit"))
    wait_until(lambda: engines(node) - before, "the engine has died of it")
    second = engines(node)
    wait_until(lambda: "deaths: 2 of 2" in str(run.run().attention), "it is set aside", run.run)
    assert engines(node) == second, "the second one touched no neighbour"
