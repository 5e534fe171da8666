"""Modules made of a few lines, for the scan to look at."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import textwrap
from pathlib import Path
from types import ModuleType

from continuum import Finding
from continuum.core.determinism.settings import collecting

_numbers = itertools.count(1)


def load(folder: Path, text: str) -> ModuleType:
    """Import a new module with this text; its name is never that of another one."""
    name = f"snippet_{next(_numbers)}"
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules.pop(name)
    return module


def workflow_text(body: str, above: str = "", parameters: str = "x") -> str:
    """A module with one workflow of this body, below the lines ``above`` it."""
    head = "import continuum\nfrom continuum import activity, side_effect, sleep, workflow\n"
    flow = f"@workflow\nasync def flow({parameters}):\n{textwrap.indent(body, '    ')}\n"
    return f"{head}{textwrap.dedent(above)}\n{flow}"


def findings_of(folder: Path, body: str, above: str = "", parameters: str = "x") -> list[Finding]:
    """All that the scan finds in such a module."""
    with collecting() as findings:
        load(folder, workflow_text(body, above, parameters))
    return findings
