"""What a journal records, one frozen struct per kind of event (SEMANTICS R1).

An event is either a *command*, which the code issued (``ActivityScheduled``, ``TimerStarted``, ...), or an *arrival*,
which came from outside and names the command it answers by that command's sequence number (``command``). A few
events are both at once: a signal that was there already is only ``SignalReceived`` (S2).

Bodies are msgpack arrays without names: the kind stands in a column of its own. Values of user code are nested as
bytes of the payload codec, so that a journal can be read without the user's classes. Fields are only ever added at
the end, with a default: a new reader must read old bodies. ``site`` is ``file:line``, for people, and never compared.
``draws`` is what the code drew before a command (see core/draws), None in what was recorded before that was.
``at`` is the database's time in microseconds since the epoch, as the code saw it when the event was delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from continuum.errors import JournalError


class Failure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An exception as text: it is read without the user's classes (W3).

    ``type`` is ``ValueError`` for a builtin, ``module.Name`` otherwise; ``bases`` are the names of its base classes
    up to ``BaseException``, by which ``Retry.non_retryable`` also finds subclasses; what is no exception has none.
    """

    type: str
    message: str
    traceback: str = ""
    cause: str | None = None
    bases: tuple[str, ...] = ()


class SideEffect(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``function``: name and code of what was run, as `core.commands.effect` tells them; empty in what was recorded
    before that was."""

    value: bytes
    site: str = ""
    failure: Failure | None = None
    function: str = ""
    draws: str | None = None


class ActivityScheduled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Attempt 1 of an activity. ``crew`` is the set of workers that may have it (see runtime/attempts)."""

    activity: str
    args: bytes
    site: str = ""
    crew: str = ""
    draws: str | None = None


class ActivityRetried(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The attempt before ``attempt`` failed; this one may start ``delay_s`` later. ``details``: the payload
    of the last heartbeat before it, empty if there was none (A11). ``at``: when that was, 0 in older journals."""

    command: int
    attempt: int
    delay_s: float
    failure: Failure
    crew: str = ""
    details: bytes = b""
    at: int = 0


class ActivityCompleted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    command: int
    value: bytes
    at: int


class ActivityFailed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Final. ``timed_out`` makes the code see an ``ActivityTimeoutError``."""

    command: int
    failure: Failure
    attempts: int
    at: int
    timed_out: bool = False


class SignalAwaited(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A wait on an empty mailbox; with ``timeout_s`` it is also a durable timer of the same sequence number."""

    name: str
    timeout_s: float | None = None
    site: str = ""
    draws: str | None = None


class SignalReceived(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``command`` is the ``SignalAwaited`` it answers, 0 if the signal came before its wait."""

    name: str
    signal_id: int
    value: bytes
    at: int
    command: int = 0
    site: str = ""
    draws: str | None = None


class TimerStarted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A durable timer, of a duration or until a moment (microseconds since the epoch): exactly one is set."""

    delay_s: float | None = None
    until: int | None = None
    site: str = ""
    draws: str | None = None


class TimerFired(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``command`` is a ``TimerStarted``, or the ``SignalAwaited`` whose time is over."""

    command: int
    at: int


class Patched(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The run is new enough for the patch ``id``: ``patched(id)`` is true for it (D7)."""

    id: str
    site: str = ""


class CompensationScheduled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Attempt 1 of an activity that undoes another: ``command`` is the activity it undoes, 0 for one that a saga
    was given by hand. It goes the way of an activity, and ``ActivityRetried`` counts its attempts (G1)."""

    command: int
    activity: str
    args: bytes
    site: str = ""
    crew: str = ""
    draws: str | None = None


class CompensationCompleted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``command`` is the ``CompensationScheduled``."""

    command: int
    value: bytes
    at: int


class CompensationFailed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Final; it fails no run (G3)."""

    command: int
    failure: Failure
    attempts: int
    at: int
    timed_out: bool = False


class ChildStarted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``child``: the 16 bytes of its run's id. ``attached``: made by awaiting the call, so that cancelling the await
    cancels the child (C6)."""

    workflow: str
    child: bytes
    args_hash: str
    attached: bool
    site: str = ""
    draws: str | None = None


class ChildCompleted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    command: int
    value: bytes
    at: int


class ChildFailed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    command: int
    failure: Failure
    at: int


class ChildCancelled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    command: int
    at: int
    reason: str | None = None


class RunContinuedAsNew(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last event of a run whose successor is ``run`` (16 bytes)."""

    workflow: str
    run: bytes
    args_hash: str
    site: str = ""
    draws: str | None = None


class CancelRequested(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A cancel that leaves ``cleanup_s`` seconds for cleaning up; the time is over at ``at`` + that (K4)."""

    cleanup_s: float
    at: int
    reason: str | None = None


EventBody = (
    SideEffect
    | ActivityScheduled
    | ActivityRetried
    | ActivityCompleted
    | ActivityFailed
    | SignalAwaited
    | SignalReceived
    | TimerStarted
    | TimerFired
    | Patched
    | CompensationScheduled
    | CompensationCompleted
    | CompensationFailed
    | ChildStarted
    | ChildCompleted
    | ChildFailed
    | ChildCancelled
    | RunContinuedAsNew
    | CancelRequested
)

# The numbers are stored: never change one, never use one again.
EVENT_TYPES: dict[int, str] = {
    1: "side_effect",
    2: "activity_scheduled",
    3: "activity_retried",
    4: "activity_completed",
    5: "activity_failed",
    6: "signal_awaited",
    7: "signal_received",
    8: "timer_started",
    9: "timer_fired",
    10: "patched",
    11: "compensation_scheduled",
    12: "compensation_completed",
    13: "compensation_failed",
    14: "child_started",
    15: "child_completed",
    16: "child_failed",
    17: "child_cancelled",
    18: "run_continued_as_new",
    19: "cancel_requested",
}
KIND_OF: dict[type[EventBody], int] = {
    SideEffect: 1,
    ActivityScheduled: 2,
    ActivityRetried: 3,
    ActivityCompleted: 4,
    ActivityFailed: 5,
    SignalAwaited: 6,
    SignalReceived: 7,
    TimerStarted: 8,
    TimerFired: 9,
    Patched: 10,
    CompensationScheduled: 11,
    CompensationCompleted: 12,
    CompensationFailed: 13,
    ChildStarted: 14,
    ChildCompleted: 15,
    ChildFailed: 16,
    ChildCancelled: 17,
    RunContinuedAsNew: 18,
    CancelRequested: 19,
}
_DECODERS: dict[int, msgspec.msgpack.Decoder[EventBody]] = {
    kind: msgspec.msgpack.Decoder(body) for body, kind in KIND_OF.items()
}
completed_of = msgspec.msgpack.Decoder(ActivityCompleted).decode
_KINDS = bytes(_DECODERS)
_kind = attrgetter("kind")
_encode = msgspec.msgpack.Encoder().encode


class EventRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event as it is stored. ``seq`` counts from 1 without a gap; ``inserted_at`` is set by the journal."""

    seq: int
    kind: int
    payload: bytes
    inserted_at: float = 0.0  # database time, seconds since the epoch


def to_row(seq: int, body: EventBody) -> EventRow:
    """Return ``body`` as the row number ``seq`` of its run's journal."""
    return EventRow(seq, KIND_OF[type(body)], _encode(body))


def to_rows(base: int, bodies: Sequence[EventBody]) -> list[EventRow]:
    """Return ``bodies`` as the rows after the row number ``base``."""
    encode, kinds = _encode, KIND_OF
    return [EventRow(seq, kinds[type(body)], encode(body)) for seq, body in enumerate(bodies, base + 1)]


def known_kinds(rows: Sequence[EventRow]) -> bytes:
    """Return the kinds of these rows, a byte each.

    Raises:
        JournalError: one of them is not a kind that this code reads.
    """
    try:
        kinds = bytes(map(_kind, rows))
    except ValueError:  # no byte
        kinds = b"\x00"
    if kinds.translate(None, _KINDS):
        for row in rows:
            from_row(row)  # it says which one
    return kinds


def from_row(row: EventRow) -> EventBody:
    """Return the event that ``row`` stores.

    Raises:
        JournalError: the kind or the body is not one that this code reads.
    """
    return body_of(row.seq, row.kind, row.payload)


def body_of(seq: int, kind: int, payload: bytes) -> EventBody:
    """Return the event number ``seq``.

    Raises:
        JournalError: the kind or the body is not one that this code reads.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        name = EVENT_TYPES.get(kind, f"kind {kind}")
        raise JournalError(
            "read event", f"event {seq} is a {name}, which this version cannot read; upgrade the node"
        )
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise JournalError("read event", f"event {seq} ({EVENT_TYPES[kind]}) is damaged: {error}") from error


UNCOUNTED = 0x94
"""How the body of an ``ActivityScheduled`` begins that has no ``draws``."""
ASCII_MAX = 0x7F
"""The last byte of one that has them is above this if nothing was drawn: a text ends with a letter or a digit."""


def scheduled_begins(activity: str) -> tuple[bytes, bytes]:
    """Return how the body of every ``ActivityScheduled`` of that activity begins, with ``draws`` and before."""
    name = _encode(activity)
    return b"\x95" + name, bytes([UNCOUNTED]) + name
