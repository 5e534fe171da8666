"""An activity: scheduled, tried again, completed or failed (chapter A)."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any

from continuum.core.failure import activity_error
from continuum.core.pending import CommandFuture, settle
from continuum.core.site import site_text
from continuum.core.step import Dispatch
from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityRetried,
    ActivityScheduled,
    EventBody,
)

if TYPE_CHECKING:
    from continuum.core.call import ActivityCall
    from continuum.core.machine import Machine

KEY_BYTES_MAX = 1000  # it is a column of an index


class PendingActivity:
    """An attempt that the code waits for."""

    __slots__ = ("args", "attempt", "call", "crew", "delay_s", "future", "key", "last_heartbeat")

    def __init__(
        self, call: ActivityCall[Any], args: bytes, key: str | None, future: CommandFuture, crew: str
    ) -> None:
        self.call, self.args, self.key, self.future, self.crew = call, args, key, future, crew
        self.attempt, self.delay_s = 1, 0.0
        self.last_heartbeat = b""  # the details of the attempt before, empty if it sent none

    def next_attempt(self, attempt: int, delay_s: float, crew: str, last_heartbeat: bytes) -> None:
        self.attempt, self.delay_s, self.crew = attempt, delay_s, crew
        self.last_heartbeat = last_heartbeat

    def dispatch(self, seq: int) -> Dispatch:
        return Dispatch(
            seq, self.attempt, self.call, self.args, self.key, self.delay_s, self.last_heartbeat or None
        )

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if isinstance(body, ActivityCompleted):
            del machine.pending[seq]
            settle(self.future, self.call.target.signature.restore_result, body.value, "result")
        elif isinstance(body, ActivityFailed):
            del machine.pending[seq]
            self.future.set_exception(activity_error(body.failure, body.attempts, body.timed_out))
        elif isinstance(body, ActivityRetried):
            self.next_attempt(body.attempt, body.delay_s, body.crew, body.details)
        else:
            return False
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        machine.out.abandoned.append((seq, self.attempt))
        machine.out.dispatches = [d for d in machine.out.dispatches if d.seq != seq]


def schedule(machine: Machine, call: ActivityCall[Any]) -> Future[Any]:
    """The code calls an activity: record it, or find it recorded."""
    cursor = machine.cursor
    args = payload.encode([list(call.args), dict(call.kwargs)], path=call.name)
    key = _idempotency_key(call)
    crew = machine.crew.text
    recorded = cursor.expected()
    if recorded is None:
        cursor.append(ActivityScheduled(call.name, args, site_text(call.site), crew))
    elif type(recorded) is ActivityScheduled and recorded.activity == call.name:
        cursor.accept()
        args, crew = recorded.args, recorded.crew
    else:
        cursor.drifted(f"activity {call.name}", site_text(call.site))
    seq = cursor.seq
    future = CommandFuture(machine, seq)
    entry = PendingActivity(call, args, key, future, crew)
    machine.pending[seq] = entry
    if recorded is None:
        machine.out.dispatches.append(entry.dispatch(seq))
    return future


def _idempotency_key(call: ActivityCall[Any]) -> str | None:
    key = call.policy.idempotency_key
    if key is None:
        return None
    value = key if isinstance(key, str) else key(*call.args, **call.kwargs)
    if not isinstance(value, str) or not value:
        raise TypeError(f"idempotency_key of {call.name} returned {value!r}; it must return a text")
    if "\x00" in value or len(value.encode(errors="replace")) > KEY_BYTES_MAX:
        raise ValueError(
            f"idempotency_key of {call.name} is a text of at most {KEY_BYTES_MAX} bytes without NUL,"
            f" not {value[:40]!r}...; hash what is longer"
        )
    return value
