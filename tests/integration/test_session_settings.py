"""Settings of the role, the server or the environment: what our sessions fix, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from continuum.errors import ConfigurationError, JournalError
from continuum.model.query import Condition, Query
from continuum.model.run import RunSeed
from continuum.ports.mailbox import Notice
from continuum.postgres import Listener, PostgresStore, check, migrate, open_store
from continuum.postgres.notices import secret_channel
from tests.integration.servers import wait_until

FOREIGN = {
    "TimeZone": "Pacific/Chatham",
    "DateStyle": "German,DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "lock_timeout": "200ms",
    "statement_timeout": "900ms",
    "idle_session_timeout": "3s",
    "idle_in_transaction_session_timeout": "300ms",
    "search_path": "pg_catalog,nowhere",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "enable_indexscan": "off",
    "enable_nestloop": "off",
    "client_min_messages": "debug5",
    "row_security": "off",
}
WANTED = {
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "enable_nestloop": "on",
    "standard_conforming_strings": "on",
}
OWNER = "n1/default/engine-1/b1-1"


def with_settings(url: str, **settings: str) -> str:
    return make_conninfo(url, options=" ".join(f"-c {name}={value}" for name, value in settings.items()))


def put(store: PostgresStore, **attributes: object) -> UUID:
    (inserted,) = store.catalog.insert(
        [RunSeed(id=uuid4(), workflow="wörk ☃", args=b"", attributes=attributes)]
    )
    return inserted.run_id


def test_settings_that_others_chose_do_not_reach_our_statements(database_url: str, fresh_schema: str) -> None:
    foreign = with_settings(database_url, **FOREIGN)
    migrate(foreign, fresh_schema)
    attribute = Condition(("n",), True, "==", 1.5)
    query = Query(where=(attribute,))
    with (
        closing(open_store(foreign, fresh_schema)) as ours,
        closing(open_store(database_url, fresh_schema)) as plain,
    ):
        run = put(ours, n=1.5, t="é☃")
        assert ours.catalog.get(run) == plain.catalog.get(run)
        assert ours.catalog.query(query) == plain.catalog.query(query) == [plain.catalog.get(run)]
        found = {
            name: ours.session.open().execute(f"show {name}".encode()).fetchall()[0][0] for name in WANTED
        }
        assert found == WANTED


def test_the_encoding_is_ours_whatever_url_and_environment_say(
    monkeypatch: pytest.MonkeyPatch, database_url: str, fresh_schema: str
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    migrate(database_url, fresh_schema)
    with closing(open_store(make_conninfo(database_url, client_encoding="SQL_ASCII"), fresh_schema)) as store:
        row = store.catalog.get(put(store, t="é☃"))
    assert row is not None
    assert (row.workflow, row.attributes) == ("wörk ☃", {"t": "é☃"})


@pytest.mark.rule("R10")
def test_an_engine_is_told_the_moment_of_the_row_however_floats_are_written(
    database_url: str, fresh_schema: str
) -> None:
    migrate(database_url, fresh_schema)
    channel = secret_channel()
    with (
        closing(open_store(database_url, fresh_schema)) as store,
        closing(Listener(database_url, fresh_schema, [], channel)) as ear,
    ):
        ear.reconnect()
        store.dispatch.register(OWNER, "n1", "", 60.0, [("wörk ☃", "")])
        assert store.dispatch.hold(OWNER)
        assert store.dispatch.hear(OWNER, channel, 9)
        with closing(open_store(database_url, fresh_schema)) as client:
            client.session.open().execute("set extra_float_digits = -15")
            run = put(client)
        heard: list[Notice] = []

        def told() -> bool:
            heard.extend(ear.poll())
            return bool(heard)

        wait_until(told, "the engine is told")
        (notice,) = heard
        row = store.catalog.get(run)
        assert row is not None
        assert notice.claimed is not None
        assert notice.claimed.begun_at == row.created_at


def test_a_read_only_session_says_what_to_do(database_url: str, fresh_schema: str) -> None:
    migrate(database_url, fresh_schema)
    url = with_settings(database_url, default_transaction_read_only="on")
    with closing(open_store(url, fresh_schema)) as store:
        with pytest.raises(JournalError, match=r"read-only.*nothing was changed: connect to the primary"):
            put(store)
        assert store.catalog.workflows() == [], "and reads"


@pytest.mark.parametrize("act", [migrate, check])
def test_a_database_that_cannot_hold_every_text_is_refused(
    database_url: str, act: Callable[[str, str], object]
) -> None:
    name = f"latin_{uuid4().hex[:8]}"
    made = sql.SQL("create database {} encoding 'SQL_ASCII' locale 'C' template template0")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(made.format(sql.Identifier(name)))
        try:
            with pytest.raises(ConfigurationError, match=r"SQL_ASCII.*nothing was changed.*UTF8"):
                act(make_conninfo(database_url, dbname=name), "continuum")
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
