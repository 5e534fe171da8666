"""``connection=`` brings only the transaction: nothing else of the caller's connection reaches our statements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.adapt import Dumper, Loader
from psycopg.rows import class_row, dict_row, scalar_row

from continuum import AsyncClient, Client, ConfigurationError, JournalError, RunExistsError, RunNotFoundError
from tests.integration.client.shop import ORDER, archive, checkout


class Upset(Loader):
    def load(self, data: object) -> object:
        raise AssertionError("a loader of the caller's")


class Unset(Dumper):
    def dump(self, obj: object) -> bytes:
        raise AssertionError("a dumper of the caller's")


def with_adapters(connection: psycopg.Connection[Any]) -> None:
    for oid in (20, 25, 2278, 2950):
        for format in psycopg.pq.Format:
            connection.adapters.register_loader(oid, type("Upset", (Upset,), {"format": format}))
    for kind in (str, int, bytes, list, UUID):
        connection.adapters.register_dumper(kind, Unset)


def set_to(name: str, value: object) -> Callable[[psycopg.Connection[Any]], None]:
    return lambda connection: setattr(connection, name, value)


def encoded_as(encoding: str) -> Callable[[psycopg.Connection[Any]], None]:
    def encode(connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"set client_encoding = {encoding}".encode())

    return encode


class Unfit:
    """A class that no row of ours fits into."""


WAYS = {
    "client_cursor": set_to("cursor_factory", psycopg.ClientCursor),
    "raw_cursor": set_to("cursor_factory", psycopg.RawCursor),
    "server_cursor_rows": set_to("row_factory", dict_row),
    "scalars": set_to("row_factory", scalar_row),
    "class_rows": set_to("row_factory", class_row(Unfit)),
    "latin1": encoded_as("LATIN1"),
    "sql_ascii": encoded_as("SQL_ASCII"),
    "adapters": with_adapters,
    "prepares_at_once": set_to("prepare_threshold", 0),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("autocommit", [False, True])
def test_runs_start_by_any_connection_of_psycopg(
    client: Client, connection: psycopg.Connection[Any], way: Callable[[Any], None], autocommit: bool
) -> None:
    connection.autocommit = autocommit
    way(connection)
    with connection.transaction():
        client.start(checkout(ORDER), id="order-☃", attributes={"name": "é☃"}, connection=connection)
        client.start(checkout(ORDER), id="order-☃", if_exists="attach", connection=connection)
        with pytest.raises(RunExistsError):
            client.start(archive(ORDER), id="order-☃", if_exists="attach", connection=connection)
    connection.commit()
    run = client.get_run("order-☃")
    assert (run.key, run.attributes) == ("order-☃", {"name": "é☃"})


def test_the_encoding_of_the_callers_connection_is_put_back(
    client: Client, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("set client_encoding = latin1")
    client.start(checkout(ORDER), connection=connection)
    assert connection.info.encoding == "iso8859-1"
    assert connection.execute("select 'é'").fetchone() == ("é",)


def failed(connection: psycopg.Connection[Any]) -> object:
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("select 1 / 0")
    return connection


def closed(connection: psycopg.Connection[Any]) -> object:
    other = psycopg.connect(connection.info.dsn)
    other.close()
    return other


def of_module(module: str) -> Callable[[object], object]:
    return lambda _: type("Session", (), {"__module__": module})()


UNUSABLE: dict[str, tuple[Callable[[psycopg.Connection[Any]], object], str]] = {
    "failed": (failed, "has failed before: roll it back"),
    "closed": (closed, "this one is closed: open another"),
    "url": (lambda _: "postgresql://u:secret@h/d", "not a text: open one"),
    "sqlalchemy": (
        of_module("sqlalchemy.orm.session"),
        r"session.connection\(\).connection.driver_connection",
    ),
    "django": (of_module("django.db.backends.postgresql.base"), "ensure_connection"),
    "pool": (of_module("psycopg_pool.pool"), "with pool.connection"),
    "other": (lambda _: 3, "not int"),
}


@pytest.mark.parametrize(("made", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_started_by_is_refused_in_words(
    client: Client, connection: psycopg.Connection[Any], made: Callable[[Any], Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?s)^(?!.*secret).*{words}.*nothing was started$"):
        client.start(checkout(ORDER), connection=made(connection))


def test_an_asynchronous_connection_is_for_the_asynchronous_client(client: Client, database_url: str) -> None:
    async def start() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            client.start(checkout(ORDER), connection=connection)  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match="AsyncClient"):
        asyncio.run(start())


def test_a_connection_to_another_database_is_named(client: Client, database_url: str) -> None:
    other = psycopg.conninfo.make_conninfo(database_url, dbname="postgres")
    with psycopg.connect(other) as connection:
        with pytest.raises(JournalError, match=r"has no schema.*nothing was started"):
            client.start(checkout(ORDER), connection=connection)
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_handle_of_a_start_that_was_rolled_back_says_never_committed(
    client: Client, connection: psycopg.Connection[Any]
) -> None:
    handle = client.start(checkout(ORDER), connection=connection)
    connection.rollback()
    for act in (lambda: handle.result(1), handle.run, handle.history, handle.cancel):
        with pytest.raises(RunNotFoundError, match="never committed"):
            act()


def test_an_asynchronous_handle_says_so_too(client: Client, instance: str, database_url: str) -> None:
    async def start() -> None:
        async with (
            await psycopg.AsyncConnection.connect(
                database_url, cursor_factory=psycopg.AsyncClientCursor
            ) as connection,
            AsyncClient(database_url, instance=instance) as ours,
        ):
            handle = await ours.start(checkout(ORDER), connection=connection)
            await connection.rollback()
            await handle.result(1)

    with pytest.raises(RunNotFoundError, match="never committed"):
        asyncio.run(start())
