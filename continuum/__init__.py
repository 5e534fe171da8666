"""Durable execution for Python on PostgreSQL: workflows that survive ``kill -9``.

    from continuum import activity, sleep, workflow

    @activity
    def charge(order: str) -> str: ...

    @workflow
    async def checkout(order: str) -> str:
        payment = await charge(order)
        await sleep(3600)
        return payment

What defines workflows is imported at once; clients and nodes, which bring the database driver, when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from continuum.core.attempt import ActivityInfo, activity_info, heartbeat, last_heartbeat
from continuum.core.call import ActivityCall, Call, WorkflowCall, call
from continuum.core.commands.child import ChildRef
from continuum.core.definitions import activity, workflow
from continuum.core.determinism.pure import pure
from continuum.core.effects import (
    RunInfo,
    Signal,
    continue_as_new,
    days,
    hours,
    minutes,
    now,
    patched,
    random,
    run_info,
    seconds,
    side_effect,
    sleep,
    sleep_until,
    start_child,
    today,
    uuid4,
    wait_signal,
)
from continuum.core.saga import compensate, compensate_all, saga
from continuum.errors import (
    ActivityError,
    ActivityTimeoutError,
    ChildError,
    ConfigurationError,
    ContinuumError,
    DeterminismError,
    DeterminismWarning,
    EmbeddedPostgresError,
    Finding,
    JournalError,
    NodeError,
    PayloadError,
    ReplayDriftError,
    RunCancelledError,
    RunExistsError,
    RunFailedError,
    RunNotFoundError,
    RunTerminalError,
    SchemaVersionError,
    SuspendLeakError,
    UnknownInstanceError,
    UnknownWorkflowError,
)
from continuum.model.history import Event, History
from continuum.model.query import asc, attr, desc, field
from continuum.model.retry import Retry
from continuum.model.run import Run

if TYPE_CHECKING:
    from continuum.client import AsyncClient, AsyncRunHandle, Client, Page, RunHandle
    from continuum.client.default import (
        cancel,
        configure,
        get_run,
        handle,
        history,
        query,
        result,
        set_attributes,
        signal,
        start,
        start_many,
    )
    from continuum.node import Node

_LAZY = {
    "continuum.client": ("AsyncClient", "AsyncRunHandle", "Client", "Page", "RunHandle"),
    "continuum.client.default": (
        "cancel",
        "configure",
        "get_run",
        "handle",
        "history",
        "query",
        "result",
        "set_attributes",
        "signal",
        "start",
        "start_many",
    ),
    "continuum.node": ("Node",),
}
_MODULE_OF = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "ActivityCall",
    "ActivityError",
    "ActivityInfo",
    "ActivityTimeoutError",
    "AsyncClient",
    "AsyncRunHandle",
    "Call",
    "ChildError",
    "ChildRef",
    "Client",
    "ConfigurationError",
    "ContinuumError",
    "DeterminismError",
    "DeterminismWarning",
    "EmbeddedPostgresError",
    "Event",
    "Finding",
    "History",
    "JournalError",
    "Node",
    "NodeError",
    "Page",
    "PayloadError",
    "ReplayDriftError",
    "Retry",
    "Run",
    "RunCancelledError",
    "RunExistsError",
    "RunFailedError",
    "RunHandle",
    "RunInfo",
    "RunNotFoundError",
    "RunTerminalError",
    "SchemaVersionError",
    "Signal",
    "SuspendLeakError",
    "UnknownInstanceError",
    "UnknownWorkflowError",
    "WorkflowCall",
    "activity",
    "activity_info",
    "asc",
    "attr",
    "call",
    "cancel",
    "compensate",
    "compensate_all",
    "configure",
    "continue_as_new",
    "days",
    "desc",
    "field",
    "get_run",
    "handle",
    "heartbeat",
    "history",
    "hours",
    "last_heartbeat",
    "minutes",
    "now",
    "patched",
    "pure",
    "query",
    "random",
    "result",
    "run_info",
    "saga",
    "seconds",
    "set_attributes",
    "side_effect",
    "signal",
    "sleep",
    "sleep_until",
    "start",
    "start_child",
    "start_many",
    "today",
    "uuid4",
    "wait_signal",
    "workflow",
]


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
