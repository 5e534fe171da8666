"""``continuum run signal|cancel|resume|result``."""

from __future__ import annotations

from typing import Any

import click

from continuum.errors import PayloadError
from continuum_cli.failing import USAGE, Refusal
from continuum_cli.options import Seconds, database_options, json_value
from continuum_cli.output import print_json
from continuum_cli.run.client import client_for


@click.command()
@click.argument("run_id", metavar="ID")
@click.argument("name")
@click.argument("payload", type=json_value(), required=False)
@click.option("--id", "delivery_id", metavar="KEY", help="Deliver at most once under this key.")
@database_options
def signal(
    run_id: str, name: str, payload: Any, delivery_id: str | None, database: str | None, instance: str
) -> None:
    """Send the run ID the signal NAME, with PAYLOAD in JSON (`-` reads it from standard input).

    \b
        continuum run signal order-o1 approved true
    """
    with client_for(run_id, database, instance) as client:
        try:
            client.signal(run_id, name, payload, id=delivery_id)
        except PayloadError as error:
            raise Refusal(f"{error}; nothing was sent", USAGE) from error


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--reason", help="Kept with the run.")
@click.option("--cleanup", type=Seconds(), metavar="S", help="Seconds to clean up in, before it is ended.")
@database_options
def cancel(
    run_id: str, reason: str | None, cleanup: float | None, database: str | None, instance: str
) -> None:
    """End the run ID as cancelled, with its children and theirs: at once, or after time to clean up."""
    with client_for(run_id, database, instance) as client:
        client.cancel(run_id, reason=reason, cleanup=cleanup)


@click.command()
@click.argument("run_id", metavar="ID")
@database_options
def resume(run_id: str, database: str | None, instance: str) -> None:
    """Resume the run ID, which was set aside because engines died of it, again and again.

    `continuum run show ID` says so under "attention". Mend the cause first: it is tried alone, as often as before.
    """
    with client_for(run_id, database, instance) as client:
        client.resume(run_id)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--timeout", type=Seconds(), metavar="S", help="Seconds to wait.  [default: no limit]")
@database_options
def result(run_id: str, timeout: float | None, database: str | None, instance: str) -> None:
    """Wait for the end of the run ID and print its result as JSON.

    Exit code 1 if it failed, was cancelled, or is not over in time.
    """
    with client_for(run_id, database, instance) as client:
        try:
            value = client.result(run_id, timeout)
        except TimeoutError as error:
            raise Refusal(
                f"run {run_id} is not over after {timeout:g} s and goes on; "
                f"`continuum run show {run_id}` says what it waits for"
            ) from error
    print_json(value)
