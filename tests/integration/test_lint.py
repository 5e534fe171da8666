"""``continuum lint``: what it prints, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.commands import Commands

GOOD = "from continuum import workflow\n\n@workflow\nasync def flow(x: int) -> int:\n    return x\n"
BAD = """import time
from continuum import workflow

@workflow
async def first(x: int) -> float:
    return time.time()

@workflow
async def second(x: int) -> int:
    return later(x)

def later(x: int) -> int:
    print(x)
    return x
"""
DOUBTFUL = "from continuum import workflow\n\n@workflow\nasync def flow(x):\n    return x.handler()\n"


@pytest.fixture
def continuum(tmp_path: Path) -> Commands:
    for name, text in (("good", GOOD), ("bad", BAD), ("doubtful", DOUBTFUL)):
        (tmp_path / f"{name}.py").write_text(text)
    return Commands(tmp_path)


@pytest.mark.rule("X1")
def test_all_workflows_are_looked_at_and_an_error_is_exit_code_1(continuum: Commands) -> None:
    done = continuum("lint", "good", "bad")
    assert done.code == 1
    assert (
        "bad.py:6" in done.out and "time.time" in done.out and "bad.py:13" in done.out and "print" in done.out
    )


@pytest.mark.rule("X1")
def test_json_has_every_field(continuum: Commands) -> None:
    done = continuum("lint", "bad", "--json")
    first, second = done.document["findings"]
    assert done.code == 1
    assert (first["line"], first["rule"], first["function"]) == (6, "wall-clock", "bad.first")
    assert (second["line"], second["severity"], second["function"]) == (13, "error", "bad.second")


@pytest.mark.rule("X5")
def test_warnings_fail_only_when_asked_to(continuum: Commands) -> None:
    assert continuum("lint", "doubtful").code == 0
    assert continuum("lint", "doubtful", "--strict").code == 1


def test_an_application_without_findings_is_fine(continuum: Commands) -> None:
    done = continuum("lint", "good", "--strict")
    assert (done.code, done.out) == (0, "nothing found\n")


def test_no_application_is_a_mistake_of_usage(continuum: Commands) -> None:
    continuum("lint").assert_refused(2, "APP")
    continuum("lint", "nowhere").assert_refused(1, "nowhere")
