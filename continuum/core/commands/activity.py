"""An activity: scheduled, tried again, completed or failed (chapter A)."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any

from continuum.core.failure import activity_error
from continuum.core.pending import CommandFuture, Restore, settle
from continuum.core.site import site_text
from continuum.core.step import Dispatch
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityRetried,
    ActivityScheduled,
    EventBody,
    Failure,
)

if TYPE_CHECKING:
    from continuum.core.call import ActivityCall
    from continuum.core.machine import Machine


class PendingActivity:
    """An attempt that the code waits for."""

    __slots__ = ("args", "attempt", "call", "crew", "delay_s", "future", "key")

    def __init__(
        self, call: ActivityCall[Any], args: bytes, key: str | None, future: CommandFuture, crew: str
    ) -> None:
        self.call, self.args, self.key, self.future, self.crew = call, args, key, future, crew
        self.attempt, self.delay_s = 1, 0.0

    def next_attempt(self, attempt: int, delay_s: float, crew: str) -> None:
        self.attempt, self.delay_s, self.crew = attempt, delay_s, crew

    def dispatch(self, seq: int) -> Dispatch:
        return Dispatch(seq, self.attempt, self.call, self.args, self.key, self.delay_s)

    def completion(self, seq: int, value: bytes, at: int) -> EventBody:
        """Return the arrival of a value."""
        return ActivityCompleted(seq, value, at)

    def final_failure(self, seq: int, failure: Failure, timed_out: bool, at: int) -> EventBody:
        """Return the arrival of the failure after which no attempt follows."""
        return ActivityFailed(seq, failure, self.attempt, at, timed_out)

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if isinstance(body, ActivityCompleted):
            del machine.pending[seq]
            call = self.call
            if call.compensation is None:
                restore: Restore = call.target.signature.restore_result
            else:
                restore = machine.rollback.restoring(seq, call)
            settle(self.future, restore, body.value, "result")
        elif isinstance(body, ActivityFailed):
            del machine.pending[seq]
            self.future.set_exception(activity_error(body.failure, body.attempts, body.timed_out))
        elif isinstance(body, ActivityRetried):
            self.next_attempt(body.attempt, body.delay_s, body.crew)
        else:
            return False
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        machine.out.abandoned.append((seq, self.attempt))
        machine.out.dispatches = [d for d in machine.out.dispatches if d.seq != seq]


def schedule(machine: Machine, call: ActivityCall[Any]) -> Future[Any]:
    """The code calls an activity: record it, or find it recorded."""
    cursor = machine.cursor
    args, key = call.packed(), idempotency_key(call)
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


def idempotency_key(call: ActivityCall[Any]) -> str | None:
    """Return the key of the call, None if its activity has none."""
    key = call.policy.idempotency_key
    if key is None:
        return None
    value = key(*call.args, **call.kwargs)
    if not isinstance(value, str) or not value:
        raise TypeError(f"idempotency_key of {call.name} returned {value!r}; it must return a text")
    return value
