"""Rows of the catalog as what users read: runs, results, histories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from continuum.core.definitions import Workflow
from continuum.core.failure import decode_failure
from continuum.errors import ContinuumError, PayloadError, RunCancelledError, RunFailedError
from continuum.model import payload
from continuum.model.events import EventRow
from continuum.model.history import History, Origin, failure_as_dict
from continuum.model.run import Run
from continuum.ports.catalog import Ending, RunRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def run_of(row: RunRow) -> Run:
    """Return the run that a row describes, with its payloads as plain values.

    What is damaged in the row is no reason to show nothing of it, nor of the runs beside it.
    """
    damaged: dict[str, str] = {}
    attributes = row.attributes
    if not isinstance(attributes, dict):
        damaged["attributes"] = f"not a JSON object but {type(attributes).__name__}"
        attributes = {}
    return Run(
        id=row.id,
        key=row.key,
        workflow=row.workflow,
        version_hash=row.version_hash,
        state=row.state,
        namespace=row.namespace,
        attributes=attributes,
        args=_value("args", row.args, damaged),
        result=_value("result", row.result, damaged),
        error=None if row.error is None else failure_as_dict(decode_failure(row.error)),
        parent_run_id=row.parent_run_id,
        correlation_id=row.correlation_id,
        continued_from_run_id=row.continued_from_run_id,
        continued_to_run_id=row.continued_to_run_id,
        created_at=moment(row.created_at),
        started_at=None if row.started_at is None else moment(row.started_at),
        completed_at=None if row.completed_at is None else moment(row.completed_at),
        owner=row.owner,
        attention=row.attention,
        damaged=damaged,
    )


def _value(name: str, data: bytes | None, damaged: dict[str, str]) -> object:
    try:
        return None if data is None else payload.decode(data, path=name)
    except PayloadError as error:
        damaged[name] = str(error)
        return None


def history_of(row: RunRow, events: Sequence[EventRow]) -> History:
    """Return a run's history, with all that its replay needs."""
    origin = Origin(
        run_id=row.id,
        workflow=row.workflow,
        args=row.args,
        created_at=round(row.created_at * 1e6),
        correlation_id=row.correlation_id,
        namespace=row.namespace,
        version_hash=row.version_hash,
        parent_run_id=row.parent_run_id,
        continued_from_run_id=row.continued_from_run_id,
        depth=row.depth,
        begun_at=None if row.begun_at is None else round(row.begun_at * 1e6),
    )
    return History(origin, events)


def outcome_of(ending: Ending, workflow: Workflow[..., Any] | None) -> object:
    """Return the value that a chain of runs ended with, as the workflow's annotation says if it is known.

    Raises:
        RunFailedError, RunCancelledError: it ended so.
        PayloadError: the value does not fit the annotation.
    """
    match ending.state:
        case "completed":
            value = None if ending.result is None else payload.decode(ending.result, path="result")
            return value if workflow is None else workflow.signature.restore_result(value)
        case "failed":
            failure = decode_failure(ending.error or b"")
            raise RunFailedError(
                ending.run_id,
                type=failure.type,
                message=failure.message,
                traceback=failure.traceback,
                cause=failure.cause,
            )
        case "cancelled":
            reason = decode_failure(ending.error).message if ending.error else None
            raise RunCancelledError(ending.run_id, reason or None)
        case _:
            raise ContinuumError(f"run {ending.run_id} is {ending.state} and has no outcome yet; ask again")


def not_ended(run_id: UUID, timeout_s: float) -> TimeoutError:
    """Return what ``result`` raises when its time is over."""
    return TimeoutError(
        f"run {run_id} has not ended after {timeout_s:g} s; it goes on. Ask again with a longer timeout, or look at "
        f"it with `continuum run show {run_id}`"
    )


def moment(seconds: float) -> datetime:
    """Return a stored time as an aware datetime in UTC, the nearest that there is."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # infinity, and years that Python does not have
        return _LAST if seconds > 0 else _FIRST
