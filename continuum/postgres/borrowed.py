"""A connection of the caller's, of which only the transaction is used (``connection=``).

Its cursor class, row factory, adapters, prepared statements, ``search_path`` and encoding are made for the caller's own
statements. Ours go through a plain cursor, which sends arrays that are encoded already and reads them by loaders of its
own; what they need of the session is set inside of a savepoint and put back by the server, so that its old value never
passes through the caller's encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.uuid import UUIDBinaryLoader

from continuum.postgres import arrays
from continuum.postgres.prepared import Row

_SET = sql.SQL(
    "select set_config('continuum.path', current_setting('search_path'), true),"
    " set_config('continuum.encoding', current_setting('client_encoding'), true),"
    " set_config('search_path', {}, true), set_config('client_encoding', 'UTF8', true)"
)
_PUT_BACK = (
    "select set_config('search_path', current_setting('continuum.path'), true),"
    " set_config('client_encoding', current_setting('continuum.encoding'), true)"
)
_VOID = 2278  # what pg_notify returns


class _TextLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


def begin(connection: psycopg.Connection[Any]) -> None:
    """Begin the caller's transaction, unless it has begun or each statement is one. Otherwise a block of ours would be
    the outermost, and commit at its end."""
    if not connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        with _cursor(connection) as cursor:
            cursor.execute("select", prepare=False)


@contextmanager
def cursor_on(connection: psycopg.Connection[Any], schema: str) -> Iterator[psycopg.Cursor[Row]]:
    """Give a cursor that finds the tables of a schema, in a savepoint, to a body; then all is as it was."""
    begin(connection)
    with _cursor(connection) as cursor, connection.transaction():
        path = sql.SQL(
            sql.Literal(sql.Identifier(schema).as_string()).as_string()
        )  # not by the caller's adapters
        cursor.execute(_SET.format(path), prepare=False)
        yield cursor
        cursor.execute(_PUT_BACK, prepare=False)


@contextmanager
def _cursor(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Cursor[Row]]:
    plain = isinstance(
        connection, psycopg.Connection
    )  # else the view of an asynchronous one, which does the same
    opened = (
        psycopg.Cursor(connection, row_factory=tuple_row)
        if plain
        else connection.cursor(row_factory=tuple_row)
    )
    with opened as cursor:
        arrays.adapt(cursor)
        cursor.adapters.register_loader("uuid", UUIDBinaryLoader)
        cursor.adapters.register_loader("int8", Int8BinaryLoader)
        for kind in ("text", _VOID):
            cursor.adapters.register_loader(kind, _TextLoader)
        yield cursor
