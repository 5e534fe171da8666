"""What the guides in ``docs/`` show works: their tests pass, their programs run, their commands succeed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guides import DOCS, Guide, guides, other_guides
from tests.integration.commands import COMMAND, Commands
from tests.integration.test_pytest_plugin import run_pytest

GUIDES = guides()
LINES_MAX = 200  # a guide is one page


@pytest.fixture
def project(root: Path) -> Path:
    """The folder of a newcomer, with the command on the path."""
    script = root.parent / "bin" / "continuum"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    return root.parent


def run(project: Path, *command: str) -> str:
    shell = Commands(project)
    path = f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=project,
        env=shell.environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("guide", [g for g in GUIDES if g.tests], ids=lambda guide: guide.name)
def test_the_tests_of_a_guide_pass(guide: Guide, project: Path) -> None:
    guide.write_to(project)
    (project / "pytest.ini").write_text("[pytest]\n")
    printed = run_pytest(project, "-q", *guide.tests, CONTINUUM_PARANOID="1")
    assert f"{sum(text.count('def test_') for text in guide.files().values())} passed" in printed


@pytest.mark.parametrize(
    "guide", [g for g in GUIDES if g.programs or g.blocks("sh")], ids=lambda guide: guide.name
)
def test_the_programs_and_commands_of_a_guide_run_beside_a_node(guide: Guide, project: Path) -> None:
    guide.write_to(project)
    with Commands(project).node(*guide.modules):
        for block in guide.blocks("sh"):
            run(project, "sh", "-e", "-c", block)
        for program in guide.programs:
            run(project, sys.executable, program)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("guide", other_guides(), ids=lambda guide: guide.name)
def test_a_guide_that_is_not_written_as_files_has_a_test_of_its_own(guide: Guide) -> None:
    tests = [
        path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py") if path != Path(__file__)
    ]
    assert any(guide.path.name in text for text in tests)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_a_guide_is_one_page(guide: Guide) -> None:
    assert len(guide.path.read_text().splitlines()) <= LINES_MAX
