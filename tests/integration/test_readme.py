"""What the README tells people to type works: its blocks are run as they stand, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from continuum.config import ENVIRONMENT_VARIABLE
from continuum.embedded import EmbeddedPostgres
from tests.integration.commands import COMMAND, Commands

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLE_URL = "postgresql://user:password@host:5432/database"
WORKFLOW_LINES_MAX = 20


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def shell(root: Path) -> Commands:
    """A project folder, with what the activated environment of the README has on the path."""
    project = root.parent
    script = project / "bin" / "continuum"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    return Commands(project)


@pytest.fixture
def empty_database(postgres_server: EmbeddedPostgres, worker_id: str) -> Iterator[str]:
    name = f"test_readme_{worker_id}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_server.url_of(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def typed(shell: Commands, block: str) -> str:
    """Type a block of shell commands; every one of them must succeed."""
    path = f"{shell.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=shell.folder,
        env=shell.environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_workflow_runs_as_the_readme_says(shell: Commands) -> None:
    module, program = blocks("python")
    start_node, use_it = blocks("sh")[:2]
    assert len(module.splitlines()) <= WORKFLOW_LINES_MAX
    (shell.folder / "hello.py").write_text(module)
    (shell.folder / "main.py").write_text(program)
    command, *node = start_node.split()
    assert (command, *node[:2]) == ("continuum", "node", "start")
    with shell.node(*node[2:]):
        printed = typed(shell, use_it)
        assert '"Hello, Ada! Good to see you."' in printed
        assert "timer_fired" in printed
        assert typed(shell, "python main.py") == "Hello, Grace! Good to see you.\n"


def test_ones_own_database_is_set_up_as_the_readme_says(shell: Commands, empty_database: str) -> None:
    block = blocks("sh")[2]
    assert f"export {ENVIRONMENT_VARIABLE}={EXAMPLE_URL}" in block
    printed = typed(shell, block.replace(EXAMPLE_URL, f"'{empty_database}'"))
    assert printed.startswith("applied 0001_") and "pending" not in printed


def test_every_folder_of_the_map_exists() -> None:
    for row in re.findall(r"^\| `(.*?)` \|", README, re.MULTILINE):
        parts = re.findall(r"[\w/*.]+", row)
        first = Path(parts[0])
        for part in [first, *(first.parent / other for other in parts[1:])]:
            inside = list(Path(__file__).parents[2].glob(str(part)))
            beside = list(Path(__file__).parents[2].glob(part.name))
            assert inside or beside, part
