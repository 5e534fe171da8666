"""``continuum check``: replay every live run against the code of an application, before it is deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import click

from continuum.core.definitions import registry
from continuum.postgres import check as check_schema
from continuum.postgres import open_store
from continuum.runtime.app import load_app
from continuum.runtime.check import CheckedRun, Choice, check_runs
from continuum_cli.check.drift import print_drift
from continuum_cli.database import reached
from continuum_cli.failing import one_line
from continuum_cli.options import database_options, json_option
from continuum_cli.output import cell, print_json, show, table

_SHOWN_MAX = 3  # drifting runs of one version: the next ones drift as they do
_CODE = {
    "own": "its own version",
    "newest": "the newest, which takes it over",
    "other": "another version: it waits for a node with its own",
    "none": "none: it waits for a node that has it",
}


@dataclass
class Group:
    """The runs of one version. ``wrong``: those that drift, or cannot be read."""

    choice: Choice
    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: list[CheckedRun] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether these runs would wait for another node: APP has no code that goes on with them."""
        return self.choice in ("none", "other")


Groups = dict[tuple[str, str | None], Group]


@click.command()
@click.argument("app", nargs=-1, required=True)
@database_options
@json_option
@click.option(
    "--strict",
    is_flag=True,
    help="Exit code 1 also for a live run that APP has no code for.",
)
def check(app: tuple[str, ...], database: str | None, instance: str, as_json: bool, strict: bool) -> int:
    """Replay every live run of the database against the code of APP..., importable modules.

    Nothing is written, no run is touched. A run is replayed with its own version if APP has it, else with the newest.
    Exit code 1 if the history of any run is not what this code does, and with --strict if APP has no code for one.
    """
    load_app(app)
    with reached(database, instance) as place:
        check_schema(place.url, place.schema)
        with closing(open_store(place.url, place.schema)) as store:
            groups = grouped(check_runs(store.catalog, registry))
    if as_json:
        print_json(_jsonable(groups))
    else:
        _print(groups)
    failed = any(group.wrong or (strict and group.waits) for group in groups.values())
    return 1 if failed else 0


def grouped(runs: Iterable[CheckedRun]) -> Groups:
    """Count the runs by workflow and version; only those that are wrong are kept."""
    groups: Groups = {}
    for run in runs:
        group = groups.setdefault((run.workflow, run.version_hash), Group(run.choice))
        group.verdicts[run.verdict] += 1
        if run.verdict in ("drifts", "unreadable"):
            group.wrong.append(run)
    return dict(sorted(groups.items(), key=lambda entry: (entry[0][0], entry[0][1] or "")))


def _jsonable(groups: Groups) -> dict[str, Any]:
    return {
        "runs": sum(group.verdicts.total() for group in groups.values()),
        "without_code": sum(group.verdicts.total() for group in groups.values() if group.waits),
        "versions": [
            {
                "workflow": workflow,
                "version_hash": version_hash,
                "code": group.choice,
                "runs": group.verdicts.total(),
                "matching": group.verdicts["matches"],
                "drifting": group.verdicts["drifts"],
                "unreadable": group.verdicts["unreadable"],
                "drifts": [_drift_jsonable(run) for run in group.wrong],
            }
            for (workflow, version_hash), group in groups.items()
        ],
    }


def _drift_jsonable(run: CheckedRun) -> dict[str, Any]:
    if run.drift is None:
        return {"run_id": str(run.run_id), "reason": run.reason}
    return {
        "run_id": str(run.run_id),
        "position": run.drift.position,
        "recorded": run.drift.recorded,
        "commanded": run.drift.commanded,
    }


def _print(groups: Groups) -> None:
    if not groups:
        print("no live runs; nothing can drift")
        return
    shown = table("WORKFLOW", "VERSION", "RUNS", "MATCH", "DRIFT", "CODE HERE", folded="CODE HERE")
    for (workflow, version_hash), group in groups.items():
        shown.add_row(
            cell(workflow),
            cell((version_hash or "none yet")[:12]),
            cell(group.verdicts.total()),
            cell(group.verdicts["matches"]),
            cell(len(group.wrong), "red" if group.wrong else ""),
            cell(_CODE[group.choice]),
        )
    show(shown)
    for run in _examples(groups):
        print()
        print_drift(run)
    hidden = sum(max(0, len(group.wrong) - _SHOWN_MAX) for group in groups.values())
    if hidden:
        print(f"\nand {hidden} more; --json has them all")
    _print_waiting(groups)


def _print_waiting(groups: Groups) -> None:
    """The runs that nothing is wrong with, but that would not go on."""
    waiting = {names: group for names, group in groups.items() if group.waits}
    count = sum(group.verdicts.total() for group in waiting.values())
    if count:
        versions = ", ".join(f"{workflow} ({(version or 'none yet')[:12]})" for workflow, version in waiting)
        print(
            f"\n{count} live run{'s' if count > 1 else ''} would wait, because APP has no code for "
            f"{'them' if count > 1 else 'it'}: {one_line(versions)}; keep nodes with that code, or take the old "
            "function into APP beside the new one (logical=)"
        )


def _examples(groups: Groups) -> Iterator[CheckedRun]:
    for group in groups.values():
        yield from group.wrong[:_SHOWN_MAX]
