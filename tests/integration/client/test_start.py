"""Starting runs: ids, attachment, many at once, within the caller's transaction, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

import continuum
from continuum import (
    AsyncClient,
    Client,
    ConfigurationError,
    PayloadError,
    RunExistsError,
    RunNotFoundError,
    UnknownInstanceError,
    WorkflowCall,
    call,
)
from continuum.model.ids import run_id_of
from continuum.postgres import migrate
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, Order, archive, charge, checkout


def count(client: Client) -> int:
    return len(client.query(namespace=None, limit=1000).runs)


def test_a_run_has_the_arguments_and_options_that_it_was_started_with(client: Client) -> None:
    run = client.start(
        checkout(ORDER), id="order-o1", namespace="billing", attributes={"plan": "pro", "tags": ["a"]}
    ).run()
    assert (run.id, run.key, run.workflow) == (run_id_of("order-o1"), "order-o1", checkout.name)
    assert run.args == [[{"id": "o1", "cents": 4200}], {}]
    assert (run.namespace, run.attributes, run.state) == (
        "billing",
        {"plan": "pro", "tags": ["a"]},
        "running",
    )
    assert (run.version_hash, run.correlation_id) == (checkout.version_hash, run.id)


def test_runs_without_an_id_get_time_ordered_ones(client: Client) -> None:
    ids = [client.start(checkout(ORDER)).id for _ in range(3)]
    assert len(set(ids)) == 3
    assert {id.version for id in ids} == {7}


def test_a_run_is_found_by_uuid_by_its_text_and_by_its_key(client: Client) -> None:
    handle = client.start(checkout(ORDER), id="order-o1")
    assert {client.get_run(id).id for id in (handle.id, str(handle.id), "order-o1")} == {handle.id}
    assert client.handle("order-o1") == handle


def test_a_uuid_can_be_the_id_of_a_run(client: Client) -> None:
    id = uuid4()
    assert client.start(checkout(ORDER), id=id).id == id
    assert client.start(checkout(ORDER), id=str(id), if_exists="attach").id == id


def test_a_second_start_with_an_id_is_refused(client: Client) -> None:
    client.start(checkout(ORDER), id="order-o1")
    with pytest.raises(RunExistsError, match="order-o1") as refused:
        client.start(checkout(ORDER), id="order-o1")
    assert refused.value.run_id == run_id_of("order-o1")
    assert refused.value.key == "order-o1"


def test_attaching_returns_the_run_that_exists(client: Client, engine: HandEngine) -> None:
    first = client.start(checkout(ORDER), id="order-o1")
    second = client.start(checkout(Order("other", 1)), id="order-o1", if_exists="attach")
    engine.complete(first.id, {"order": "o1", "paid": True})
    assert second.result(5).order == "o1"


def test_attaching_starts_a_run_that_does_not_exist(client: Client) -> None:
    assert client.start(checkout(ORDER), id="new", if_exists="attach").run().state == "running"


def assert_names_both(refused: pytest.ExceptionInfo[RunExistsError]) -> None:
    assert refused.value.run_id == run_id_of("order-o1")
    for name in ("order-o1", str(run_id_of("order-o1")), checkout.name, archive.name, "nothing was started"):
        assert name in str(refused.value)


@pytest.mark.rule("D8")
def test_nobody_attaches_to_a_run_of_another_workflow(client: Client) -> None:
    client.start(checkout(ORDER), id="order-o1")
    with pytest.raises(RunExistsError) as refused:
        client.start(archive(ORDER), id="order-o1", if_exists="attach")
    assert_names_both(refused)


@pytest.mark.rule("D8")
def test_of_many_runs_none_is_started_if_one_would_attach_to_another_workflow(client: Client) -> None:
    client.start(checkout(ORDER), id="order-o1")
    with pytest.raises(RunExistsError) as refused:
        client.start_many([archive(ORDER), archive(ORDER)], ids=["new", "order-o1"], if_exists="attach")
    assert_names_both(refused)
    assert count(client) == 1


@pytest.mark.rule("D8")
def test_nobody_attaches_to_another_workflow_in_a_callers_transaction(
    client: Client, connection: psycopg.Connection[object]
) -> None:
    client.start(checkout(ORDER), id="order-o1", connection=connection)  # nobody else sees it yet
    with pytest.raises(RunExistsError) as refused:
        client.start(archive(ORDER), id="order-o1", if_exists="attach", connection=connection)
    assert_names_both(refused)
    connection.commit()
    assert count(client) == 1


@pytest.mark.rule("D8")
def test_no_asyncio_client_attaches_to_a_run_of_another_workflow(
    client: Client, database_url: str, instance: str
) -> None:
    async def attach() -> None:
        async with AsyncClient(database_url, instance=instance) as asynchronous:
            await asynchronous.start(archive(ORDER), id="order-o1", if_exists="attach")

    client.start(checkout(ORDER), id="order-o1")
    with pytest.raises(RunExistsError) as refused:
        asyncio.run(attach())
    assert_names_both(refused)


@pytest.mark.rule("D8")
def test_a_refused_start_names_the_workflow_that_has_the_id(client: Client) -> None:
    client.start(checkout(ORDER), id="order-o1")
    with pytest.raises(RunExistsError) as refused:
        client.start(archive(ORDER), id="order-o1")
    assert_names_both(refused)


def test_of_many_simultaneous_starts_with_one_id_one_wins(client: Client) -> None:
    together = Barrier(8)

    def start(_: int) -> bool:
        together.wait()
        try:
            client.start(checkout(ORDER), id="order-o1")
        except RunExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(start, range(8))) == 1


def test_threads_share_a_client(client: Client, engine: HandEngine) -> None:
    def start(number: int) -> UUID:
        return client.start(archive(Order(str(number), number))).id

    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(start, range(100)))
        engine.claim()
        for number, id in enumerate(ids):
            engine.complete(id, str(number))
        assert list(threads.map(client.result, ids)) == [str(number) for number in range(100)]


def test_a_delay_keeps_dispatchers_away(client: Client, engine: HandEngine) -> None:
    client.start(checkout(ORDER), delay=3600)
    client.start(checkout(ORDER), delay=timedelta(hours=1))
    due = client.start(checkout(ORDER))
    assert set(engine.claim()) == {due.id}


def test_a_workflow_is_started_by_name(client: Client) -> None:
    run = client.start(call("shop.flows.elsewhere", 1, b=2)).run()
    assert (run.workflow, run.args, run.version_hash) == ("shop.flows.elsewhere", [[1], {"b": 2}], None)


def test_start_many_starts_all(client: Client) -> None:
    calls: list[WorkflowCall[Any]] = [checkout(ORDER), archive(ORDER)]
    handles = client.start_many(calls, ids=["a", None], namespace="batch")
    assert [handle.run().workflow for handle in handles] == [checkout.name, archive.name]
    assert handles[0].id == run_id_of("a")
    assert {handle.run().namespace for handle in handles} == {"batch"}
    assert client.start_many([]) == []


def test_start_many_starts_none_if_one_exists(client: Client) -> None:
    client.start(checkout(ORDER), id="b")
    with pytest.raises(RunExistsError, match="'b'"):
        client.start_many([checkout(ORDER), checkout(ORDER)], ids=["a", "b"])
    assert count(client) == 1


def test_start_many_attaches_to_those_that_exist(client: Client) -> None:
    first = client.start(checkout(ORDER), id="b")
    handles = client.start_many([checkout(ORDER), checkout(ORDER)], ids=["a", "b"], if_exists="attach")
    assert handles[1] == first
    assert count(client) == 2


@pytest.mark.parametrize("number", [1, 2], ids=["start", "start_many"])
def test_a_run_starts_with_the_commit_of_the_callers_transaction(
    client: Client, engine: HandEngine, connection: psycopg.Connection[object], number: int
) -> None:
    handles = client.start_many([checkout(ORDER)] * number, connection=connection)
    with pytest.raises(RunNotFoundError):
        client.result(handles[0].id, 1)
    assert not engine.claim()
    connection.commit()
    assert set(engine.claim()) == {handle.id for handle in handles}


@pytest.mark.parametrize("number", [1, 2], ids=["start", "start_many"])
def test_a_rollback_of_the_callers_transaction_leaves_no_run(
    client: Client, connection: psycopg.Connection[object], number: int
) -> None:
    client.start_many([checkout(ORDER)] * number, connection=connection)
    connection.rollback()
    assert count(client) == 0


def test_a_start_in_a_transaction_wakes_at_its_commit(
    client: Client, connection: psycopg.Connection[object], schema: str, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as listening:
        listening.execute(f'listen "{schema}_due"'.encode())
        client.start(checkout(ORDER), connection=connection)
        assert not list(listening.notifies(timeout=0))
        connection.commit()
        assert [notice.payload for notice in listening.notifies(timeout=10, stop_after=1)] == ["due"]


def test_a_refused_start_leaves_the_callers_transaction_usable(
    client: Client, connection: psycopg.Connection[object]
) -> None:
    client.start(checkout(ORDER), id="b")
    connection.execute("create temporary table notes (text text) on commit drop")
    with pytest.raises(RunExistsError):
        client.start_many([checkout(ORDER), checkout(ORDER)], ids=["a", "b"], connection=connection)
    connection.execute("insert into notes values ('still here')")
    connection.commit()
    assert count(client) == 1


def test_the_callers_connection_is_left_as_it_was(
    client: Client, connection: psycopg.Connection[object]
) -> None:
    connection.execute("set search_path = pg_catalog")
    connection.row_factory = psycopg.rows.dict_row
    client.start(checkout(ORDER), connection=connection)
    assert connection.execute("show search_path").fetchone() == {"search_path": "pg_catalog"}
    assert connection.autocommit is False


def test_a_start_by_a_connection_in_autocommit_is_durable_at_once(client: Client, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        client.start(checkout(ORDER), connection=connection)
    assert count(client) == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        pytest.param(lambda: checkout, "checkout.*call the @workflow", id="definition"),
        pytest.param(lambda: charge(ORDER), "is an activity", id="activity"),
        pytest.param(lambda: print, "takes the call of a workflow, not print", id="function"),
        pytest.param(lambda: "shop.checkout", "continuum.call", id="name"),
    ],
)
@pytest.mark.rule("D1")
def test_what_is_no_call_of_a_workflow_is_refused(
    client: Client, target: Callable[[], object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        client.start(target())  # type: ignore[arg-type]
    assert count(client) == 0


def test_an_argument_that_cannot_be_encoded_is_named(client: Client) -> None:
    with pytest.raises(PayloadError) as refused:
        client.start(call("shop.flows.elsewhere", 1, [{"price": object()}]))
    assert refused.value.path == "shop.flows.elsewhere args[1][0]['price']"
    with pytest.raises(PayloadError) as refused:
        client.start(call("shop.flows.elsewhere", handler=print))
    assert refused.value.path == "shop.flows.elsewhere kwargs['handler']"
    assert count(client) == 0


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"id": ""}, id="empty id"),
        pytest.param({"id": "a\0b"}, id="NUL in id"),
        pytest.param({"id": "\ud800"}, id="surrogate in id"),
        pytest.param({"id": "x" * 2000}, id="long id"),
        pytest.param({"namespace": ""}, id="empty namespace"),
        pytest.param({"if_exists": "ignore"}, id="if_exists"),
        pytest.param({"attributes": {"a": object()}}, id="attribute"),
        pytest.param({"attributes": {"a": float("nan")}}, id="nan"),
        pytest.param({"attributes": {"a": "\0"}}, id="NUL in attribute"),
        pytest.param({"attributes": {1: 2}}, id="key of attribute"),
        pytest.param({"attributes": {"a": [{"b": "\ud800"}]}}, id="surrogate in attribute"),
        pytest.param({"attributes": {"a\0": 1}}, id="NUL in key of attribute"),
        pytest.param({"attributes": {"\udfff": 1}}, id="surrogate in key of attribute"),
        pytest.param({"namespace": "a\0"}, id="NUL in namespace"),
        pytest.param({"namespace": "\ud800"}, id="surrogate in namespace"),
    ],
)
def test_options_that_cannot_be_stored_are_refused(client: Client, options: dict[str, object]) -> None:
    with pytest.raises((ConfigurationError, PayloadError)):
        client.start(checkout(ORDER), **options)  # type: ignore[arg-type]
    assert count(client) == 0


def test_a_text_that_only_spells_an_escape_is_stored(client: Client) -> None:
    run = client.start(checkout(ORDER), attributes={"a": "\\u0000", "b": "\\ud800", "c": "\U0001f600"})
    assert run.run().attributes == {"a": "\\u0000", "b": "\\ud800", "c": "\U0001f600"}


def test_attributes_that_cannot_be_stored_are_refused_when_they_are_set(client: Client) -> None:
    run = client.start(checkout(ORDER), attributes={"a": 1})
    for value in ("\0", "\ud800", ["\udfff"], {"x\0": 1}):
        with pytest.raises(PayloadError, match="cannot store"):
            client.set_attributes(run.id, {"a": value})
    assert run.run().attributes == {"a": 1}


def test_ids_must_fit_the_calls(client: Client) -> None:
    with pytest.raises(ConfigurationError, match="2 calls have 1 ids"):
        client.start_many([checkout(ORDER), checkout(ORDER)], ids=["a"])
    with pytest.raises(ConfigurationError, match="the same"):
        client.start_many([checkout(ORDER), checkout(ORDER)], ids=["a", "a"])


@pytest.mark.rule("I2")
def test_an_instance_that_nobody_has_made_is_refused_with_the_names_that_there_are(
    client: Client, database_url: str, instance: str
) -> None:
    with Client(database_url, instance="nobody") as typo:
        for act in (lambda: typo.start(checkout(ORDER)), typo.query, lambda: typo.result("o1")):
            with pytest.raises(UnknownInstanceError, match=f"no instance 'nobody' .* has .*{instance}"):
                act()
    with psycopg.connect(database_url) as connection:
        found = connection.execute("select from pg_namespace where nspname = 'continuum_nobody'").fetchall()
    assert not found, "and nothing was made"


@pytest.mark.rule("I2")
def test_an_async_client_and_the_default_client_refuse_an_unknown_instance_too(database_url: str) -> None:
    async def query() -> None:
        async with AsyncClient(database_url, instance="nobody") as client:
            await client.query()

    with pytest.raises(UnknownInstanceError, match="continuum db migrate --instance nobody"):
        asyncio.run(query())
    continuum.configure(database=database_url)
    try:
        with pytest.raises(UnknownInstanceError):
            Client(instance="nobody").start(checkout(ORDER))
    finally:
        continuum.configure()


@pytest.mark.rule("I2")
def test_a_client_finds_its_instance_as_soon_as_it_is_made(database_url: str, fresh_schema: str) -> None:
    with Client(database_url, instance=fresh_schema.removeprefix("continuum_")) as client:
        with pytest.raises(UnknownInstanceError):
            client.query()
        migrate(database_url, fresh_schema)
        assert client.query().runs == []


@pytest.mark.rule("I1")
def test_instances_of_one_database_do_not_see_each_other(
    client: Client, database_url: str, schema: str
) -> None:
    other = f"{schema}_b"
    migrate(database_url, other)
    try:
        with Client(database_url, instance=other.removeprefix("continuum_")) as neighbour:
            run = client.start(checkout(ORDER), id="o1")
            assert neighbour.query(namespace=None).runs == []
            with pytest.raises(RunNotFoundError):
                neighbour.cancel(run.id)
            neighbour.start(checkout(ORDER), id="o1")
            neighbour.cancel("o1")
            assert client.get_run("o1").state == "running"
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(other)))
