"""``continuum versions``: which versions of workflows there are, who needs them, and forgetting the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from continuum.ports.catalog import Catalog, VersionRow
from continuum.postgres import check as check_schema
from continuum.postgres import open_store
from continuum_cli.database import reached
from continuum_cli.failing import one_line
from continuum_cli.options import database_options, json_option
from continuum_cli.output import cell, moment, print_json, show, table


@click.group()
def versions() -> None:
    """Versions of workflows, and who needs them."""


@versions.command("list")
@database_options
@json_option
def list_command(database: str | None, instance: str, as_json: bool) -> None:
    """List every version that a node has loaded, or that a live run is pinned to."""
    with _catalog(database, instance) as catalog:
        found = catalog.versions()
    if as_json:
        print_json([_jsonable(row) for row in found])
    else:
        _print_table(found)


@versions.command("gc")
@click.option("--execute", is_flag=True, help="Do it; without it nothing is changed.")
@database_options
@json_option
def gc_command(execute: bool, database: str | None, instance: str, as_json: bool) -> None:
    """Forget the versions that no live run is pinned to and no live node has loaded."""
    with _catalog(database, instance) as catalog:
        if execute:
            unused = catalog.collect_versions()
        else:
            unused = sorted((row.workflow, row.version_hash) for row in catalog.versions() if row.unused)
    if as_json:
        listed = [{"workflow": workflow, "version_hash": version_hash} for workflow, version_hash in unused]
        print_json({"executed": execute, "versions": listed})
        return
    for workflow, version_hash in unused:
        print(one_line(f"{'forgot' if execute else 'would forget'} {workflow} {version_hash}"))
    if not unused:
        print("every version is needed; nothing was changed")
    elif not execute:
        print("nothing was changed; --execute does it")


@contextmanager
def _catalog(database: str | None, instance: str) -> Iterator[Catalog]:
    with reached(database, instance) as place:
        check_schema(place.url, place.schema)
        with closing(open_store(place.url, place.schema)) as store:
            yield store.catalog


def _loaded(row: VersionRow) -> tuple[datetime | None, datetime | None]:
    first, last = row.first_loaded_at, row.last_loaded_at
    return (
        None if first is None else datetime.fromtimestamp(first, UTC),
        None if last is None else datetime.fromtimestamp(last, UTC),
    )


def _jsonable(row: VersionRow) -> dict[str, Any]:
    first, last = _loaded(row)
    return {
        "workflow": row.workflow,
        "version_hash": row.version_hash,
        "first_loaded_at": first,
        "last_loaded_at": last,
        "runs": row.runs,
        "engines": row.engines,
    }


def _print_table(rows: list[VersionRow]) -> None:
    shown = table("WORKFLOW", "VERSION", "RUNS", "ENGINES", "FIRST LOADED", "LAST LOADED")
    for row in rows:
        first, last = _loaded(row)
        missing = "yellow" if row.runs and not row.engines else ""
        shown.add_row(
            cell(row.workflow),
            cell(row.version_hash[:12]),
            cell(row.runs),
            cell(row.engines, missing),
            cell(moment(first) or "never"),
            cell(moment(last) or "never"),
        )
    show(shown)
