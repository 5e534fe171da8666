"""Migrations from many nodes, of edited files, of other versions, on busy tables (O2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from continuum.errors import ConfigurationError, JournalError, SchemaVersionError, UnknownInstanceError
from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import RunCommit
from continuum.postgres import check, ensure_partitions, migrate, open_store, schema, status
from continuum.postgres.session import Session

NODES = 6
OWN = tuple(schema.migrations())  # of this code, whatever a test makes it bring


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what makes the code bring these migrations instead of its own."""

    def replace(*migrations: schema.Migration) -> None:
        monkeypatch.setattr(schema, "migrations", lambda: migrations)

    return replace


@pytest.fixture
def connection(database_url: str, fresh_schema: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(fresh_schema)))
        yield connection


def next_migration(text: bytes) -> schema.Migration:
    version = OWN[-1].version + 1
    return schema.Migration(version, f"{version:04}_next", "of-the-next", text)


def record(connection: psycopg.Connection[tuple[object, ...]], version: int) -> None:
    connection.execute("insert into continuum_migrations values (%s, '0099_of_tomorrow', 'x')", [version])


def test_migrating_creates_the_schema_and_says_what_it_applied(database_url: str, fresh_schema: str) -> None:
    assert migrate(database_url, fresh_schema) == [migration.name for migration in schema.migrations()]
    assert {each.state for each in status(database_url, fresh_schema)} == {"applied"}
    check(database_url, fresh_schema)


def test_migrating_again_applies_nothing(database_url: str, fresh_schema: str) -> None:
    migrate(database_url, fresh_schema)
    assert migrate(database_url, fresh_schema) == []


@pytest.mark.rule("O2")
def test_of_many_nodes_that_migrate_at_once_each_migration_is_applied_by_one(
    database_url: str, fresh_schema: str
) -> None:
    together = threading.Barrier(NODES)

    def node(_: int) -> list[str]:
        together.wait()
        return migrate(database_url, fresh_schema)

    with ThreadPoolExecutor(NODES) as nodes:
        applied = [name for names in nodes.map(node, range(NODES)) for name in names]
    assert sorted(applied) == [migration.name for migration in schema.migrations()]


@pytest.mark.rule("O2")
def test_a_migration_that_fails_leaves_nothing_behind(
    database_url: str,
    fresh_schema: str,
    known: Callable[..., None],
    connection: psycopg.Connection[tuple[object, ...]],
) -> None:
    known(*OWN, next_migration(b"create table half (x int); select 1 / 0"))
    with pytest.raises(JournalError, match="division by zero"):
        migrate(database_url, fresh_schema)
    assert connection.execute("select to_regclass('half')").fetchone() == (None,)
    *others, last = [each.state for each in status(database_url, fresh_schema)]
    assert (set(others), last) == ({"applied"}, "pending")


@pytest.mark.rule("O2")
def test_an_applied_migration_that_was_edited_is_refused(
    database_url: str, fresh_schema: str, known: Callable[..., None]
) -> None:
    migrate(database_url, fresh_schema)
    first, *others = OWN
    known(first._replace(checksum="of an edited file"), *others)
    with pytest.raises(SchemaVersionError, match="edited after"):
        migrate(database_url, fresh_schema)
    with pytest.raises(SchemaVersionError, match="edited after"):
        check(database_url, fresh_schema)
    assert status(database_url, fresh_schema)[0].state == "edited"


