"""The blocking client: starts runs, signals, cancels, waits and looks, with nothing but a database URL (API §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import psycopg

from continuum.client import requests
from continuum.client.borrowed import refuse_unusable
from continuum.client.handle import RunHandle
from continuum.client.link import Link
from continuum.client.operations import Operations
from continuum.client.pages import Page, page_of, query_of
from continuum.client.requests import IfExists, RunId, refuse_in_workflow
from continuum.client.rows import not_ended, outcome_of, run_of
from continuum.client.waiting import Waiters
from continuum.core.call import WorkflowCall
from continuum.core.definitions import Workflow
from continuum.core.effects import Signal
from continuum.model.history import History
from continuum.model.query import Condition, Order
from continuum.model.retry import Duration, seconds_of, wait_s_of
from continuum.model.run import Run

R = TypeVar("R")
T = TypeVar("T")

RETRY_S = 5.0


class Client:
    """Starts runs and speaks with them. Threads may share it; it connects when it is first used.

    ``database``: a PostgreSQL URL; without one it is that of `configure`, of ``CONTINUUM_DATABASE_URL``, of
    ``pyproject.toml``, or the embedded server. ``instance`` names a separate schema. ``retry``: how long (seconds or
    timedelta) an operation that can be repeated is tried again while the database is away.

    Every method may raise ``ConfigurationError`` when the first connection fails, ``SchemaVersionError`` when the
    schema is not this version's, ``JournalError`` when the database is away for longer than ``retry``, and raises
    ``DeterminismError`` in workflow code.
    """

    def __init__(
        self, database: str | None = None, *, instance: str = "default", retry: Duration = RETRY_S
    ) -> None:
        self._link = Link(database, instance, seconds_of(retry))
        self._operations = Operations(self._link)
        self._waiters = Waiters(self._operations.look, self._link.listen)

    def start(
        self,
        call: WorkflowCall[R],
        *,
        id: RunId | None = None,
        namespace: str = "default",
        attributes: Mapping[str, object] | None = None,
        delay: Duration | None = None,
        connection: psycopg.Connection[Any] | None = None,
        if_exists: IfExists = "error",
    ) -> RunHandle[R]:
        """Start a run; when this returns, it is durable.

        ``id``: a key of your own; the same key is the same run. ``delay``: seconds or timedelta before it begins.
        ``connection``: an open psycopg connection, to make the run a part of its transaction: it starts with the
        commit, and not at all after a rollback. ``if_exists="attach"`` returns the run that has the id already.

        Raises:
            TypeError: ``call`` is no call of a workflow.
            RunExistsError: the id is taken; nothing was started.
            PayloadError: an argument cannot be encoded; nothing was started.
        """
        (handle,) = self._start(
            "start", [call], None if id is None else [id], namespace, attributes, delay, connection, if_exists
        )
        return handle

    def start_many(
        self,
        calls: Sequence[WorkflowCall[R]],
        *,
        ids: Sequence[RunId | None] | None = None,
        namespace: str = "default",
        attributes: Mapping[str, object] | None = None,
        delay: Duration | None = None,
        connection: psycopg.Connection[Any] | None = None,
        if_exists: IfExists = "error",
    ) -> list[RunHandle[R]]:
        """Start many runs in one transaction: all, or none. ``ids`` has one id, or None, for each call.

        Raises:
            TypeError, RunExistsError, PayloadError: as for `start`; nothing was started.
        """
        return self._start("start_many", calls, ids, namespace, attributes, delay, connection, if_exists)

    def signal(
        self, run_id: RunId, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None
    ) -> None:
        """Put a signal into the mailbox of a run, or of the run that continued it; durable when this returns.

        ``id`` makes the delivery idempotent: the same id is accepted once.

        Raises:
            RunNotFoundError, RunTerminalError: there is no such run, or it has ended.
            PayloadError: the payload cannot be encoded.
        """
        refuse_in_workflow("signal")
        name = requests.signal_name(signal)
        body = requests.signal_payload(name, payload)
        self._operations.signal(requests.run_id(run_id), name, body, requests.delivery_id(id))

    def cancel(self, run_id: RunId, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """End a run as ``cancelled``, at once, with its children and theirs; the run that continued it, if one did.

        With ``cleanup`` (seconds or timedelta) the run goes on: ``asyncio.CancelledError`` is raised in the workflow
        and its descendants, which may still run activities. Whoever has not ended when that time is over is ended then.

        Raises:
            RunNotFoundError, RunTerminalError: there is no such run, or it has ended.
        """
        refuse_in_workflow("cancel")
        self._operations.cancel(
            requests.run_id(run_id), requests.cancel_reason(reason), requests.cleanup_s(cleanup)
        )

    def resume(self, run_id: RunId) -> None:
        """Let a run be resumed that was set aside because engines died of it, again and again (its ``attention`` says
        so). It begins with no such death on its record, and alone.

        Raises:
            RunNotFoundError, RunTerminalError: there is no such run, or it has ended.
            ContinuumError: it was not set aside.
        """
        refuse_in_workflow("resume")
        self._operations.resume(requests.run_id(run_id))

    def result(self, run_id: RunId, timeout: Duration | None = None) -> Any:
        """Wait for the end of a run, and of those that continue it, and return the value.

        The value is restored by the workflow's annotation if this process has loaded the workflow; else it comes in
        plain values. ``timeout``: seconds or timedelta, None for none; the wait outlives a restart of the database.

        Raises:
            RunFailedError, RunCancelledError: it ended so.
            RunNotFoundError: there is no such run.
            TimeoutError: the time is over; the run goes on.
        """
        return self._result(requests.run_id(run_id), None, timeout)

    def get_run(self, run_id: RunId) -> Run:
        """Return what is known of a run.

        Raises:
            RunNotFoundError: there is no such run.
        """
        refuse_in_workflow("get_run")
        return run_of(self._operations.get(requests.run_id(run_id)))

    def history(self, run_id: RunId) -> History:
        """Return a run's events so far.

        Raises:
            RunNotFoundError: there is no such run.
        """
        refuse_in_workflow("history")
        return self._operations.history(requests.run_id(run_id))

    def handle(self, run_id: RunId) -> RunHandle[Any]:
        """Return a handle of a run; whether the run exists is not asked."""
        return RunHandle(self, requests.run_id(run_id))

    def query(
        self,
        *,
        namespace: str | None = "default",
        where: Sequence[Condition] = (),
        order_by: Order | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Run]:
        """Return the runs that satisfy every condition of ``where``, newest first unless ``order_by`` says otherwise.

        ``namespace=None``: of all namespaces. ``limit``: 1 to 1,000. ``cursor``: ``next_cursor`` of the page before;
        pages do not shift while runs are added.

        Raises:
            ConfigurationError: the limit or the cursor is none.
        """
        refuse_in_workflow("query")
        query = query_of(namespace, where, order_by, limit, cursor)
        return page_of(query, self._operations.query(query))

    def set_attributes(self, run_id: RunId, attributes: Mapping[str, object]) -> None:
        """Merge ``attributes`` into those of the run; others keep their values, also when others write at once.

        Raises:
            RunNotFoundError: there is no such run.
            PayloadError: a value is not JSON.
        """
        refuse_in_workflow("set_attributes")
        stored = requests.attributes_json(attributes)
        self._operations.set_attributes(requests.run_id(run_id), stored)

    def close(self) -> None:
        """Close the connections; waits of other threads end with an error. May be called twice."""
        self._waiters.close()
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(
        self,
        operation: str,
        calls: Sequence[WorkflowCall[R]],
        ids: Sequence[RunId | None] | None,
        namespace: str,
        attributes: Mapping[str, object] | None,
        delay: Duration | None,
        connection: psycopg.Connection[Any] | None,
        if_exists: IfExists,
    ) -> list[RunHandle[R]]:
        refuse_in_workflow(operation)
        seeds = requests.seeds_of(calls, ids, namespace, attributes, delay)
        refuse_unusable(connection)
        if ids is None and connection is None:
            self._waiters.expect([seed.id for seed in seeds])
        self._operations.start(seeds, connection, requests.if_exists(if_exists))
        borrowed = connection is not None
        return [
            RunHandle(self, seed.id, call.target, borrowed) for seed, call in zip(seeds, calls, strict=True)
        ]

    def _result(self, run_id: UUID, workflow: Workflow[..., Any] | None, timeout: Duration | None) -> object:
        refuse_in_workflow("result")
        timeout_s = None if timeout is None else wait_s_of(timeout)
        until = None if timeout_s is None else monotonic() + timeout_s
        self._link.open()
        try:
            ending = self._waiters.end_of(run_id, until)
        except TimeoutError:
            assert timeout_s is not None, "without a timeout the wait ends with an answer"
            raise not_ended(run_id, timeout_s) from None
        return outcome_of(ending, self._operations.workflow_of(run_id, ending, workflow))
