"""One attempt of an activity: arguments from a payload, the call, and what came of it as an outcome.

Workers and the test kit go through here, so that values, exceptions and bad payloads end the same way in both (A13):

- a value that can be encoded is an outcome that is ``ok``;
- an exception, ``SystemExit`` and ``KeyboardInterrupt`` too, is a ``Failure``: it never ends the process;
- arguments that do not fit, and results that cannot be encoded, fail for good: another attempt would see the same.

Time-outs are the caller's: it knows the time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol, cast
from uuid import UUID

import msgspec

from continuum.core.definitions import Activity
from continuum.core.failure import bases_of, encode_failure, failure_of
from continuum.errors import ContinuumError, PayloadError
from continuum.model import payload
from continuum.model.events import Failure
from continuum.model.retry import NODE_DRAINED, WORKER_DIED, type_name

UNKNOWN_ACTIVITY = "continuum.UnknownActivity"


class ActivityInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt that runs. ``attempt`` counts from 1. ``idempotency_key`` is the same in every attempt, None if the
    activity has none. ``deadline`` is when it times out, in UTC, None for never."""

    run_id: UUID
    activity: str
    attempt: int
    idempotency_key: str | None = None
    deadline: datetime | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended: ``payload`` is a value's payload if ``ok``, else an encoded ``Failure``.
    ``retryable`` is False for failures that another attempt would only repeat."""

    ok: bool
    payload: bytes
    timed_out: bool = False
    retryable: bool = True


class Pulse(Protocol):
    """Where the heartbeats of an attempt go. ``last``: the details of the attempt before, None if it sent none."""

    @property
    def last(self) -> bytes | None: ...

    def beat(self, details: bytes) -> None:
        """Note that the attempt lives. From any thread, and at once: it is called as often as the user likes."""
        ...


class Unheard:
    """The pulse of an attempt that nobody listens to."""

    last: bytes | None = None

    def beat(self, details: bytes) -> None:
        pass


_UNHEARD = Unheard()
# A callable, because most activities never ask: then nothing is made.
_current: ContextVar[tuple[Callable[[], ActivityInfo], Pulse] | None] = ContextVar(
    "continuum_attempt", default=None
)


def activity_info() -> ActivityInfo:
    """Return the attempt that this code runs in.

    Raises:
        ContinuumError: it does not run in an activity.
    """
    return _running("activity_info")[0]()


def heartbeat(*details: object) -> None:
    """Say that this attempt lives and how far it is. Should it fail, the next one finds ``details`` by
    ``last_heartbeat()``: the last ones that left this process, about one a second does.

    Raises:
        ContinuumError: it does not run in an activity.
        PayloadError: a detail is a value that cannot be stored.
    """
    pulse = _running("heartbeat")[1]
    pulse.beat(payload.encode(list(details), path="heartbeat"))


def last_heartbeat() -> tuple[object, ...] | None:
    """Return the details of the last heartbeat of the attempt before, None if it sent none or this is the first.
    They are plain values: a dataclass comes back as a dict.

    Raises:
        ContinuumError: it does not run in an activity.
    """
    last = _running("last_heartbeat")[1].last
    if last is None:
        return None
    return tuple(cast("list[object]", payload.decode(last, path="last_heartbeat")))


def current_pulse() -> Pulse | None:
    """Return where the heartbeats of the attempt that this code runs in go, None outside of one."""
    running = _current.get()
    return None if running is None else running[1]


def _running(function: str) -> tuple[Callable[[], ActivityInfo], Pulse]:
    running = _current.get()
    if running is None:
        raise ContinuumError(
            f"{function}() was called outside an activity; call it in the body of a function marked @activity"
            " (a thread started by it does not inherit the attempt: let it hand its values back)"
        )
    return running


def decode_arguments(
    definition: Activity[..., Any], args: bytes
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return the arguments in ``args``, typed by the activity's annotations.

    Raises:
        PayloadError: the bytes are no arguments, or one does not fit its annotation.
    """
    return definition.signature.restore_arguments(*payload.decode_arguments(args))


