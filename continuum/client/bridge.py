"""An ``AsyncConnection`` as the little of a blocking one that inserting runs needs.

The insertion runs in a thread of the client; each of its calls is carried to the loop that the connection belongs
to, which is free meanwhile because the caller awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar, cast

import psycopg
from psycopg.adapt import AdaptersMap

T = TypeVar("T")


def blocking_view(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None,
) -> psycopg.Connection[Any] | None:
    """Return the connection, or a view of an async one for use by another thread than its loop's."""
    if isinstance(connection, psycopg.AsyncConnection):
        view = _ConnectionView(connection, asyncio.get_running_loop())
        return cast("psycopg.Connection[Any]", view)
    return connection


async def to_the_end(work: Awaitable[T]) -> T:
    """Await work that uses the caller's connection. A cancellation waits for its end: the caller rolls back next, and
    nothing may follow that on the same connection."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Carrier:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result()


class _ConnectionView:
    def __init__(self, connection: psycopg.AsyncConnection[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self._carry = _Carrier(loop)

    @property
    def adapters(self) -> AdaptersMap:
        return self.connection.adapters

    @property
    def autocommit(self) -> bool:
        return self.connection.autocommit

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self.connection.info

    @contextmanager
    def transaction(self) -> Iterator[None]:
        block = self.connection.transaction()
        self._carry(block.__aenter__())
        try:
            yield
        except BaseException as error:
            self._carry(block.__aexit__(type(error), error, error.__traceback__))
            raise
        self._carry(block.__aexit__(None, None, None))

    @contextmanager
    def cursor(self, **options: Any) -> Iterator[_CursorView]:
        cursor = psycopg.AsyncCursor(self.connection, **options)  # whatever class the caller's are of
        try:
            yield _CursorView(cursor, self._carry)
        finally:
            self._carry(cursor.close())


class _CursorView:
    def __init__(self, cursor: psycopg.AsyncCursor[Any], carry: _Carrier) -> None:
        self.connection = cursor.connection
        self.adapters = cursor.adapters
        self._cursor = cursor
        self._carry = carry

    def execute(
        self, query: Any, parameters: Any = None, *, binary: bool | None = None, prepare: bool | None = None
    ) -> Self:
        self._carry(self._cursor.execute(query, parameters, binary=binary, prepare=prepare))
        return self

    def fetchall(self) -> Sequence[Any]:
        return self._carry(self._cursor.fetchall())
