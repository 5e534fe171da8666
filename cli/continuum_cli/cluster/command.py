"""``continuum cluster``: the key that its nodes share, and how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import click
import msgspec
from rich.console import Console
from rich.live import Live

from continuum.config import resolve_cluster_key
from continuum.errors import ConfigurationError, ContinuumError
from continuum.postgres import PostgresStore, check, open_store
from continuum.wire.curve import generate_key
from continuum.wire.endpoint import parse_endpoint
from continuum_cli.cluster.screen import Picture
from continuum_cli.cluster.view import View, look
from continuum_cli.database import reached
from continuum_cli.failing import Refusal
from continuum_cli.options import database_options, json_option
from continuum_cli.output import print_json, show

WATCH_S = 2.0


@click.group()
def cluster() -> None:
    """The nodes of several hosts as one."""


@cluster.command("keygen")
def keygen() -> None:
    """Print a new cluster key.

    Give the same one to every node, as CONTINUUM_CLUSTER_KEY, or in a file that `continuum node start` reads with
    --cluster-key-file. Who has it is let in: keep it as you keep a password.
    """
    click.echo(generate_key())


@cluster.command("status")
@click.option("--watch", is_flag=True, help="Stay, and draw it anew every two seconds until Ctrl-C.")
@click.option("--ask", metavar="HOST:PORT", help="The node to ask.  [default: any that the database knows]")
@click.option("--cluster-key-file", metavar="FILE", help="The key that all nodes of the cluster share.")
@click.option("--strict", is_flag=True, help="Exit code 1 if there is something to look at.")
@database_options
@json_option
def status(
    watch: bool,
    ask: str | None,
    cluster_key_file: str | None,
    strict: bool,
    database: str | None,
    instance: str,
    as_json: bool,
) -> int:
    """Show hosts, their processes, load, queues, leases, and what is stuck.

    The hosts are those that one node's group knows; each is asked for its own processes. Where no group answers, what
    the database knows is shown, and where the database does not answer, what the group knows (with --ask).
    """
    key = resolve_cluster_key(cluster_key_file)
    address = str(parse_endpoint(ask)) if ask else None
    with _store_of(database, instance, needed=address is None) as (store, error):
        if watch and not as_json:
            return _watch(lambda: look(instance, store, error, address, key))
        view = look(instance, store, error, address, key)
    if not view.members and view.overview is None:
        raise Refusal(
            f"neither the group nor the database can be asked: {view.group_error}; {view.database_error}"
        )
    if as_json:
        print_json(_document(view))
    else:
        show(Picture(view))
    return 1 if strict and view.findings() else 0


def _watch(gather: Callable[[], View]) -> int:
    """Draw until Ctrl-C. What fails for a while is drawn as missing, and is there again when it is back."""
    console = Console(highlight=False)
    drawing = Live(Picture(gather()), console=console, screen=console.is_terminal, auto_refresh=False)
    with suppress(KeyboardInterrupt), drawing as live:
        while True:
            live.refresh()
            time.sleep(WATCH_S)
            live.update(Picture(gather()))
    return 0


@contextmanager
def _store_of(
    database: str | None, instance: str, *, needed: bool
) -> Iterator[tuple[PostgresStore | None, str]]:
    """The store, or why there is none, which is a refusal if it is ``needed``."""
    with ExitStack() as stack:
        store, error = None, ""
        try:
            place = stack.enter_context(reached(database, instance))
            store = stack.enter_context(closing(open_store(place.url, place.schema)))
            check(place.url, place.schema)
        except (Refusal, ContinuumError) as failure:
            if needed or isinstance(failure, ConfigurationError):
                raise
            store, error = None, str(failure)
        yield store, error


def _document(view: View) -> dict[str, object]:
    """A view as a JSON document; its parts are None where nobody could be asked."""
    parts: dict[str, object] = {
        "instance": view.instance,
        "at": view.at,
        "group": {"seen_by": view.seen_by, "members": view.members} if view.members else None,
        "group_error": view.group_error,
        "nodes": view.nodes,
        "database": view.overview,
        "database_error": view.database_error,
        "owners_without_host": view.owners_without_host(),
        "findings": view.findings(),
    }
    return {name: _named(part) for name, part in parts.items()}


def _named(value: object) -> object:
    """The value with the fields of structs by name, which some of them do without on the wire."""
    match value:
        case msgspec.Struct():
            return {name: _named(getattr(value, name)) for name in value.__struct_fields__}
        case dict():
            return {name: _named(part) for name, part in value.items()}
        case list() | tuple():
            return [_named(part) for part in value]
        case _:
            return value
