"""What the guides to children and to long-running workflows say works: their code is run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.commands import CHECKOUT, Commands

# The rows of families come with their migration.
on_database = pytest.mark.skipif(
    not list((CHECKOUT / "migrations").glob("*families*")), reason="the database keeps no families yet"
)


def blocks(guide: str, language: str) -> list[str]:
    text = (CHECKOUT / "docs" / f"{guide}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@on_database
@pytest.mark.parametrize("guide", ["children", "long-running-workflows"])
def test_the_code_of_the_guide_prints_what_the_guide_says(guide: str, root: Path) -> None:
    shell = Commands(root.parent)
    names = []
    for code in blocks(guide, "python"):
        names.append(code.splitlines()[0].removeprefix("# "))
        (shell.folder / names[-1]).write_text(code)
    flows, main = names
    with shell.node(flows.removesuffix(".py")):
        done = subprocess.run(
            [sys.executable, main],
            cwd=shell.folder,
            env=shell.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert [done.stdout] == blocks(guide, "text")
