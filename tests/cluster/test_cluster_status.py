"""`continuum cluster status` as a user sees it, beside real nodes."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from continuum.postgres import migrate
from tests.forks import Fork
from tests.integration.commands import LIMIT_S, Commands
from tests.integration.servers import wait_until

pytestmark = pytest.mark.cluster

APP = """
from continuum import workflow

@workflow
async def nothing() -> None:
    pass
"""


@pytest.fixture
def continuum(tmp_path: Path, database_url: str, fresh_schema: str) -> Commands:
    migrate(database_url, fresh_schema)
    (tmp_path / "status_app.py").write_text(APP)
    return Commands(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))


def start(continuum: Commands, stack: ExitStack, name: str, *options: str) -> Fork:
    arguments = ("node", "start", "status_app", "--name", name, "--workers", "1", *options)
    process = continuum.start(*arguments, log=continuum.folder / f"{name}.log")
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def status(continuum: Commands) -> Any:
    return continuum("cluster", "status", "--json").document


def alive(continuum: Commands) -> set[str]:
    group = status(continuum)["group"]
    return {member["name"] for member in group["members"] if member["status"] == "alive"} if group else set()


def test_it_shows_every_host_with_its_processes_and_what_became_of_a_killed_one(continuum: Commands) -> None:
    with ExitStack() as stack:
        start(continuum, stack, "alpha")
        beta = start(continuum, stack, "beta")
        wait_until(lambda: len(status(continuum)["nodes"]) == 2, "both answer", LIMIT_S)
        wait_until(lambda: not status(continuum)["findings"], "all of their processes run", LIMIT_S)
        found = status(continuum)
        for name in ("alpha", "beta"):
            names = {process["name"] for process in found["nodes"][name]["processes"]}
            assert names >= {"supervisor", "group", "engine-1", "worker-1", "dispatcher"}
        lines = continuum.lines("cluster", "status")
        assert "2 of 2 hosts alive" in lines[0]
        assert any(line.startswith("alpha  alive") for line in lines)

        beta.send_signal(signal.SIGKILL)
        wait_until(lambda: alive(continuum) == {"alpha"}, "beta is known to be dead", LIMIT_S)
        strict = continuum("cluster", "status", "--strict")
        assert strict.code == 1
        assert "host beta is dead" in strict.out


def test_nodes_without_a_group_are_shown_as_the_database_knows_them(continuum: Commands) -> None:
    with ExitStack() as stack:
        start(continuum, stack, "alone", "--no-cluster")
        wait_until(lambda: "engine-1" in continuum("cluster", "status").out, "the engine is known", LIMIT_S)
        text = continuum("cluster", "status").out
        assert "The group cannot be asked" in text
        assert "This is what the database knows." in text


def test_without_a_database_a_node_that_is_named_is_asked(continuum: Commands) -> None:
    with ExitStack() as stack:
        start(continuum, stack, "alpha")
        wait_until(lambda: alive(continuum) == {"alpha"}, "alpha is there", LIMIT_S)
        (address,) = [member["address"] for member in status(continuum)["group"]["members"]]
        elsewhere = Commands(continuum.folder, "postgresql://nobody@127.0.0.1:1/nothing", continuum.instance)
        elsewhere("cluster", "status").assert_refused(1, "127.0.0.1")
        asked = elsewhere("cluster", "status", "--ask", address)
        assert asked.code == 0
        assert "The database cannot be asked" in asked.out
        assert "1 of 1 hosts alive" in asked.out


def test_where_nothing_runs_it_says_so(continuum: Commands) -> None:
    found = continuum("cluster", "status", "--strict")
    assert found.code == 1
    assert "no node is running" in found.out
