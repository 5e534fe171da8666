"""How a run ends, from how its root task ended."""

from __future__ import annotations

import asyncio
from typing import Any

from continuum.core.failure import encode_failure, failure_of
from continuum.model import payload
from continuum.model.run import RunState


def ending_of(task: asyncio.Task[Any]) -> tuple[RunState, bytes | None, bytes | None]:
    """Return (state, payload of the result, encoded failure) of a task that is done.

    A result that cannot be a payload fails the run: nobody could read it.
    """
    cancelled = asyncio.CancelledError("the workflow cancelled itself")
    error = cancelled if task.cancelled() else task.exception()
    if error is None:
        try:
            return "completed", payload.encode(task.result(), path="result"), None
        except Exception as unencodable:  # noqa: BLE001 - the value is the user's, and so is what encoding it runs
            error = unencodable
    return "failed", None, encode_failure(failure_of(error, skip_frames=1))
