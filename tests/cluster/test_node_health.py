"""`continuum node health`, as the probe of an orchestrator runs it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from continuum.postgres import migrate
from tests.integration.commands import COMMAND, LIMIT_S, Commands
from tests.integration.servers import wait_until

pytestmark = pytest.mark.cluster

# Imported once by the check before the start, and then by every process that runs it.
APP = """
import pathlib, time
from continuum import workflow
if pathlib.Path("checked").exists():
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
pathlib.Path("checked").touch()

@workflow
async def nothing() -> None:
    pass
"""


def test_a_node_is_well_when_all_its_processes_run_and_not_before_or_after(
    tmp_path: Path, database_url: str, fresh_schema: str
) -> None:
    migrate(database_url, fresh_schema)
    continuum = Commands(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))
    (tmp_path / "slow_app.py").write_text(APP)
    health = ("node", "health", "--name", "n1")
    before = continuum(*health)
    assert (before.code, before.err) == (1, "")
    assert before.out.startswith("no node n1 of instance ")

    start = continuum.with_instance("node", "start", "slow_app", "--name", "n1", "--workers", "1")
    log = (tmp_path / "node.log").open("w")
    with (
        log,
        subprocess.Popen(
            [*COMMAND, *start], cwd=tmp_path, env=continuum.environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until(lambda: "starting" in continuum(*health).out, "an engine is started", LIMIT_S)
            starting = continuum(*health, "--json")
            assert starting.code == 1
            assert "engine-1" in starting.document["reason"]
            (tmp_path / "go").touch()
            wait_until(lambda: continuum(*health).code == 0, "the node is well", LIMIT_S)
            lines = continuum.lines(*health)
            assert lines[-1] == "node n1: well"
            assert {line.split()[0] for line in lines} >= {"supervisor", "engine-1", "worker-1", "dispatcher"}
            assert continuum("node", "health", "--name", "n2").code == 1
        finally:
            process.send_signal(signal.SIGKILL)
    after = continuum(*health, "--json")
    assert (after.code, after.document["processes"]) == (1, [])


def test_the_probe_of_a_wrong_instance_is_a_usage_error(tmp_path: Path, database_url: str) -> None:
    continuum = Commands(tmp_path, database_url)
    continuum("node", "health", "--instance", "No Name").assert_refused(2, "is no name for an instance")
