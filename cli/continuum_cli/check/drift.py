"""A drift for people: the history on the left, what the code does on the right, with its source line."""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path

from continuum.runtime.check import CheckedRun
from continuum_cli.failing import one_line
from continuum_cli.output import cell, show, table

_SITE = re.compile(r"\((\S+\.py):(\d+)\)")


def print_drift(run: CheckedRun) -> None:
    """Print where the run and the code part."""
    version = f" of version {run.version_hash[:12]}" if run.version_hash else ""
    print(one_line(f"run {run.run_id} of {run.workflow}{version}"))
    drift = run.drift
    if drift is None:
        print(f"  its history cannot be read: {one_line(str(run.reason))}")
        return
    shown = table("EVENT", "RECORDED", "THIS CODE", folded="THIS CODE")
    for seq, text in drift.before:
        shown.add_row(cell(seq), cell(text), cell("the same", "dim"))
    shown.add_row(cell(f"{drift.position} >"), cell(drift.recorded, "red"), cell(drift.commanded, "red"))
    line = source_line(drift.commanded)
    if line is not None:
        shown.add_row(cell(""), cell(""), cell(f"    {line}"))
    for seq, text in drift.after:
        shown.add_row(cell(seq), cell(text), cell(""))
    show(shown)


def source_line(described: str) -> str | None:
    """Return the line of code that a description names, if its module is loaded here."""
    found = _SITE.search(described)
    if found is None:
        return None
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None and "/".join(Path(file).parts[-2:]) == found[1]:
            line = linecache.getline(file, int(found[2])).strip()
            if line:
                return line
    return None