def test_a_schema_that_is_newer_than_the_code_is_refused(
    database_url: str, fresh_schema: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    migrate(database_url, fresh_schema)
    record(connection, 99)
    for act in (migrate, check):
        with pytest.raises(SchemaVersionError, match=r"newer than this code.*upgrade Continuum"):
            act(database_url, fresh_schema)
    assert status(database_url, fresh_schema)[-1].state == "unknown"


def test_an_older_schema_is_refused_with_the_command_that_helps(
    database_url: str, fresh_schema: str, known: Callable[..., None]
) -> None:
    migrate(database_url, fresh_schema)
    known(*OWN, next_migration(b"select 1"))
    with pytest.raises(SchemaVersionError, match="run `continuum db migrate`"):
        check(database_url, fresh_schema)


def test_a_schema_that_does_not_exist_is_refused_with_the_command_that_helps(
    database_url: str, fresh_schema: str
) -> None:
    name = fresh_schema.removeprefix("continuum_")
    with pytest.raises(
        UnknownInstanceError, match=rf"no instance '{name}'.*`continuum db migrate --instance {name}`"
    ):
        check(database_url, fresh_schema)


def test_a_schema_that_is_no_named_instances_is_only_not_migrated_yet(database_url: str) -> None:
    with pytest.raises(
        SchemaVersionError, match=r"no tables of Continuum.*run `continuum db migrate`"
    ) as refused:
        check(database_url, "never_made")
    assert not isinstance(refused.value, UnknownInstanceError)


def test_an_open_connection_can_be_checked_too(
    database_url: str, fresh_schema: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    migrate(database_url, fresh_schema)
    with connection.transaction():
        check(connection, fresh_schema)


def test_a_database_that_cannot_be_reached_is_a_journal_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        migrate(f"host={tmp_path} dbname=none", "continuum")
    assert "\n" not in str(caught.value)


def test_a_schema_whose_channels_would_have_no_name_is_refused(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        migrate(database_url, "x" * 60)


@pytest.mark.rule("O2")
def test_a_busy_table_lets_its_traffic_pass_while_a_migration_waits_for_it(
    database_url: str,
    fresh_schema: str,
    known: Callable[..., None],
    connection: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    migrate(database_url, fresh_schema)
    known(*OWN, next_migration(b"alter table continuum_runs add column added text"))
    gave_way, go_on = threading.Event(), threading.Event()

    def pause(_: float) -> None:
        gave_way.set()
        go_on.wait(30)

    monkeypatch.setattr("continuum.postgres.schema.time.sleep", pause)
    with ThreadPoolExecutor(1) as background:
        with connection.transaction():
            connection.execute("select count(*) from continuum_runs")  # holds the table until its end
            migrating = background.submit(migrate, database_url, fresh_schema)
            assert gave_way.wait(30), "the migration waits for the table without end"
            store = open_store(database_url, fresh_schema)
            store.catalog.insert([RunSeed(id=uuid4(), workflow="flow", args=b"")])
            store.close()
        go_on.set()
        assert migrating.result(30) == [next_migration(b"").name]


@pytest.mark.rule("O3")
def test_the_months_at_hand_have_partitions_and_others_go_to_the_default(
    database_url: str, fresh_schema: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    migrate(database_url, fresh_schema)
    partitions = connection.execute(
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'continuum_events'::regclass order by 1"
    ).fetchall()
    assert len(partitions) == 3
    connection.execute(
        "insert into continuum_events values (gen_random_uuid(), 1, 1, '', now() + interval '10 years')"
    )
    assert connection.execute("select count(*) from continuum_events_default").fetchone() == (1,)
    session = Session(database_url, fresh_schema)
    assert ensure_partitions(session) == []
    session.close()


@pytest.mark.rule("O3")
def test_rows_of_a_month_in_the_default_partition_do_not_stop_writes(
    database_url: str, fresh_schema: str, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    migrate(database_url, fresh_schema)
    for (name,) in connection.execute(
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'continuum_events'::regclass and inhrelid::regclass::text not like '%default'"
    ).fetchall():
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(str(name).split(".")[-1])))
    store = open_store(database_url, fresh_schema)
    run_id = uuid4()
    (inserted,) = store.catalog.insert([RunSeed(id=run_id, workflow="flow", args=b"")], owner="n/d/e/1-1")
    assert inserted.token is not None
    step = RunCommit(run_id, inserted.token, 0, [EventRow(1, 1, b"")], "running")
    assert store.journal.commit([step]) == {run_id}
    assert len(ensure_partitions(store.session)) == 2
    assert len(store.catalog.events(run_id)) == 1
    store.close()
