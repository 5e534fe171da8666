"""Results in all shapes, along chains, without a poll per waiter, and when notifications are lost (W1 to W3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import monotonic
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from continuum import (
    AsyncClient,
    Client,
    ContinuumError,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    call,
)
from continuum.ports.catalog import Ending
from continuum.postgres.catalog import PostgresCatalog
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, Receipt, archive, checkout
from tests.integration.servers import wait_until

PAID = {"order": "o1", "paid": True}


class Looks:
    """Every look at endings: its time and the ids it asks for."""

    def __init__(self) -> None:
        self.made: list[tuple[float, set[UUID]]] = []

    def at_all(self, ids: set[UUID]) -> list[float]:
        return [at for at, asked in self.made if asked == ids]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    endings = PostgresCatalog.endings

    def counted(self: PostgresCatalog, run_ids: Sequence[UUID]) -> dict[UUID, Ending]:
        looks.made.append((monotonic(), set(run_ids)))
        return endings(self, run_ids)

    monkeypatch.setattr(PostgresCatalog, "endings", counted)
    return looks


def continue_as(url: str, schema: str, run_id: UUID, successor: UUID) -> None:
    """Do what a continuation does to the rows of a chain."""
    with psycopg.connect(url) as connection:
        connection.execute(
            sql.SQL(
                "update {}.continuum_runs set state = 'continued', continued_to_run_id = %s, completed_at = now(),"
                " due_at = null, lease_owner = null, lease_token = null where id = %s"
            ).format(sql.Identifier(schema)),
            [successor, run_id],
        )


def test_a_result_is_restored_by_the_annotation_of_the_workflow(client: Client, engine: HandEngine) -> None:
    handle = client.start(checkout(ORDER))
    engine.complete(handle.id, PAID)
    assert handle.result(10) == Receipt("o1", paid=True)
    assert client.result(handle.id) == Receipt("o1", paid=True)


def test_a_result_of_a_workflow_that_is_not_loaded_is_plain(client: Client, engine: HandEngine) -> None:
    handle = client.start(call("shop.elsewhere"))
    engine.complete(handle.id, PAID)
    assert handle.result(10) == PAID


def test_none_is_a_result(client: Client, engine: HandEngine) -> None:
    handle = client.start(call("shop.elsewhere"))
    engine.complete(handle.id, None)
    assert handle.result(10) is None


@pytest.mark.rule("W3")
def test_the_error_of_a_failed_run_is_text(client: Client, engine: HandEngine) -> None:
    handle = client.start(checkout(ORDER))
    error = ValueError("declined")
    error.__cause__ = KeyError("card")
    engine.fail(handle.id, error)
    with pytest.raises(RunFailedError) as failed:
        handle.result(10)
    assert (failed.value.run_id, failed.value.type, failed.value.message) == (
        handle.id,
        "ValueError",
        "declined",
    )
    assert "in fail" in failed.value.traceback
    assert failed.value.cause == "KeyError: 'card'"
    error_of_run = handle.run().error
    assert error_of_run is not None
    assert (error_of_run["type"], error_of_run["cause"]) == ("ValueError", "KeyError: 'card'")


def test_a_cancelled_run_says_why(client: Client) -> None:
    handle = client.start(checkout(ORDER))
    handle.cancel(reason="changed my mind")
    with pytest.raises(RunCancelledError, match="changed my mind") as cancelled:
        handle.result(10)
    assert (cancelled.value.run_id, cancelled.value.reason) == (handle.id, "changed my mind")


def test_a_run_that_does_not_exist_has_no_result(client: Client) -> None:
    with pytest.raises(RunNotFoundError):
        client.result(uuid4())


@pytest.mark.parametrize("timeout", [0, 0.05, -1])
def test_a_wait_ends_with_its_timeout(client: Client, timeout: float) -> None:
    handle = client.start(checkout(ORDER))
    with pytest.raises(TimeoutError, match=str(handle.id)):
        handle.result(timeout)


def test_a_timeout_of_nothing_still_sees_a_run_that_has_ended(client: Client, engine: HandEngine) -> None:
    handle = client.start(archive(ORDER))
    engine.complete(handle.id, "done")
    assert handle.result(0) == "done"


@pytest.mark.rule("W1")
def test_a_result_is_that_of_the_last_run_of_the_chain(
    client: Client, engine: HandEngine, database_url: str, schema: str
) -> None:
    first, second, third = (client.start(flow(ORDER)) for flow in (checkout, checkout, archive))
    continue_as(database_url, schema, first.id, second.id)
    continue_as(database_url, schema, second.id, third.id)
    engine.complete(third.id, "archived")
    assert first.result(10) == "archived"  # by the annotation of the workflow that ended the chain
    assert client.result(second.id) == "archived"


@pytest.mark.rule("W1", "W2")
def test_a_waiter_follows_a_chain_that_grows_meanwhile(
    client: Client, engine: HandEngine, database_url: str, schema: str, looks: Looks
) -> None:
    first, second = client.start(archive(ORDER)), client.start(archive(ORDER))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(first.result, 20)
        wait_until(lambda: len(looks.made) > 0, "the waiter has looked")
        continue_as(database_url, schema, first.id, second.id)
        engine.complete(second.id, "archived")
        assert waiting.result(20) == "archived"


@pytest.mark.rule("W2")
def test_many_waiters_cost_one_query_a_second(
    database_url: str, instance: str, engine: HandEngine, looks: Looks
) -> None:
    async def wait_for_all() -> list[str]:
        async with AsyncClient(database_url, instance=instance) as client:
            handles = await client.start_many([archive(ORDER)] * 50)
            ids = {handle.id for handle in handles}
            waits = asyncio.gather(*(handle.result(30) for handle in handles))
            await asyncio.to_thread(wait_until, lambda: len(looks.at_all(ids)) >= 3, "two scans passed")
            assert len(looks.made) - len(looks.at_all(ids)) <= 50 + 1, "nobody asks for itself but at first"
            for id in ids:
                engine.complete(id, "done")
            return await waits

    assert asyncio.run(wait_for_all()) == ["done"] * 50
    scans = [at for at, asked in looks.made if len(asked) == 50]
    assert all(later - sooner > 0.9 for sooner, later in pairwise(scans))


@pytest.mark.rule("W2")
def test_a_notification_is_followed_by_a_look_at_the_run_that_ended_only(
    client: Client, engine: HandEngine, looks: Looks
) -> None:
    handles = client.start_many([archive(ORDER)] * 3)
    with ThreadPoolExecutor(3) as threads:
        waits = [threads.submit(handle.result, 20) for handle in handles]
        wait_until(lambda: all(looks.at_all({handle.id}) for handle in handles), "all have looked first")
        before = len(looks.made)
        engine.complete(handles[0].id, "done")
        assert waits[0].result(20) == "done"
        assert {handles[0].id} in [asked for _, asked in looks.made[before:]]
        for handle in handles[1:]:
            engine.complete(handle.id, "done")


@pytest.mark.rule("W2")
def test_a_lost_notification_is_made_up_for_by_the_next_scan(
    client: Client, silent_engine: HandEngine, looks: Looks
) -> None:
    handle = client.start(archive(ORDER))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(handle.result, 20)
        wait_until(lambda: len(looks.made) > 1, "the waiter has looked")
        silent_engine.complete(handle.id, "done")
        before = len(looks.made)
        assert waiting.result(20) == "done"
    assert len(looks.made) - before <= 2


@pytest.mark.rule("W2")
def test_a_waiter_survives_the_loss_of_every_connection(
    client: Client, engine: HandEngine, database_url: str, looks: Looks
) -> None:
    handle = client.start(archive(ORDER))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(handle.result, 20)
        wait_until(lambda: len(looks.made) > 0, "the waiter has looked")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name in ('continuum-client', 'continuum-listener') and datname = current_database()"
            )
        engine.complete(handle.id, "done")
        assert waiting.result(20) == "done"


def test_waits_of_one_run_all_end(client: Client, engine: HandEngine) -> None:
    handle = client.start(archive(ORDER))
    with ThreadPoolExecutor(5) as threads:
        waits = [threads.submit(client.result, handle.id, 20) for _ in range(5)]
        engine.complete(handle.id, "done")
        assert [wait.result(20) for wait in waits] == ["done"] * 5


def test_closing_the_client_ends_its_waits(
    database_url: str, instance: str, looks: Looks, schema: str
) -> None:
    client = Client(database_url, instance=instance)
    handle = client.start(archive(ORDER))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(handle.result)
        wait_until(lambda: len(looks.made) > 0, "the waiter has looked")
        client.close()
        with pytest.raises(ContinuumError, match="client was closed"):
            waiting.result(20)
    with pytest.raises(ContinuumError, match="client is closed"):
        handle.result()
