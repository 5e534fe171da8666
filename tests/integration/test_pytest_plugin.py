"""The pytest plugin in a project of its own: its fixtures are there, clean for every test, and quick to have."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import psycopg
import pytest

from continuum.embedded import EmbeddedPostgres
from tests.integration.commands import CHECKOUT

PLUGIN = "continuum.testing.plugin"
FLOWS = """
import continuum
from continuum import activity, sleep, workflow

@activity
def double(number: int) -> int:
    return 2 * number

@workflow
async def errand(number: int) -> int:
    await sleep(0.01)
    return await double(number)
"""
TESTS = """
import continuum
import pytest
from continuum.testing import run_sync, verify_run
from flows import errand

@pytest.mark.parametrize("number", [1, 2])
def test_a_run_of_a_node(continuum_client, continuum_node, number):
    run = continuum_client.start(errand(number), id="the-same-in-both")
    assert run.result(timeout=30) == 2 * number == run_sync(errand(number))
    assert len(continuum_client.query().runs) == 1
    assert verify_run(run.id).result == 2 * number

def test_the_default_client_uses_the_same_database(continuum_client, continuum_database):
    run = continuum.start(errand(1))
    assert continuum_client.get_run(run.id).state == "running"
    with continuum.Client(continuum_database) as other:
        assert other.get_run(run.id).id == run.id

def test_a_test_without_fixtures_has_no_database_configured():
    from continuum import config
    assert config._configured is None
"""


def is_installed() -> bool:
    return any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))


def run_pytest(project: Path, *arguments: str, **environment: str) -> str:
    """Run the tests of a project that has the plugin installed; all must pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *([] if is_installed() else ["-p", PLUGIN]), *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(root: Path) -> Path:
    """A folder with flows, tests of them, and an embedded server that has run before."""
    (root.parent / "pytest.ini").write_text("[pytest]\n")
    (root.parent / "flows.py").write_text(FLOWS)
    (root.parent / "test_flows.py").write_text(TESTS)
    return root.parent


def test_the_fixtures_give_every_test_a_clean_database_client_and_node(project: Path) -> None:
    assert "4 passed" in run_pytest(project, "-q")


def test_test_workers_do_not_see_each_other_and_leave_nothing_behind(project: Path) -> None:
    with (
        EmbeddedPostgres(project / ".continuum") as server,
        psycopg.connect(server.url, autocommit=True) as db,
    ):
        db.execute("create database continuum_test_killed_12345678")
        assert "4 passed" in run_pytest(project, "-q", "-n", "2")
        left = db.execute("select datname from pg_database where datname like 'continuum_test_%'").fetchall()
        assert left == []


def test_the_environments_database_is_never_used(project: Path) -> None:
    url = "postgresql://nobody@nowhere.invalid/production"
    assert "4 passed" in run_pytest(project, "-q", CONTINUUM_DATABASE_URL=url)


def test_the_package_names_its_plugin() -> None:
    document = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert document["project"]["entry-points"]["pytest11"] == {"continuum": PLUGIN}
