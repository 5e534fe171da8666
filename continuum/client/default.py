"""The module-level functions: those of a client that is made when one is first called, and shared."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

import psycopg

from continuum import config
from continuum.client.blocking import Client
from continuum.client.handle import RunHandle
from continuum.client.pages import Page
from continuum.client.requests import IfExists, RunId, refuse_in_workflow
from continuum.core.call import WorkflowCall
from continuum.core.determinism.settings import UntrustedCalls
from continuum.core.effects import Signal
from continuum.model.history import History
from continuum.model.query import Condition, Order
from continuum.model.retry import Duration
from continuum.model.run import Run

R = TypeVar("R")
T = TypeVar("T")

_lock = Lock()
_client: Client | None = None


def configure(
    *,
    database: str | config.Keep | None = config.Keep.KEEP,
    trusted_modules: Sequence[str] | None = None,
    untrusted_calls: UntrustedCalls | None = None,
) -> None:
    """Set the database that this process uses where no other is passed; None goes back to the environment.

    The default client is closed and made anew by the next module-level function; other clients stay as they are.
    ``trusted_modules`` names modules, with all below them, whose functions workflows may call without a
    warning, and ``untrusted_calls="error"`` refuses all others; both hold for workflows that are defined later. What
    is not passed beside another setting stays as it is; ``configure()`` alone is ``database=None``.

    Raises:
        ConfigurationError: it is no PostgreSQL URL, or a setting that makes no sense; nothing was changed.
    """
    config.configure(database=database, trusted_modules=trusted_modules, untrusted_calls=untrusted_calls)
    _close()


def start(
    call: WorkflowCall[R],
    *,
    id: RunId | None = None,
    namespace: str = "default",
    attributes: Mapping[str, object] | None = None,
    delay: Duration | None = None,
    connection: psycopg.Connection[Any] | None = None,
    if_exists: IfExists = "error",
) -> RunHandle[R]:
    """Start a run with the default client; see :meth:`Client.start`."""
    return _default("start").start(
        call,
        id=id,
        namespace=namespace,
        attributes=attributes,
        delay=delay,
        connection=connection,
        if_exists=if_exists,
    )


def start_many(
    calls: Sequence[WorkflowCall[R]],
    *,
    ids: Sequence[RunId | None] | None = None,
    namespace: str = "default",
    attributes: Mapping[str, object] | None = None,
    delay: Duration | None = None,
    connection: psycopg.Connection[Any] | None = None,
    if_exists: IfExists = "error",
) -> list[RunHandle[R]]:
    """Start many runs in one transaction with the default client; see :meth:`Client.start_many`."""
    return _default("start_many").start_many(
        calls,
        ids=ids,
        namespace=namespace,
        attributes=attributes,
        delay=delay,
        connection=connection,
        if_exists=if_exists,
    )


def signal(
    run_id: RunId, signal: Signal[T] | str, payload: T | None = None, *, id: str | None = None
) -> None:
    """Put a signal into the mailbox of a run with the default client; see :meth:`Client.signal`."""
    _default("signal").signal(run_id, signal, payload, id=id)


def cancel(run_id: RunId, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
    """End a run as ``cancelled`` with the default client; see :meth:`Client.cancel`."""
    _default("cancel").cancel(run_id, reason=reason, cleanup=cleanup)


def result(run_id: RunId, timeout: Duration | None = None) -> Any:
    """Wait for the end of a run and return the value, with the default client; see :meth:`Client.result`."""
    return _default("result").result(run_id, timeout)


def get_run(run_id: RunId) -> Run:
    """Return what is known of a run, with the default client; see :meth:`Client.get_run`."""
    return _default("get_run").get_run(run_id)


def history(run_id: RunId) -> History:
    """Return a run's events so far, with the default client; see :meth:`Client.history`."""
    return _default("history").history(run_id)


def handle(run_id: RunId) -> RunHandle[Any]:
    """Return a handle of a run, of the default client; whether the run exists is not asked."""
    return _default("handle").handle(run_id)


def query(
    *,
    namespace: str | None = "default",
    where: Sequence[Condition] = (),
    order_by: Order | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Run]:
    """Return the runs that satisfy every condition, with the default client; see :meth:`Client.query`."""
    return _default("query").query(
        namespace=namespace, where=where, order_by=order_by, limit=limit, cursor=cursor
    )


def set_attributes(run_id: RunId, attributes: Mapping[str, object]) -> None:
    """Merge attributes into those of a run, with the default client; see :meth:`Client.set_attributes`."""
    _default("set_attributes").set_attributes(run_id, attributes)


def _default(operation: str) -> Client:
    global _client
    refuse_in_workflow(operation)
    with _lock:
        if _client is None:
            _client = Client()
        return _client


def _close() -> None:
    global _client
    with _lock:
        client, _client = _client, None
    if client is not None:
        client.close()


def _forget() -> None:
    """In a forked child: the connections and threads are the parent's."""
    global _client, _lock
    _client, _lock = None, Lock()


atexit.register(_close)
os.register_at_fork(after_in_child=_forget)
