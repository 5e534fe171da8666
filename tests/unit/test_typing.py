"""What mypy --strict says of users' code: the files of ``tests/typing``, one line at a time.

A line that ends with ``# E: code`` must be an error of that code, and every other line must be none. What a result is
inferred as stands in the files as ``assert_type``. A new part of the language adds a file, or lines to one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "tests" / "typing").glob("*.py"))

Finding = tuple[str, int, str]


@pytest.fixture(scope="module")
def findings() -> set[Finding]:
    """What mypy finds in all of the files: file, line and code."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *map(str, FILES)],
        cwd=CHECKOUT,
        env=os.environ | {"MYPYPATH": str(CHECKOUT), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(r"^(.*?):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {(Path(file).name, int(line), code) for file, line, code in found}


def expected(file: Path) -> set[Finding]:
    lines = enumerate(file.read_text().splitlines(), 1)
    marks = [(number, re.search(r"# E: ([\w-]+)$", line)) for number, line in lines]
    return {(file.name, number, mark[1]) for number, mark in marks if mark is not None}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_checker_finds_exactly_the_errors_that_are_marked(file: Path, findings: set[Finding]) -> None:
    found = {finding for finding in findings if finding[0] == file.name}
    assert expected(file), "a file without an error would pass if nothing was checked"
    assert found == expected(file)
