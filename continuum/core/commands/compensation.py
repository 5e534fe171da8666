"""A compensation: an activity that undoes what was done. It goes the way of any, and fails nothing (G1, G3)."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any, TypeGuard

from continuum.core.commands.activity import PendingActivity
from continuum.core.pending import command_future
from continuum.core.site import place_text
from continuum.model.events import (
    ActivityRetried,
    CompensationCompleted,
    CompensationFailed,
    CompensationScheduled,
    EventBody,
    Failure,
)

if TYPE_CHECKING:
    from continuum.core.machine import Machine
    from continuum.core.rollback import Undo


class PendingCompensation(PendingActivity):
    """An attempt to undo something; its future says only that it is over, one way or the other."""

    def completed(self, machine: Machine, seq: int, value: bytes, at: int) -> None:
        body = CompensationCompleted(seq, value, at)
        machine.cursor.append(body)
        self.arrive(machine, seq, body)

    def final_failure(self, seq: int, failure: Failure, timed_out: bool, at: int) -> EventBody:
        return CompensationFailed(seq, failure, self.attempt, at, timed_out)

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if isinstance(body, CompensationCompleted | CompensationFailed):
            del machine.pending[seq]
            self.future.set_result(None)
        elif isinstance(body, ActivityRetried):
            self.next_attempt(body)
        else:
            return False
        return True


def run_compensation(machine: Machine, undo: Undo) -> Future[Any]:
    """The code undoes something: record it, or find it recorded. The future never fails."""
    cursor, call = machine.cursor, undo.call
    args, crew, site = undo.args, machine.crew.text, place_text(undo.place)
    recorded = cursor.expected()
    if recorded is None:
        cursor.issue(CompensationScheduled(undo.command, call.name, args, site, crew, cursor.drawn))
    elif _is_of(recorded, call.name) and cursor.drew(recorded):
        cursor.accept()
        args, crew = recorded.args, recorded.crew
    else:
        cursor.drifted(f"compensation {call.name}", site)
    seq = cursor.seq
    future = command_future(machine, seq)
    entry = PendingCompensation(call, args, undo.key, future, crew)
    machine.pending[seq] = entry
    if recorded is None:
        machine.out.dispatches.append(entry.dispatch(seq))
    return future


def _is_of(recorded: EventBody, activity: str) -> TypeGuard[CompensationScheduled]:
    return type(recorded) is CompensationScheduled and recorded.activity == activity
