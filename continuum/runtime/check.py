"""Every live run of a database against the code of this process: what a deployment of it would meet.

Runs are read one after the other, oldest first, and none is leased or written; one that moves meanwhile is checked as
far as it had come when it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from continuum.core.definitions import Registry, Workflow
from continuum.core.step import RunIdentity
from continuum.core.verify import Mismatch, verify
from continuum.errors import JournalError, UnknownWorkflowError
from continuum.model.query import Order, Query, field
from continuum.model.run import LIVE_STATES
from continuum.ports.catalog import Catalog, RunRow

PAGE_RUNS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The code that a run would get: its own version, the newest because that adopts it or because the run has no version
# yet, the newest though the run is pinned to another (it would wait), or none.
Choice = Literal["own", "newest", "other", "none"]
Verdict = Literal["matches", "drifts", "unreadable", "no code"]


class CheckedRun(msgspec.Struct, frozen=True):
    """``drift`` is set for a run that drifts, ``reason`` for one whose history cannot be read."""

    run_id: UUID
    workflow: str
    version_hash: str | None
    choice: Choice
    verdict: Verdict
    drift: Mismatch | None = None
    reason: str | None = None


def check_runs(catalog: Catalog, registry: Registry) -> Iterator[CheckedRun]:
    """Check the live runs of all namespaces.

    Raises:
        JournalError: the database is away.
    """
    for row in _live_runs(catalog):
        code, choice = _code_of(registry, row)
        yield _checked(catalog, row, code, choice)


def _checked(catalog: Catalog, row: RunRow, code: Workflow[..., Any] | None, choice: Choice) -> CheckedRun:
    run = CheckedRun(row.id, row.workflow, row.version_hash, choice, "no code")
    if code is None:
        return run
    events = catalog.events(row.id)
    try:
        drift = verify(_identity(row), code, row.args, events) if events else None
    except JournalError as error:
        return msgspec.structs.replace(run, verdict="unreadable", reason=error.reason)
    except Exception as error:  # noqa: BLE001 - a damaged row may say anything, and is only one of many
        reason = f"{type(error).__name__}: {error}"
        return msgspec.structs.replace(run, verdict="unreadable", reason=reason)
    return msgspec.structs.replace(run, verdict="matches" if drift is None else "drifts", drift=drift)


def _code_of(registry: Registry, row: RunRow) -> tuple[Workflow[..., Any] | None, Choice]:
    try:
        code = registry.workflow(row.workflow, row.version_hash)
    except UnknownWorkflowError as error:
        if error.version_hash is None:
            return None, "none"
        newest = registry.workflow(row.workflow)
        return newest, "newest" if newest.versioning == "adopt" else "other"
    return code, "own" if code.version_hash == row.version_hash else "newest"


def _identity(row: RunRow) -> RunIdentity:
    return RunIdentity(
        run_id=row.id,
        workflow=row.workflow,
        namespace=row.namespace,
        begun_at=round((row.begun_at or row.created_at) * 1e6),
        correlation_id=row.correlation_id,
        parent_run_id=row.parent_run_id,
        continued_from_run_id=row.continued_from_run_id,
        depth=row.depth,
    )


def _live_runs(catalog: Catalog) -> Iterator[RunRow]:
    live = (field("state").in_(sorted(LIVE_STATES)),)
    query = Query(namespace=None, where=live, order=Order(descending=False), limit=PAGE_RUNS)
    while True:
        rows = catalog.query(query)
        yield from rows[:PAGE_RUNS]
        if len(rows) <= PAGE_RUNS:
            return
        last = rows[PAGE_RUNS - 1]
        created_at = _EPOCH + timedelta(seconds=last.created_at)
        query = msgspec.structs.replace(query, cursor=(created_at.isoformat(), str(last.id)))
