"""A database that is absent, wrong, lost in the middle, or comes back: one clear line, or the right answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from continuum import (
    Client,
    ConfigurationError,
    JournalError,
    RunExistsError,
    RunTerminalError,
    SchemaVersionError,
)
from continuum.client.operations import OWN_AGE_MARGIN_S
from continuum.postgres import migrate
from continuum.postgres.catalog import PostgresCatalog
from continuum.postgres.session import Session
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, Order, archive, checkout
from tests.integration.servers import kill_postmaster, quick, wait_until

TERMINATE = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where application_name = 'continuum-client' and datname = current_database()"
)


def lose_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TERMINATE)
        wait_until(lambda: not connection.execute(TERMINATE).fetchall(), "the sessions are gone")


def lost(operation: str) -> JournalError:
    error = JournalError(operation, "the connection is lost")
    error.__cause__ = psycopg.OperationalError("server closed the connection unexpectedly")
    return error


class Faults:
    """Calls of one method of the catalog whose answers are lost, or that do not arrive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.calls = 0
        self.before: set[int] = set()
        self.after: set[int] = set()
        real = getattr(PostgresCatalog, method)

        def faulty(catalog: PostgresCatalog, *args: Any, **options: Any) -> Any:
            self.calls += 1
            number = self.calls
            if number in self.before:
                raise lost(method)
            answer = real(catalog, *args, **options)
            if number in self.after:
                raise lost(method)
            return answer

        monkeypatch.setattr(PostgresCatalog, method, faulty)


def test_a_start_whose_answer_was_lost_is_not_started_twice_nor_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Faults(monkeypatch, "insert").after = {1, 2, 4}
    by_key = client.start(checkout(ORDER), id="order-o1")
    by_chance = client.start(checkout(ORDER))
    assert {run.id for run in client.query().runs} == {by_key.id, by_chance.id}


def test_start_many_whose_commit_was_lost_starts_all_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.transaction
    commits = iter([True])

    @contextmanager
    def losing(session: Session, operation: str) -> Iterator[None]:
        with real(session, operation):
            yield
        if next(commits, False):
            raise lost(operation)

    monkeypatch.setattr(Session, "transaction", losing)
    handles = client.start_many([checkout(ORDER)] * 3, ids=["a", "b", None])
    assert {run.id for run in client.query().runs} == {handle.id for handle in handles}


def test_a_run_of_somebody_else_is_not_taken_for_our_own(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.start(checkout(Order("theirs", 1)), id="order-o1")
    Faults(monkeypatch, "insert").before = {1}
    with pytest.raises(RunExistsError):
        client.start(checkout(ORDER), id="order-o1")


def test_a_run_that_was_there_before_we_tried_is_not_our_own(
    client: Client, monkeypatch: pytest.MonkeyPatch, database_url: str, schema: str
) -> None:
    client.start(checkout(ORDER), id="order-o1")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            sql.SQL("update {}.continuum_runs set created_at = created_at - %s * interval '1 second'").format(
                sql.Identifier(schema)
            ),
            [OWN_AGE_MARGIN_S + 10],
        )
    Faults(monkeypatch, "insert").before = {1}
    with pytest.raises(RunExistsError):
        client.start(checkout(ORDER), id="order-o1")


def test_a_cancel_whose_answer_was_lost_is_done(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    Faults(monkeypatch, "cancel").after = {1}
    handle = client.start(checkout(ORDER))
    handle.cancel()
    assert handle.run().state == "cancelled"
    with pytest.raises(RunTerminalError):
        handle.cancel()


def test_a_signal_with_an_id_is_sent_again_and_one_without_is_not(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(monkeypatch, "signal")
    faults.after = {1, 3}
    handle = client.start(checkout(ORDER))
    handle.signal("approved", True, id="webhook-1")
    assert faults.calls == 2
    with pytest.raises(JournalError):
        handle.signal("approved", True)
    assert faults.calls == 3


def test_a_client_whose_connections_died_while_idle_does_not_notice(
    client: Client, database_url: str
) -> None:
    handle = client.start(checkout(ORDER))
    lose_connections(database_url)
    handle.signal("approved", True)  # not repeatable: it must not be sent into a dead connection
    lose_connections(database_url)
    assert handle.run().state == "running"


def test_an_outage_that_lasts_too_long_is_an_error(
    database_url: str, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(database_url, instance=instance, retry=0.1) as client:
        handle = client.start(checkout(ORDER))
        faults = Faults(monkeypatch, "get")
        faults.before = set(range(1, 1000))
        with pytest.raises(JournalError):
            handle.run()
        assert faults.calls > 1


def test_operations_and_waits_outlive_a_crash_of_the_database(root: Path) -> None:
    server = quick(root)
    with server:
        migrate(server.url, "continuum")
        with Client(server.url, retry=60) as client, ThreadPoolExecutor(2) as threads:
            handle = client.start(archive(ORDER))
            waiting = threads.submit(handle.result, 60)
            kill_postmaster(server)
            reading = threads.submit(handle.run)
            server.ensure_running()
            assert reading.result(60).state == "running"
            engine = HandEngine(server.url, "continuum")
            engine.complete(handle.id, "done")
            engine.close()
            assert waiting.result(60) == "done"


def test_the_embedded_database_starts_and_migrates_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "pyproject.toml").write_text("[tool.continuum]\n")
    monkeypatch.chdir(root.parent)
    with Client() as client:
        handle = client.start(archive(ORDER))
        kill_postmaster(quick(root))
        assert handle.run().state == "running"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"port": "1", "host": "127.0.0.1"}, "no PostgreSQL listens at 127.0.0.1:1", id="absent"),
        pytest.param({"dbname": "nothing_here"}, "there is no database 'nothing_here'", id="database"),
        pytest.param({"user": "nobody_here"}, "nobody_here", id="user"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_clear_line(
    database_url: str, change: dict[str, str], message: str
) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, **change)
    with Client(url) as client, pytest.raises(ConfigurationError, match=re.escape(message)) as refused:
        client.start(checkout(ORDER))
    assert "\n" not in str(refused.value)


def test_an_older_and_a_newer_schema_are_refused(database_url: str, instance: str, schema: str) -> None:
    with (
        Client(database_url, instance="never_migrated") as client,
        pytest.raises(SchemaVersionError) as refused,
    ):
        client.query()
    assert "continuum db migrate" in str(refused.value)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            sql.SQL(
                "insert into {}.continuum_migrations (version, name, checksum) values (999, 'x', 'x')"
            ).format(sql.Identifier(schema))
        )
    with Client(database_url, instance=instance) as client, pytest.raises(SchemaVersionError, match="newer"):
        client.query()


def test_a_client_connects_late(instance: str) -> None:
    Client("postgresql://nobody@127.0.0.1:1/nothing", instance=instance).close()
