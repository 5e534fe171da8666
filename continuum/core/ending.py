"""How a run ends, from how its root task ended, or from how it left for a successor."""

from __future__ import annotations

import asyncio
from typing import Any

from continuum.core.commands.continuation import Leaving
from continuum.core.failure import cancellation, encode_failure, failure_of
from continuum.model import payload
from continuum.model.events import CancelRequested
from continuum.model.restore import SignatureRestorer
from continuum.model.run import RunState

End = tuple[RunState, bytes | None, bytes | None]


def ending_of(
    task: asyncio.Task[Any],
    leaving: Leaving | None,
    asked: CancelRequested | None,
    signature: SignatureRestorer,
    at: int,
) -> End:
    """Return (state, payload of the result, encoded failure) of a run that has ended. ``signature``: the workflow's.

    It is cancelled if it was ``asked`` to be and let the ``CancelledError`` pass; one of its own making is a failure
    like any other (C5). Whatever it makes of it, it is cancelled if the time for its clean-up was over ``at`` its last
    event: who asked has counted on that (K4). A result that cannot be a payload fails the run: nobody could read it.
    """
    if asked is not None and at >= asked.at + round(asked.cleanup_s * 1e6):
        return "cancelled", None, encode_failure(cancellation(asked.reason))
    if leaving is not None:
        return ("continued", None, None) if leaving.error is None else _failed(leaving.error)
    if task.cancelled() and asked is not None:
        return "cancelled", None, encode_failure(cancellation(asked.reason))
    error = asyncio.CancelledError("the workflow cancelled itself") if task.cancelled() else task.exception()
    if error is not None:
        return _failed(error)
    try:
        result = payload.encode(task.result(), path="result")
        if signature.plain_result is None:
            result = signature.completed_result(result)
        return "completed", result, None
    except Exception as unencodable:  # noqa: BLE001 - the value is the user's, and so is what encoding it runs
        return _failed(unencodable)


def _failed(error: BaseException) -> End:
    return "failed", None, encode_failure(failure_of(error))
