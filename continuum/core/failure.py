"""Exceptions as text: made the same way by workers, engines and the test kit (A13, W3)."""

from __future__ import annotations

import traceback

import msgspec

from continuum.errors import ActivityError, ActivityTimeoutError
from continuum.model.events import Failure
from continuum.model.retry import type_name

MESSAGE_CHARS_MAX = 10_000
TRACEBACK_CHARS_MAX = 20_000

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Failure)


def failure_of(error: BaseException, *, skip_frames: int = 0) -> Failure:
    """Return ``error`` as text. ``skip_frames`` of our own are left out of the head of its traceback.

    An ``ActivityError`` that a workflow lets pass keeps its place as the cause.
    """
    trace = error.__traceback__
    for _ in range(skip_frames):
        trace = trace.tb_next if trace is not None else None
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return Failure(
        type=type_name(type(error)),
        message=_message_of(error)[:MESSAGE_CHARS_MAX],
        traceback="".join(traceback.format_exception(type(error), error, trace))[-TRACEBACK_CHARS_MAX:],
        cause=_describe(cause) if cause is not None else None,
        bases=tuple(
            type_name(base)
            for base in type(error).__mro__[1:]
            if base not in (Exception, BaseException, object)
        ),
    )


def activity_error(failure: Failure, attempts: int, timed_out: bool) -> ActivityError:
    """Return what ``await activity(...)`` raises."""
    kind = ActivityTimeoutError if timed_out else ActivityError
    return kind(failure.message, type=failure.type, attempts=attempts, traceback=failure.traceback)


def cancellation(reason: str | None) -> Failure:
    """Return the failure that stands in the row of a cancelled run."""
    return Failure("continuum.Cancelled", reason or "")


def encode_failure(failure: Failure) -> bytes:
    return _encode(failure)


def decode_failure(data: bytes) -> Failure:
    """Return the failure in ``data``; one that says so if the bytes are damaged."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        return Failure("continuum.DamagedFailure", f"the recorded failure is not readable: {error}")


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may fail; its failure must not hide the first one
        return f"<{type(error).__name__} whose text failed: {type(broken).__name__}>"


def _describe(error: BaseException) -> str:
    message = _message_of(error)
    return f"{type_name(type(error))}: {message}" if message else type_name(type(error))
