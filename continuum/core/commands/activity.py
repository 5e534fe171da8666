"""An activity: scheduled, tried again, completed or failed (chapter A)."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec

from continuum.core.cursor import NOT_GIVEN
from continuum.core.failure import activity_error
from continuum.core.options import checked_name
from continuum.core.pending import CommandFuture, Restore, command_future, settle
from continuum.core.site import place_text
from continuum.core.step import Dispatch, more
from continuum.errors import PayloadError
from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityRetried,
    ActivityScheduled,
    EventBody,
    Failure,
)
from continuum.model.retry import NODE_DRAINED

if TYPE_CHECKING:
    from continuum.core.call import ActivityCall
    from continuum.core.machine import Machine


SHORT_TEXT = 10_000  # characters: whatever they are, far below the limit of a payload


Steps = Generator[Any, Any, Any]


class PendingActivity(msgspec.Struct, eq=False):
    """An attempt that the code waits for. ``last_heartbeat``: the details of the attempt before, empty if it sent
    none. ``uncounted``: how many attempts before it do not count. ``due_at``: it has not begun before that, by the
    database's time; 0 if that is not known."""

    call: ActivityCall[Any]
    args: bytes
    key: str | None
    future: CommandFuture
    crew: str
    attempt: int = 1
    delay_s: float = 0.0
    last_heartbeat: bytes = b""
    uncounted: int = 0
    due_at: int = 0

    def next_attempt(self, body: ActivityRetried) -> None:
        self.attempt, self.delay_s, self.crew = body.attempt, body.delay_s, body.crew
        self.last_heartbeat = body.details
        self.uncounted += body.failure.type == NODE_DRAINED
        self.due_at = body.at + round(body.delay_s * 1e6) if body.at else 0

    def dispatch(self, seq: int) -> Dispatch:
        return Dispatch(
            seq, self.attempt, self.call, self.args, self.key, self.delay_s, self.last_heartbeat or None
        )

    def completed(self, machine: Machine, seq: int, value: bytes, at: int) -> None:
        """A value has come: record it, and let the code see it."""
        signature = self.call.target.signature
        if signature.plain_result is None:
            value = signature.completed_result(value)
        machine.cursor.append(ActivityCompleted(seq, value, at))
        self._give(machine, seq, value)

    def final_failure(self, seq: int, failure: Failure, timed_out: bool, at: int) -> EventBody:
        """Return the arrival of the failure after which no attempt follows."""
        return ActivityFailed(seq, failure, self.attempt, at, timed_out)

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if type(body) is ActivityCompleted:
            self._give(machine, seq, body.value)
        elif isinstance(body, ActivityFailed):
            del machine.pending[seq]
            self.future.set_exception(activity_error(body.failure, body.attempts, body.timed_out))
        elif isinstance(body, ActivityRetried):
            self.next_attempt(body)
        else:
            return False
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        machine.out.abandoned = more(machine.out.abandoned, (seq, self.attempt))
        machine.out.dispatches = [d for d in machine.out.dispatches if d.seq != seq]

    def _give(self, machine: Machine, seq: int, value: bytes) -> None:
        """As `settle`, for less where the value needs no restoring."""
        del machine.pending[seq]
        call = self.call
        try:
            result = payload.decode(value, "result")
        except PayloadError as error:
            machine.cursor.damaged(error)
            return
        try:
            if call.compensation is not None or type(result) is not call.target.signature.plain_result:
                result = _restoring(machine, seq, call)(result)
        except Exception as error:  # noqa: BLE001 - restoring runs the user's constructors
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def given(machine: Machine, call: ActivityCall[Any]) -> object:
    """Return the recorded result of the activity if it is the very next event and nothing else is ready to run, else
    `NOT_GIVEN`. The code would wait now and be given just that: so it is given it at once, without the way through
    the loop.

    Raises:
        Exception: an argument is refused, or the result cannot be restored; the code is to see this.
    """
    target, cursor = call.target, machine.cursor
    if cursor.seq != call.met_at and not cursor.meets(target.name, target.begins):
        return NOT_GIVEN
    if call.compensation is not None or machine.loop.ready or cursor.closed or cursor.drift is not None:
        return NOT_GIVEN
    if cursor.draws is not None and cursor.draws.order:
        return NOT_GIVEN
    value = cursor.given(None if _surely_fits(call) else call.packed)
    if value is NOT_GIVEN or type(value) is target.signature.plain_result:
        return value
    return target.signature.restore_result(value)


def schedule(machine: Machine, call: ActivityCall[Any]) -> Steps:
    """The code awaits an activity: record it, or find it recorded; return what the await goes through."""
    cursor = machine.cursor
    recorded = cursor.expected()
    is_it = type(recorded) is ActivityScheduled and recorded.activity == call.target.name
    if not (is_it and _surely_fits(call)):
        args = call.packed()
        if recorded is None:
            return _begin(machine, call, args).__await__()
    if type(recorded) is not ActivityScheduled or not is_it or not cursor.drew(recorded):
        cursor.drifted(f"activity {call.name}", place_text(call.place))
    cursor.accept()
    return _recorded(machine, call, recorded)


def _begin(machine: Machine, call: ActivityCall[Any], args: bytes) -> Future[Any]:
    key = None if call.policy.idempotency_key is None else idempotency_key(call)
    cursor, crew = machine.cursor, machine.crew.text
    drawn = "" if cursor.draws is None else cursor.draws.text
    seq = cursor.issue(ActivityScheduled(call.target.name, args, place_text(call.place), crew, drawn))
    machine.out.dispatches.append(Dispatch(seq, 1, call, args, key))
    return _pend(machine, seq, call, args, key, crew)


def _recorded(machine: Machine, call: ActivityCall[Any], recorded: ActivityScheduled) -> Steps:
    """The call is in the journal. If its result is the very next event, and nothing else is ready to run, the code
    is given it at once; see `given`, the short way for what most calls are."""
    seq = machine.cursor.seq
    answer = machine.cursor.answer(ActivityCompleted) if not machine.loop.ready else None
    if answer is not None:
        future = machine.loop.create_future()
        return settle(machine, future, _restoring(machine, seq, call), answer.value, "result").__await__()
    return _pend(machine, seq, call, recorded.args, idempotency_key(call), recorded.crew).__await__()


def _pend(
    machine: Machine, seq: int, call: ActivityCall[Any], args: bytes, key: str | None, crew: str
) -> Future[Any]:
    future = command_future(machine, seq)
    machine.pending[seq] = PendingActivity(call, args, key, future, crew)
    return future


def _restoring(machine: Machine, seq: int, call: ActivityCall[Any]) -> Restore:
    """What makes the activity's value of its payload; and, if it has one, its compensation pending."""
    if call.compensation is None:
        return call.target.signature.restore_result
    return machine.rollback.restoring(seq, call)


def _surely_fits(call: ActivityCall[Any]) -> bool:
    """True for arguments that no payload refuses. Others are encoded in replay too: a call that was refused when
    it was new is not in the journal, and must be refused again."""
    if call.kwargs:
        return False
    for value in call.args:
        kind = type(value)
        if kind is not int and kind is not bool and (kind is not str or len(value) > SHORT_TEXT):
            return False
    return True


def idempotency_key(call: ActivityCall[Any]) -> str | None:
    """Return the key of the call, None if its activity has none."""
    key = call.policy.idempotency_key
    if key is None:
        return None
    value = key if isinstance(key, str) else key(*call.args, **call.kwargs)
    return checked_name(f"idempotency_key of {call.name}", value)
