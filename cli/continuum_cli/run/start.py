"""``continuum run start``."""

from __future__ import annotations

from typing import Any

import click

from continuum.client import Client
from continuum.client.requests import IfExists
from continuum.core.call import WorkflowCall, call
from continuum.errors import PayloadError
from continuum_cli.database import registered_workflows
from continuum_cli.failing import USAGE, Refusal
from continuum_cli.options import Seconds, database_options, json_value
from continuum_cli.run.known import imported_workflow, refuse_unknown

_ARGS = json_value(list, """'[1, "two"]'""")
_KWARGS = json_value(dict, """'{"name": 1}'""")
_ATTRIBUTES = json_value(dict, """'{"plan": "pro"}'""")


@click.command()
@click.argument("name")
@click.option("--args", "args", type=_ARGS, metavar="JSON", default="[]", help="Arguments, a JSON list.")
@click.option("--kwargs", type=_KWARGS, metavar="JSON", default="{}", help="Named ones, a JSON object.")
@click.option("--id", "key", metavar="KEY", help="A name for the run; each can be used once.")
@click.option("--namespace", default="default", show_default=True)
@click.option("--attributes", type=_ATTRIBUTES, metavar="JSON", default="{}", help="A JSON object.")
@click.option("--delay", type=Seconds(), default=0.0, metavar="S", help="Seconds before it begins.")
@click.option(
    "--if-exists",
    type=click.Choice(["error", "attach"]),
    default="error",
    show_default=True,
    help="What a run with KEY is: an error, or, if it is of this workflow, the run whose id is printed.",
)
@click.option(
    "--allow-unknown", is_flag=True, help="Start it though nobody knows NAME; it waits for a node that does."
)
@database_options
def start(
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    key: str | None,
    namespace: str,
    attributes: dict[str, Any],
    delay: float,
    if_exists: IfExists,
    allow_unknown: bool,
    database: str | None,
    instance: str,
) -> None:
    """Start a run of the workflow NAME, such as shop.flows.checkout, and print its id.

    If its module can be imported here, the arguments are checked before anything is started. `-` in place of JSON
    reads it from standard input.

    \b
        continuum run start shop.flows.checkout --args '[{"id": "o1", "cents": 4200}]'
    """
    workflow = imported_workflow(name)
    with Client(database, instance=instance) as client:
        if workflow is not None:
            made = _checked_call(workflow, args, kwargs)
        else:
            if not allow_unknown:
                client.query(
                    namespace=None, limit=1
                )  # connects, and refuses a schema that is not this version's
                refuse_unknown(name, registered_workflows(database, instance))
            made = call(name, *args, **kwargs)
        try:
            run = client.start(
                made,
                id=key,
                namespace=namespace,
                attributes=attributes,
                delay=delay or None,
                if_exists=if_exists,
            )
        except PayloadError as error:
            raise Refusal(f"{error}; nothing was started", USAGE) from error
    print(run.id)


def _checked_call(workflow: Any, args: list[Any], kwargs: dict[str, Any]) -> WorkflowCall[Any]:
    try:
        workflow.signature.bind(args, kwargs)
        positional, named = workflow.signature.restore_arguments(args, kwargs)
        made: WorkflowCall[Any] = workflow(*positional, **named)
    except (TypeError, PayloadError) as error:
        raise Refusal(f"{error}; nothing was started", USAGE) from error
    return made
