"""``continuum lint``: all that the scan finds in the workflows of an application, at once."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import click

from continuum.core.determinism.settings import collecting
from continuum.errors import Finding
from continuum.runtime.app import load_app
from continuum_cli.options import json_option
from continuum_cli.output import cell, print_json, show, table

_STYLES = {"error": "red", "warning": "yellow"}


@click.command()
@click.argument("app", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings, too, are a reason to fail.")
@json_option
def lint(app: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Import APP..., and print what its workflows do that a replay cannot repeat, or may not.

    The exit code is 1 if there is an error, or with --strict a warning. docs/determinism.md has every rule.
    """
    with collecting() as findings:
        load_app(app)
    unique = sorted(dict.fromkeys(findings), key=lambda found: (found.file, found.line, found.rule))
    if as_json:
        print_json({"findings": [dataclasses.asdict(finding) for finding in unique]})
    else:
        _print(unique)
    return 1 if any(strict or finding.severity == "error" for finding in unique) else 0


def _print(findings: list[Finding]) -> None:
    if not findings:
        print("nothing found")
        return
    made = table("PLACE", "SEVERITY", "RULE", "FOUND", "REMEDY", folded="REMEDY")
    for finding in findings:
        severity = cell(finding.severity, _STYLES.get(finding.severity, ""))
        place = cell(f"{_relative(finding.file)}:{finding.line}")
        made.add_row(place, severity, cell(finding.rule), cell(finding.what), cell(finding.remedy))
    show(made)


def _relative(file: str) -> str:
    path = Path(file)
    return os.fspath(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
