"""``continuum run list|show|history``."""

from __future__ import annotations

from typing import Any

import click

from continuum.client import Client
from continuum.model.display import to_jsonable
from continuum.model.history import History
from continuum.model.query import LIMIT_MAX, Condition, field
from continuum.model.run import LIVE_STATES, STATES, Run
from continuum_cli.options import database_options, json_option
from continuum_cli.output import (
    age,
    cell,
    columns_shown,
    compact,
    facts,
    moment,
    print_document,
    print_json,
    table,
)
from continuum_cli.output import show as show_table
from continuum_cli.output import state as state_cell
from continuum_cli.run.client import client_for
from continuum_cli.run.waits import waits_of

_WIDE_COLUMNS = 110
_UNSHOWN = frozenset({"at", "crew"})  # of an event: of use to a replay, not to people
_EMPTY = (None, "", 0)


@click.command("list")
@click.option("--namespace", default="default", show_default=True, help="Only this one; `all` for every one.")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only these; may be repeated."
)
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True)
@click.option("--cursor", help="Go on behind the page before, which has printed this.")
@database_options
@json_option
def list_runs(
    namespace: str,
    states: tuple[str, ...],
    workflow: str | None,
    limit: int,
    cursor: str | None,
    database: str | None,
    instance: str,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    where: list[Condition] = []
    if states:
        where.append(field("state").in_(states))
    if workflow is not None:
        where.append(field("workflow") == workflow)
    with Client(database, instance=instance) as client:
        page = client.query(
            namespace=None if namespace == "all" else namespace, where=where, limit=limit, cursor=cursor
        )
    if as_json:
        print_json({"runs": [_jsonable(run) for run in page.runs], "next_cursor": page.next_cursor})
        return
    _print_runs(page.runs, with_namespace=namespace == "all")
    if page.next_cursor is not None:
        click.echo(f"there are more: --cursor {page.next_cursor}", err=True)


@click.command()
@click.argument("run_id", metavar="ID")
@database_options
@json_option
def show(run_id: str, database: str | None, instance: str, as_json: bool) -> None:
    """Show the run ID: its state, its arguments, what it waits for, how it ended."""
    with client_for(run_id, database, instance) as client:
        run = client.get_run(run_id)
        waits = waits_of(client.history(run_id)) if run.state in LIVE_STATES else []
    if as_json:
        print_json(_jsonable(run) | {"waits_for": waits})
    else:
        show_table(facts(_facts(run, waits)))


@click.command()
@click.argument("run_id", metavar="ID")
@database_options
@json_option
def history(run_id: str, database: str | None, instance: str, as_json: bool) -> None:
    """Show the journal of the run ID: what its code did and what came to it, in order.

    With --json it is a document that continuum.testing can replay.
    """
    with client_for(run_id, database, instance) as client:
        found = client.history(run_id)
    if as_json:
        print_document(found.to_json(indent=2))
    else:
        _print_history(found)


def _jsonable(run: Run) -> dict[str, Any]:
    return {name: to_jsonable(getattr(run, name)) for name in run.__struct_fields__}


def _print_runs(runs: list[Run], *, with_namespace: bool) -> None:
    wide = columns_shown() >= _WIDE_COLUMNS
    columns = ["ID", "STATE", "STARTED" if wide else "AGE", "WORKFLOW"]
    columns += ["NAMESPACE"] if with_namespace else []
    columns += ["KEY"] if wide else []
    shown = table(*columns)
    for run in runs:
        started = run.started_at or run.created_at
        row = [
            cell(run.id),
            state_cell(run.state),
            cell(moment(started) if wide else age(started)),
            cell(run.workflow if wide or not with_namespace else run.workflow.rpartition(".")[2]),
        ]
        row += [cell(run.namespace)] if with_namespace else []
        row += [cell(run.key or "")] if wide else []
        shown.add_row(*row)
    show_table(shown)


def _facts(run: Run, waits: list[str]) -> dict[str, object]:
    positional, named = run.args if isinstance(run.args, list) and len(run.args) == 2 else (run.args, {})
    error = run.error or {}
    return {
        "run": run.id,
        "key": run.key,
        "workflow": run.workflow,
        "version": run.version_hash,
        "namespace": run.namespace,
        "state": state_cell(run.state),
        "attention": None if run.attention is None else cell(run.attention, "yellow"),
        "waits for": "; ".join(waits),
        "damaged": cell(_damage(run), "red") if run.damaged else None,
        "arguments": compact(positional) if positional else None,
        "named": compact(named) if named else None,
        "attributes": compact(run.attributes) if run.attributes else None,
        "created": moment(run.created_at),
        "started": moment(run.started_at),
        "ended": moment(run.completed_at),
        "owner": run.owner,
        "parent": run.parent_run_id,
        "continued from": run.continued_from_run_id,
        "continued to": run.continued_to_run_id,
        "result": compact(run.result) if run.state == "completed" and "result" not in run.damaged else None,
        "error": cell(f"{error.get('type')}: {error.get('message')}", "red") if error else None,
        "cause": error.get("cause"),
    }


def _damage(run: Run) -> str:
    return "; ".join(f"{name}: {reason.removeprefix(f'{name}: ')}" for name, reason in run.damaged.items())


def _print_history(found: History) -> None:
    shown = table("SEQ", "TIME", "EVENT", "DATA", folded="DATA")
    for event in found:
        data = {
            name: value for name, value in event.data.items() if name not in _UNSHOWN and value not in _EMPTY
        }
        shown.add_row(
            cell(event.seq),
            cell(event.inserted_at.astimezone().strftime("%H:%M:%S.%f")[:-3]),
            cell(event.type),
            cell(compact(data)),
        )
    show_table(shown)
