"""Databases of test sessions on the project's embedded server: made, emptied, and dropped whoever forgot them.

A session that is killed leaves its database behind. The next one drops what nobody is connected to; a living
session keeps a connection to its own for that reason.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from continuum import config
from continuum.client import default
from continuum.config import EMBEDDED_FOLDER, schema_of
from continuum.embedded import EmbeddedPostgres
from continuum.postgres import Listener, migrate, open_store
from continuum.runtime.inprocess import InProcessNode, Store

_PREFIX = "continuum_test_"
_SCHEMA = schema_of("default")
_KEPT = ("continuum_migrations", "continuum_channels")  # what they hold is of the schema, not of its runs
_LOCK = 0x636F6E74  # of whoever drops and makes databases; the number says nothing


@contextmanager
def worker_database(project: Path, worker: str) -> Iterator[str]:
    """Make a database for a test worker, migrated, and drop it afterwards; gives its URL."""
    server = EmbeddedPostgres(project / EMBEDDED_FOLDER)
    server.attach()
    name = f"{_PREFIX}{re.sub(r'[^a-z0-9]', '_', worker.lower())}_{uuid.uuid4().hex[:8]}"
    url = server.url_of(name)
    try:
        with psycopg.connect(server.url, autocommit=True) as maintenance:
            maintenance.execute("select pg_advisory_lock(%s)", [_LOCK])
            _drop_forgotten(maintenance)
            maintenance.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            # What a test writes need not survive the machine.
            maintenance.execute(
                sql.SQL("alter database {} set synchronous_commit = off").format(sql.Identifier(name))
            )
            keeper = psycopg.connect(url, autocommit=True)
        with keeper:
            migrate(url, _SCHEMA)
            yield url
        with psycopg.connect(server.url, autocommit=True) as maintenance:
            maintenance.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )
    finally:
        server.detach()


def empty(url: str) -> None:
    """Delete every row of every table but the list of migrations. Small tables: quicker than to truncate them."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select relname from pg_class where relnamespace = %s::regnamespace and relkind in ('r', 'p')"
            " and not relispartition and relname <> all(%s) order by relname",
            [_SCHEMA, list(_KEPT)],
        ).fetchall()
        for (table,) in tables:
            connection.execute(sql.SQL("delete from {}").format(sql.Identifier(_SCHEMA, table)))


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Make it the default of this process for a while."""
    before = config._configured
    default.configure(database=url)
    try:
        yield
    finally:
        default.configure(database=before)


@contextmanager
def node_on(url: str, schema: str = _SCHEMA) -> Iterator[InProcessNode]:
    """Run a node in threads of this process."""

    @contextmanager
    def opened() -> Iterator[Store]:
        with closing(open_store(url, schema)) as store:
            yield store

    with closing(Listener(url, schema)) as listener:
        listener.reconnect()
        with InProcessNode(opened, listener=listener) as node:
            yield node


def _drop_forgotten(maintenance: psycopg.Connection[tuple[object, ...]]) -> None:
    forgotten = maintenance.execute(
        "select datname from pg_database where starts_with(datname, %s)"
        " and not exists (select from pg_stat_activity as activity where activity.datname = pg_database.datname)",
        [_PREFIX],
    ).fetchall()
    for (name,) in forgotten:
        with suppress(psycopg.errors.ObjectInUse):  # somebody looks into it
            maintenance.execute(sql.SQL("drop database {}").format(sql.Identifier(str(name))))
