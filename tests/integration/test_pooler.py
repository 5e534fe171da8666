"""Through PgBouncer in transaction mode everything works; in statement mode nothing is begun."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from continuum import AsyncClient, Client, RunCancelledError, call
from continuum.config import schema_of
from continuum.errors import ContinuumError
from continuum.model.query import field
from continuum.model.run import RunSeed
from continuum.postgres import Listener, migrate, open_store
from tests.cluster.node_flows import chain, family, wait_then_chain
from tests.cluster.nodes import config_of, foreground_node
from tests.integration.commands import Commands
from tests.integration.pooler import POOL_SIZE, needs_pgbouncer, pooler_before

pytestmark = needs_pgbouncer

STARTS = 40


@pytest.fixture
def through(database_url: str, open_folder: Path) -> Iterator[str]:
    """The URL of the test's database, through a pooler in transaction mode."""
    with pooler_before(database_url, open_folder) as url:
        yield url


@pytest.fixture
def instances(database_url: str, through: str, fresh_schema: str) -> Iterator[list[str]]:
    """Two instances, made through the pooler."""
    names = [f"{fresh_schema.removeprefix('continuum_')}_{colour}" for colour in ("red", "blue")]
    for name in names:
        migrate(through, schema_of(name))
    yield names
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema_of(name))))


@pytest.mark.rule("I1")
def test_two_instances_write_into_their_own_schemas_only(
    database_url: str, through: str, instances: list[str]
) -> None:
    def drive(name: str) -> None:
        with Client(through, instance=name) as client:
            for number in range(STARTS):
                run = client.start(call("nobody.has.it", number), id=f"{name}-{number}")
                client.signal(run.id, "hello", number)
                client.set_attributes(run.id, {"of": name})
            page = client.query(where=[field("workflow") == "nobody.has.it"], limit=1000)
            assert {run.attributes["of"] for run in page.runs} == {name}
            assert len(page.runs) == STARTS

    with ThreadPoolExecutor(2 * POOL_SIZE) as threads:
        list(threads.map(drive, instances))
    with psycopg.connect(database_url) as connection:
        for name in instances:
            keys = connection.execute(
                sql.SQL("select key from {}").format(sql.Identifier(schema_of(name), "continuum_runs"))
            ).fetchall()
            assert sorted(key for (key,) in keys) == sorted(f"{name}-{number}" for number in range(STARTS))


def test_what_a_session_sets_for_itself_reaches_nobody_else(through: str, instances: list[str]) -> None:
    with Client(through, instance=instances[0]) as client:
        for number in range(20):
            client.start(call("nobody.has.it", number))
        client.query()
    with psycopg.connect(through, autocommit=True, prepare_threshold=None) as other:
        seen = {
            other.execute(
                "select current_setting('search_path'), current_setting('enable_seqscan')"
            ).fetchone()
            for _ in range(4 * POOL_SIZE)
        }
        names = other.execute("select count(*) from pg_prepared_statements").fetchone()
    assert seen == {('"$user", public', "on")}
    assert names == (0,)


@pytest.mark.cluster
def test_a_node_runs_everything_and_ends_when_it_is_told(
    through: str, instances: list[str], open_folder: Path
) -> None:
    with foreground_node(config_of(through, instances[0], workers=2), open_folder) as node:
        node.wait_ready()
        with Client(through, instance=instances[0]) as client:
            runs = [client.start(chain(6)) for _ in range(10)]
            assert [run.result(timeout=60) for run in runs] == [6] * 10
            parent = client.start(family(3))
            parent.signal("go")
            assert parent.result(timeout=60) == 3
            waiting = client.start(wait_then_chain(2))
            waiting.signal("go")
            assert waiting.result(timeout=60) == 2
            cancelled = client.start(wait_then_chain(2))
            cancelled.cancel()
            with pytest.raises(RunCancelledError):
                cancelled.result(timeout=60)

        async def ask() -> object:
            async with AsyncClient(through, instance=instances[0]) as client:
                return await (await client.start(chain(2))).result(timeout=60)

        assert asyncio.run(ask()) == 2
        assert "connection pooler" in node.log
        assert " ERROR " not in node.log
        node.process.send_signal(signal.SIGTERM)
        assert node.end() == 0


def test_no_listener_hears_through_a_pooler_and_each_knows_it(through: str, instances: list[str]) -> None:
    listener = Listener(through, schema_of(instances[0]))
    listener.reconnect()
    try:
        assert listener.connected
        assert listener.deaf
        assert listener.poll() == []
    finally:
        listener.close()


def test_a_pooler_that_deals_out_sessions_by_the_statement_is_refused(
    database_url: str, instances: list[str], open_folder: Path, tmp_path: Path
) -> None:
    with pooler_before(database_url, open_folder, "statement") as url:
        with pytest.raises(ContinuumError, match="pool_mode"):
            Client(url, instance=instances[0]).start(call("nobody.has.it"))
        store = open_store(url, schema_of(instances[0]))
        with pytest.raises(ContinuumError, match="pool_mode"):
            store.catalog.workflows()
        Commands(tmp_path, url, instances[0])("run", "list").assert_refused(1, "pool_mode")


def test_a_claim_waits_for_the_disk_because_the_poolers_connection_outlives_a_crash(
    through: str, instances: list[str]
) -> None:
    schema = schema_of(instances[0])
    note = """
        create table {0}.notes (setting text);
        create function {0}.note() returns trigger language plpgsql as
            $$ begin insert into {0}.notes values (current_setting('synchronous_commit')); return null; end $$;
        create constraint trigger noted after update on {0}.continuum_runs deferrable initially deferred
            for each row execute function {0}.note()
    """
    with closing(open_store(through, schema)) as store:
        store.session.open().execute(sql.SQL(note).format(sql.Identifier(schema)))
        store.catalog.insert([RunSeed(id=uuid4(), workflow="w", args=b"")])
        store.dispatch.register("n/default/engine-1/b-1", "n", "", 60.0, [("w", "v")])
        assert store.dispatch.claim("n/default/engine-1/b-1", 1)
        noted = store.session.open().execute(
            sql.SQL("select setting <> 'off' from {}.notes").format(sql.Identifier(schema))
        )
        assert noted.fetchall() == [(True,)]
