"""Migrations: forward only, one transaction each, safe to start from many nodes at once.

A file ``migrations/NNNN_name.sql`` is applied once, under an advisory lock of the schema, and recorded with its
checksum in ``continuum_migrations``. An applied file never changes; a database that is newer than the code, or older
than a client needs, is refused with a line that says what to do.

DDL waits for a lock for a moment only, then lets the traffic behind it pass and tries again: a busy table is never
blocked for long (O2).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import psycopg
from psycopg import sql

from continuum.errors import ConfigurationError, JournalError, SchemaVersionError, UnknownInstanceError
from continuum.postgres.partitions import ensure_partitions
from continuum.postgres.session import Row, Session, connect, reason_of

T = TypeVar("T")
_ATTEMPTS_MAX = 30
_PAUSE_S = 0.5
_SCHEMA_BYTES_MAX = 55  # an identifier has 63 bytes, and channels are named <schema>_wake
_RECORDS = sql.SQL(
    "create table {}.continuum_migrations ("
    " version integer primary key, name text not null, checksum text not null,"
    " applied_at timestamptz not null default now())"
)


class Migration(NamedTuple):
    version: int
    name: str
    checksum: str
    text: bytes


class MigrationStatus(NamedTuple):
    """``edited``: the file is not the one that was applied. ``unknown``: applied by a newer version of the code."""

    version: int
    name: str
    state: Literal["applied", "pending", "edited", "unknown"]
    applied_at: datetime | None


class _Applied(NamedTuple):
    version: int
    name: str
    checksum: str
    applied_at: datetime


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations that this code brings, in order."""
    package = Path(__file__).parents[1]
    places = (package / "migrations", package.parent / "migrations")  # as installed; in a checkout
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise ConfigurationError(
            f"no migrations beside {package}; the installation is damaged, install it again"
        )
    files = sorted(place.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return tuple(
        Migration(int(file.stem[:4]), file.stem, sha256(text).hexdigest(), text)
        for file in files
        for text in (file.read_bytes(),)
    )


def migrate(url: str, schema: str) -> list[str]:
    """Create the schema if it is missing, apply what is not applied yet; return the names of what was applied.

    Raises:
        SchemaVersionError: the schema is newer than this code, or an applied file was edited; nothing was changed.
        JournalError: the database cannot be reached, or a table stays busy. What is applied stays applied.
        ConfigurationError: the schema's name is too long.
    """
    if len(schema.encode()) > _SCHEMA_BYTES_MAX:
        raise ConfigurationError(
            f"schema name {schema!r} is too long; {_SCHEMA_BYTES_MAX} bytes are the most"
        )
    done: list[str] = []
    with _connected(url) as connection:
        _refuse_encoding(connection)
        _patiently(lambda: _create(connection, schema))
        while (name := _patiently(lambda: _apply_next(connection, schema))) is not None:
            done.append(name)
    session = Session(url, schema, "continuum-migrate")
    try:
        ensure_partitions(session, rows_max=None)
    finally:
        session.close()
    return done


def status(url: str, schema: str) -> list[MigrationStatus]:
    """Return every migration that the code or the database knows, in order.

    Raises:
        JournalError: the database cannot be reached.
    """
    with _connected(url) as connection:
        applied = {record.version: record for record in _applied(connection, schema)}
    known = {migration.version: migration for migration in migrations()}
    return [
        _status(known.get(version), applied.get(version)) for version in sorted(known.keys() | applied.keys())
    ]


def check(database: str | psycopg.Connection[Row], schema: str) -> None:
    """Return if the schema is the one that this code was written for. ``database``: a URL, or an open connection.

    Raises:
        UnknownInstanceError: it is that of an instance that was never made here.
        SchemaVersionError: it is missing, older, newer, or made by an edited migration.
        JournalError: the database cannot be reached.
    """
    if isinstance(database, str):
        with _connected(database) as connection:
            applied = _made(connection, schema)
    else:
        applied = _made(database, schema)
    _refuse_foreign(applied, schema)
    version, needed = max((record.version for record in applied), default=0), migrations()[-1].version
    if version < needed:
        found = f"is at version {version}" if version else "has no tables of Continuum"
        raise SchemaVersionError(
            "check schema",
            f"schema {schema!r} {found}, this code needs version {needed}; run `continuum db migrate`",
        )


def _made(connection: psycopg.Connection[Row], schema: str) -> list[_Applied]:
    """Return what was applied; refuse the schema of an instance that nobody has made.

    Raises:
        UnknownInstanceError: its name; and the names that there are.
        ConfigurationError: the database cannot hold every text.
    """
    _refuse_encoding(connection)
    applied = _applied(connection, schema)
    instance = schema.removeprefix("continuum_")
    if (
        applied or instance == schema
    ):  # "continuum" is that of the default instance: it is only not migrated yet
        return applied
    found = connection.execute(
        "select nspname::text from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
        " where relname = 'continuum_migrations' and relkind = 'r' and nspname ~ '^continuum(_|$)' order by 1 limit 10"
    ).fetchall()
    names = ", ".join(
        "default" if name == "continuum" else name.removeprefix("continuum_") for (name,) in found
    )
    raise UnknownInstanceError(
        "check schema",
        f"there is no instance {instance!r} in this database, which has {names or 'none at all'}; nothing was changed. "
        f"Check the name, or make the instance: `continuum db migrate --instance {instance}`",
    )


def _status(migration: Migration | None, record: _Applied | None) -> MigrationStatus:
    if migration is None:
        assert record is not None, "a version comes from the code or from the database"
        return MigrationStatus(record.version, record.name, "unknown", record.applied_at)
    if record is None:
        return MigrationStatus(migration.version, migration.name, "pending", None)
    state: Literal["applied", "edited"] = "applied" if record.checksum == migration.checksum else "edited"
    return MigrationStatus(migration.version, migration.name, state, record.applied_at)


def _refuse_foreign(applied: Sequence[_Applied], schema: str) -> None:
    """Raise if the database knows a migration that is not among ours."""
    known = {migration.version: migration for migration in migrations()}
    for record in applied:
        migration = known.get(record.version)
        if migration is None:
            raise SchemaVersionError(
                "check schema",
                f"schema {schema!r} is at version {record.version} ({record.name}), newer than this code, which knows"
                f" {max(known)}; upgrade Continuum here. Nothing was changed",
            )
        if migration.checksum != record.checksum:
            raise SchemaVersionError(
                "check schema",
                f"migration {record.name} was edited after schema {schema!r} had applied it; restore the file,"
                " and put the change into a new migration. Nothing was changed",
            )


def _refuse_encoding(connection: psycopg.Connection[Row]) -> None:
    """Raise if the database cannot store every text: a run would stop at the first one that it cannot, and in SQL_ASCII
    texts are whatever bytes each client takes them for."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise ConfigurationError(
            f"database {connection.info.dbname!r} has the encoding {encoding}, which cannot hold every text; nothing"
            " was changed. Use one in UTF8: `createdb --encoding=UTF8 --template=template0 NAME`"
        )


def _create(connection: psycopg.Connection[Row], schema: str) -> None:
    """Create the schema and the table of migrations where they are missing."""
    with connection.transaction():
        _lock(connection, schema)
        if connection.execute("select 1 from pg_namespace where nspname = %s", [schema]).fetchone() is None:
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        if not _recorded(connection, schema):
            connection.execute(_RECORDS.format(sql.Identifier(schema)))


def _apply_next(connection: psycopg.Connection[Row], schema: str) -> str | None:
    """Apply the first migration that is missing, and return its name; None if there is none."""
    with connection.transaction():
        _lock(connection, schema)
        applied = _applied(connection, schema)
        _refuse_foreign(applied, schema)
        versions = {record.version for record in applied}
        migration = next((each for each in migrations() if each.version not in versions), None)
        if migration is None:
            return None
        connection.execute(sql.SQL("set local search_path = {}").format(sql.Identifier(schema)))
        connection.execute("set local lock_timeout = '2s'")
        connection.execute(migration.text)
        connection.execute(
            "insert into continuum_migrations (version, name, checksum) values (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )
        return migration.name


def _lock(connection: psycopg.Connection[Row], schema: str) -> None:
    """Keep other migrations of this schema out until the end of the transaction."""
    connection.execute("set local lock_timeout = '120s'")
    # A role may have been given others, for sessions of people. The session's own are ours to choose.
    connection.execute("set local statement_timeout = 0")
    connection.execute("set local idle_in_transaction_session_timeout = 0")
    if connection.info.server_version >= 170000:
        connection.execute("set local transaction_timeout = 0")
    connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"continuum migrate {schema}"]
    )


def _recorded(connection: psycopg.Connection[Row], schema: str) -> bool:
    found = connection.execute(
        "select 1 from pg_tables where schemaname = %s and tablename = 'continuum_migrations'", [schema]
    )
    return found.fetchone() is not None


def _applied(connection: psycopg.Connection[Row], schema: str) -> list[_Applied]:
    try:
        if not _recorded(connection, schema):
            return []
        rows = connection.execute(
            sql.SQL(
                "select version, name, checksum, applied_at from {}.continuum_migrations order by version"
            ).format(sql.Identifier(schema)),
            binary=True,
        )
        return [_Applied(*row) for row in rows]
    except psycopg.Error as error:
        raise JournalError("read schema version", reason_of(error)) from error


def _patiently(act: Callable[[], T]) -> T:
    """Try a transaction of DDL again while the tables that it needs are busy."""
    for _ in range(_ATTEMPTS_MAX):
        try:
            return act()
        except psycopg.errors.LockNotAvailable:
            time.sleep(_PAUSE_S)
    raise JournalError("migrate", "a table stays busy; end the transaction that holds it, and migrate again")


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Row]]:
    """Open a connection for a body whose database errors become ``JournalError``."""
    try:
        with connect(url, "continuum-migrate") as connection:
            yield connection
    except psycopg.Error as error:
        raise JournalError("migrate", reason_of(error)) from error
