"""The client for asyncio: it does what the blocking one does, and never blocks the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import psycopg
import pytest

from continuum import (
    AsyncClient,
    Client,
    ContinuumError,
    RunCancelledError,
    RunExistsError,
    RunNotFoundError,
    asc,
)
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, Receipt, archive, checkout

PAID = {"order": "o1", "paid": True}


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@asynchronous
async def test_the_whole_life_of_a_run(database_url: str, instance: str, engine: HandEngine) -> None:
    async with AsyncClient(database_url, instance=instance) as client:
        handle = await client.start(checkout(ORDER), id="order-o1", attributes={"plan": "pro"})
        await handle.signal("approved", True)
        await client.set_attributes("order-o1", {"seen": True})
        assert (await handle.run()).attributes == {"plan": "pro", "seen": True}
        waiting = asyncio.create_task(handle.result(20))
        engine.complete(handle.id, PAID)
        assert await waiting == Receipt("o1", paid=True)
        assert await client.result("order-o1") == Receipt("o1", paid=True)
        assert len(await client.history(handle.id)) == 0
        page = await client.query(order_by=asc("created_at"))
        assert [run.id for run in page.runs] == [handle.id]
        assert client.handle("order-o1") == handle


@asynchronous
async def test_errors_are_those_of_the_blocking_client(database_url: str, instance: str, schema: str) -> None:
    async with AsyncClient(database_url, instance=instance) as client:
        handle = await client.start(checkout(ORDER), id="order-o1")
        with pytest.raises(RunExistsError):
            await client.start(checkout(ORDER), id="order-o1")
        with pytest.raises(RunNotFoundError):
            await client.result("nothing")
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError, match=str(handle.id)):
                await handle.result(timeout)
        await handle.cancel(reason="late")
        with pytest.raises(RunCancelledError, match="late"):
            await handle.result(20)
    with pytest.raises(ContinuumError, match="client is closed"):
        await client.get_run(handle.id)


@asynchronous
async def test_a_cancelled_wait_leaves_nothing_behind(
    database_url: str, instance: str, engine: HandEngine
) -> None:
    async with AsyncClient(database_url, instance=instance) as client:
        handle = await client.start(archive(ORDER))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await handle.result()
        assert not client._waiters._waits


@pytest.mark.rule("W2")
@asynchronous
async def test_hundreds_of_waits_hold_no_thread(database_url: str, instance: str, engine: HandEngine) -> None:
    async with AsyncClient(database_url, instance=instance) as client:
        handles = await client.start_many([archive(ORDER)] * 200)
        waits = asyncio.gather(*(handle.result(60) for handle in handles))
        assert threading.active_count() < 30
        for handle in handles:
            engine.complete(handle.id, "done")
        assert await waits == ["done"] * 200


@pytest.mark.parametrize("commit", [True, False])
def test_a_run_is_part_of_the_transaction_of_an_async_connection(
    database_url: str, instance: str, client: Client, *, commit: bool
) -> None:
    async def start() -> None:
        async with (
            AsyncClient(database_url, instance=instance) as asynchronous_client,
            await psycopg.AsyncConnection.connect(database_url) as connection,
        ):
            await asynchronous_client.start_many([checkout(ORDER)] * 2, connection=connection)
            await asynchronous_client.start(checkout(ORDER), connection=connection)
            await (connection.commit() if commit else connection.rollback())

    asyncio.run(start())
    assert len(client.query().runs) == (3 if commit else 0)


@asynchronous
async def test_a_refused_start_leaves_the_transaction_of_an_async_connection_usable(
    database_url: str, instance: str, engine: HandEngine
) -> None:
    async with (
        AsyncClient(database_url, instance=instance) as client,
        await psycopg.AsyncConnection.connect(database_url) as connection,
    ):
        await client.start(checkout(ORDER), id="b")
        with pytest.raises(RunExistsError):
            await client.start_many([checkout(ORDER)] * 2, ids=["a", "b"], connection=connection)
        await client.start(checkout(ORDER), id="c", connection=connection)
        await connection.commit()
        assert {run.key for run in (await client.query()).runs} == {"b", "c"}


def test_the_loop_runs_while_the_database_works(database_url: str, instance: str, schema: str) -> None:
    """A lock keeps the start waiting; the loop, which would release it, must go on meanwhile."""

    async def start_behind_a_lock() -> None:
        async with (
            AsyncClient(database_url, instance=instance) as client,
            await psycopg.AsyncConnection.connect(database_url) as locking,
        ):
            await locking.execute(f'lock table "{schema}".continuum_runs in exclusive mode'.encode())
            starting = asyncio.create_task(client.start(checkout(ORDER)))
            waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            async with asyncio.timeout(20):
                while not await (await locking.execute(waiting)).fetchone():
                    await locking.execute("select pg_stat_clear_snapshot()")
            await locking.commit()
            await starting

    asyncio.run(start_behind_a_lock())
