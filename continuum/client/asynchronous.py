"""The client for asyncio: the methods of the blocking one, as coroutines.

What asks the database runs in a few threads of the client, so the caller's loop never waits for it. A pending
``result`` holds no thread: the listener's thread wakes the loop when the run has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from uuid import UUID

import psycopg

from continuum.client import requests
from continuum.client.blocking import RETRY_S
from continuum.client.borrowed import refuse_unusable
from continuum.client.bridge import blocking_view, to_the_end
from continuum.client.handle import AsyncRunHandle
from continuum.client.link import SESSIONS_MAX, Link
from continuum.client.operations import Operations
from continuum.client.pages import Page, page_of, query_of
from continuum.client.requests import IfExists, RunId, refuse_in_workflow
from continuum.client.rows import not_ended, outcome_of, run_of
from continuum.client.waiting import Waiters, rest_of
from continuum.core.call import WorkflowCall
from continuum.core.definitions import Workflow
from continuum.core.effects import Signal
from continuum.model.history import History
from continuum.model.query import Condition, Order
from continuum.model.retry import Duration, seconds_of, wait_s_of
from continuum.model.run import Run
from continuum.ports.catalog import Ending

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class AsyncClient:
    """Starts runs and speaks with them, for asyncio. It connects when it is first used.

    The arguments and errors are those of :class:`Client`; a method does here what it does there. Its coroutines may
    run on any loop. A coroutine that is cancelled while the database works does not stop that work.
    """

    def __init__(
        self, database: str | None = None, *, instance: str = "default", retry: Duration = RETRY_S
    ) -> None:
        self._link = Link(database, instance, seconds_of(retry))
        self._operations = Operations(self._link)
        self._waiters = Waiters(self._operations.look, self._link.listen)
        self._threads = ThreadPoolExecutor(SESSIONS_MAX, thread_name_prefix="continuum-client")

    async def start(
        self,
        call: WorkflowCall[R],
        *,
        id: RunId | None = None,
        namespace: str = "default",
        attributes: Mapping[str, object] | None = None,
        delay: Duration | None = None,
        connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None = None,
        if_exists: IfExists = "error",
    ) -> AsyncRunHandle[R]:
        """Start a run; see :meth:`Client.start`. ``connection`` may be an ``AsyncConnection`` of the running loop."""
        (handle,) = await self._start(
            "start", [call], None if id is None else [id], namespace, attributes, delay, connection, if_exists
        )
        return handle

    async def start_many(
        self,
        calls: Sequence[WorkflowCall[R]],
        *,
        ids: Sequence[RunId | None] | None = None,
        namespace: str = "default",
        attributes: Mapping[str, object] | None = None,
        delay: Duration | None = None,
        connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None = None,
        if_exists: IfExists = "error",
    ) -> list[AsyncRunHandle[R]]:
        """Start many runs in one transaction; see :meth:`Client.start_many`."""
        return await self._start(
            "start_many", calls, ids, namespace, attributes, delay, connection, if_exists
        )

    async def signal(
        self, run_id: RunId, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None
    ) -> None:
        """Put a signal into the mailbox of a run; see :meth:`Client.signal`."""
        refuse_in_workflow("signal")
        name = requests.signal_name(signal)
        body = requests.signal_payload(name, payload)
        delivery_id = requests.delivery_id(id)
        await self._perform(self._operations.signal, requests.run_id(run_id), name, body, delivery_id)

    async def cancel(
        self, run_id: RunId, *, reason: str | None = None, cleanup: Duration | None = None
    ) -> None:
        """End a run as ``cancelled``, at once or after some time to clean up; see :meth:`Client.cancel`."""
        refuse_in_workflow("cancel")
        checked = requests.run_id(run_id), requests.cancel_reason(reason), requests.cleanup_s(cleanup)
        await self._perform(self._operations.cancel, *checked)

    async def resume(self, run_id: RunId) -> None:
        """Let a run be resumed that engines have died of; see :meth:`Client.resume`."""
        refuse_in_workflow("resume")
        await self._perform(self._operations.resume, requests.run_id(run_id))

    async def result(self, run_id: RunId, timeout: Duration | None = None) -> Any:
        """Wait for the end of a run and return the value; see :meth:`Client.result`."""
        return await self._result(requests.run_id(run_id), None, timeout)

    async def get_run(self, run_id: RunId) -> Run:
        """Return what is known of a run; see :meth:`Client.get_run`."""
        refuse_in_workflow("get_run")
        return run_of(await self._perform(self._operations.get, requests.run_id(run_id)))

    async def history(self, run_id: RunId) -> History:
        """Return a run's events so far; see :meth:`Client.history`."""
        refuse_in_workflow("history")
        return await self._perform(self._operations.history, requests.run_id(run_id))

    def handle(self, run_id: RunId) -> AsyncRunHandle[Any]:
        """Return a handle of a run. Not a coroutine: it asks nothing."""
        return AsyncRunHandle(self, requests.run_id(run_id))

    async def query(
        self,
        *,
        namespace: str | None = "default",
        where: Sequence[Condition] = (),
        order_by: Order | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Run]:
        """Return the runs that satisfy every condition, page by page; see :meth:`Client.query`."""
        refuse_in_workflow("query")
        query = query_of(namespace, where, order_by, limit, cursor)
        return page_of(query, await self._perform(self._operations.query, query))

    async def set_attributes(self, run_id: RunId, attributes: Mapping[str, object]) -> None:
        """Merge ``attributes`` into those of the run; see :meth:`Client.set_attributes`."""
        refuse_in_workflow("set_attributes")
        stored = requests.attributes_json(attributes)
        await self._perform(self._operations.set_attributes, requests.run_id(run_id), stored)

    async def close(self) -> None:
        """Close the connections; pending waits end with an error. May be called twice."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _close(self) -> None:
        self._waiters.close()
        self._link.close()
        self._threads.shutdown()

    async def _perform(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking operation in a thread of the client."""
        self._link.check_open()
        return await asyncio.wrap_future(self._threads.submit(operation, *args, **kwargs))

    async def _start(
        self,
        operation: str,
        calls: Sequence[WorkflowCall[R]],
        ids: Sequence[RunId | None] | None,
        namespace: str,
        attributes: Mapping[str, object] | None,
        delay: Duration | None,
        connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None,
        if_exists: IfExists,
    ) -> list[AsyncRunHandle[R]]:
        refuse_in_workflow(operation)
        seeds = requests.seeds_of(calls, ids, namespace, attributes, delay)
        refuse_unusable(connection, asynchronous=True)
        if ids is None and connection is None:
            self._waiters.expect([seed.id for seed in seeds])
        blocking = blocking_view(connection)
        work = self._perform(self._operations.start, seeds, blocking, requests.if_exists(if_exists))
        await (work if connection is None else to_the_end(work))
        borrowed = connection is not None
        return [
            AsyncRunHandle(self, seed.id, call.target, borrowed)
            for seed, call in zip(seeds, calls, strict=True)
        ]

    async def _result(
        self, run_id: UUID, workflow: Workflow[..., Any] | None, timeout: Duration | None
    ) -> object:
        refuse_in_workflow("result")
        timeout_s = None if timeout is None else wait_s_of(timeout)
        until = None if timeout_s is None else monotonic() + timeout_s
        await self._perform(self._link.open)
        future: Future[Ending] = Future()
        wait = self._waiters.add(run_id, future)
        try:
            await self._perform(self._waiters.look_first, run_id, even_if_young=timeout_s == 0)
            if not future.done():
                async with asyncio.timeout(rest_of(until)):
                    await asyncio.wrap_future(future)
            ending = future.result()
        except TimeoutError:
            assert timeout_s is not None, "without a timeout the wait ends with an answer"
            raise not_ended(run_id, timeout_s) from None
        finally:
            self._waiters.forget(wait)
        if ending.state != "completed" or (workflow is not None and ending.run_id == run_id):
            return outcome_of(ending, workflow)
        return outcome_of(ending, await self._perform(self._operations.workflow_of, run_id, ending, workflow))
