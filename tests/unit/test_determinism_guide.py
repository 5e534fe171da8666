"""docs/determinism.md and the table of the scan say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import continuum
from continuum.core.determinism.table import DENIED, rows
from tests.unit.snippets import load

GUIDE = (Path(__file__).parents[2] / "docs" / "determinism.md").read_text(encoding="utf-8")


@pytest.mark.rule("X2")
def test_the_guide_has_every_denied_name_with_its_rule_and_remedy() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$", GUIDE.partition("## Every denied name")[2], re.MULTILINE
    )
    assert listed == list(rows())


@pytest.mark.rule("X1")
def test_a_remedy_names_only_what_exists() -> None:
    for denial in DENIED:
        for name in re.findall(r"continuum\.(\w+)", denial.remedy):
            assert hasattr(continuum, name), denial.remedy
        for name in re.findall(r"@(\w+)", denial.remedy):
            assert hasattr(continuum, name), denial.remedy


def test_the_code_of_the_guide_runs(tmp_path: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        load(tmp_path, code)