def perform(
    definition: Activity[..., Any],
    args: bytes,
    info: Callable[[], ActivityInfo],
    pulse: Pulse = _UNHEARD,
) -> Outcome:
    """Run an attempt of a ``def`` in this thread."""
    token = _current.set((info, pulse))
    try:
        try:
            positional, keyword = decode_arguments(definition, args)
        except PayloadError as error:
            return failed(error, retryable=False)
        return succeeded(definition.fn(*positional, **keyword))
    except BaseException as error:  # noqa: BLE001  whatever an activity raises is the end of its attempt only
        return failed(error)
    finally:
        _current.reset(token)


async def perform_async(
    definition: Activity[..., Any],
    args: bytes,
    info: Callable[[], ActivityInfo],
    pulse: Pulse = _UNHEARD,
) -> Outcome:
    """Run an attempt of an ``async def`` on the running loop, in a context that is the task's own.

    A cancellation is an outcome too: whoever cancelled knows why, and drops or replaces it.
    """
    _current.set((info, pulse))
    try:
        try:
            positional, keyword = decode_arguments(definition, args)
        except PayloadError as error:
            return failed(error, retryable=False)
        return succeeded(await definition.fn(*positional, **keyword))
    except BaseException as error:  # noqa: BLE001  whatever an activity raises is the end of its attempt only
        return failed(error)


def succeeded(value: object) -> Outcome:
    """Return the outcome of an attempt that returned ``value``."""
    try:
        return Outcome(True, payload.encode(value, path="result"))
    except PayloadError as error:
        return failed(error, retryable=False)


def failed(error: BaseException, *, retryable: bool = True) -> Outcome:
    """Return the outcome of an attempt that ended with ``error``; our own frame is left out of its traceback."""
    try:
        failure = failure_of(error, skip_frames=1)
    except BaseException as broken:  # noqa: BLE001  an exception whose own text exits must not end the process
        what = f"its text could not be made: {type(broken).__name__}"
        failure = Failure(type_name(type(error)), what, bases=bases_of(type(error))[1:])
    return Outcome(False, encode_failure(failure), retryable=retryable)


def timed_out(activity: str, timeout_s: float) -> Outcome:
    """Return the outcome of an attempt that ran for longer than its time-out."""
    return _late(f"{activity} ran for longer than its timeout of {timeout_s:g} s")


def silent(activity: str, heartbeat_timeout_s: float) -> Outcome:
    """Return the outcome of an attempt that sent no heartbeat in time (A11)."""
    return _late(f"{activity} sent no heartbeat within its heartbeat_timeout of {heartbeat_timeout_s:g} s")


def _late(message: str) -> Outcome:
    failure = Failure("TimeoutError", message, bases=bases_of(TimeoutError)[1:])
    return Outcome(False, encode_failure(failure), timed_out=True)


def died(activity: str, how: str) -> Outcome:
    """Return the outcome of an attempt whose process of its own ended without one."""
    message = f"the process of {activity} died during this attempt: {how}"
    return Outcome(False, encode_failure(Failure(WORKER_DIED, message)))


def drained(node: str, after_s: float) -> Outcome:
    """Return the outcome of an attempt that had not ended when its node had to leave."""
    message = f"stopped by the drain of node {node} after {after_s:g} s"
    return Outcome(False, encode_failure(Failure(NODE_DRAINED, message)))


def cut_short(activity: str, error: BaseException) -> Outcome:
    """Return the outcome of an attempt that the worker could not bring to its end, for want of a thread or the like."""
    message = (
        f"the worker could not bring this attempt of {activity} to its end: {type(error).__name__}: {error}"
    )
    return Outcome(False, encode_failure(Failure(WORKER_DIED, message)))


def unknown(activity: str, reason: str) -> Outcome:
    """Return the outcome of an attempt whose function is not loaded here; a worker of newer code may have it."""
    return Outcome(False, encode_failure(Failure(UNKNOWN_ACTIVITY, f"{activity}: {reason}")))
