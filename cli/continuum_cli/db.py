"""``continuum db``: forward migrations, what is applied, the URL in use."""

from __future__ import annotations

import click

from continuum.config import mask_password, open_database, resolve_database, schema_of
from continuum.postgres import MigrationStatus, migrate, status
from continuum_cli.database import reached
from continuum_cli.options import database_options, json_option
from continuum_cli.output import cell, moment, print_json, show, table

_STYLES = {"applied": "green", "pending": "yellow", "edited": "red", "unknown": "red"}


@click.group()
def db() -> None:
    """The database: migrations, and its URL."""


@db.command("migrate")
@database_options
def migrate_command(database: str | None, instance: str) -> None:
    """Bring the schema forward to this version.

    Safe to run from many places at once, and while nodes of the version before are running.
    """
    with reached(database, instance) as place:
        applied = migrate(place.url, place.schema)
        for name in applied:
            print(f"applied {name}")
        if not applied:
            print(f"schema {place.schema} is up to date; nothing was changed")


@db.command("status")
@database_options
@json_option
def status_command(database: str | None, instance: str, as_json: bool) -> int:
    """Show which migrations are applied. Exit code 1 if the schema is not this version's."""
    with reached(database, instance) as place:
        migrations = status(place.url, place.schema)
    if as_json:
        print_json([migration._asdict() for migration in migrations])
    else:
        _print_table(migrations)
    return 0 if all(migration.state == "applied" for migration in migrations) else 1


@db.command("url")
@database_options
@click.option("--show-password", is_flag=True, help="Print the password too, if the URL has one.")
@json_option
def url_command(database: str | None, instance: str, show_password: bool, as_json: bool) -> None:
    """Print the URL of the database in use, without its password.

    The embedded server runs while a node or a client uses it: `psql "$(continuum db url)"` works beside a node.
    """
    choice = resolve_database(database)
    with open_database(choice) as opened:
        url = opened.url if show_password else mask_password(opened.url)
    if as_json:
        print_json({"url": url, "source": choice.source, "schema": schema_of(instance)})
    else:
        print(url)


def _print_table(migrations: list[MigrationStatus]) -> None:
    shown = table("MIGRATION", "STATE", "APPLIED")
    for migration in migrations:
        shown.add_row(
            cell(migration.name),
            cell(migration.state, _STYLES[migration.state]),
            cell(moment(migration.applied_at)),
        )
    show(shown)
