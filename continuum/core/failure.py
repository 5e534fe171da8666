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

    An ``ActivityError`` that a workflow lets pass keeps its place as the cause. Never raises, whatever the attributes
    and the text of a user's exception do, and the text can always be stored.
    """
    try:
        return _told(error, skip_frames)
    except BaseException as broken:  # noqa: BLE001 - a failure that cannot be told must still be one
        kind = _storable(str(type.__getattribute__(type(error), "__name__")))
        what = f"<an exception that cannot be shown: {type(broken).__name__}>"
        return Failure(
            kind, what, bases=bases_of(Exception if isinstance(error, Exception) else BaseException)
        )


def bases_of(kind: type[BaseException]) -> tuple[str, ...]:
    """Return the names of the class and its base classes, as far as they are exceptions or mixed into them."""
    return tuple(_storable(type_name(each)) for each in kind.__mro__ if each is not object)


def _told(error: BaseException, skip_frames: int) -> Failure:
    trace = error.__traceback__
    for _ in range(skip_frames):
        trace = trace.tb_next if trace is not None else None
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    text = "".join(traceback.format_exception(type(error), error, trace))
    return Failure(
        type=_storable(type_name(type(error))),
        message=_storable(_message_of(error)[:MESSAGE_CHARS_MAX]),
        traceback=_storable(text[-TRACEBACK_CHARS_MAX:]),
        cause=_storable(_describe(cause)) if cause is not None else None,
        bases=bases_of(type(error))[1:],
    )


def _storable(text: str) -> str:
    """Escape what UTF-8 cannot hold, such as the bytes of a file name that are no text."""
    return text.encode("utf-8", "backslashreplace").decode()


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
    except BaseException as broken:  # noqa: BLE001 - a user's __str__ may raise anything; it must not hide the error
        return f"<{type(error).__name__} whose text failed: {type(broken).__name__}>"


def _describe(error: BaseException) -> str:
    message = _message_of(error)
    return f"{type_name(type(error))}: {message}" if message else type_name(type(error))
