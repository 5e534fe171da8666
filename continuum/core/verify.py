"""Whether code repeats a recorded history: the machine's own walk, up to the last recorded event and not beyond (R3).

Nothing is made by it: code that would go on to new ground is unwound there, so that no side effect runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from continuum.core.definitions import Workflow
from continuum.core.drift import describe
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ReplayDriftError
from continuum.model.events import EventBody, EventRow, from_row

CONTEXT_EVENTS = 3


class Mismatch(msgspec.Struct, frozen=True):
    """Where code leaves a history: at event ``position`` the history has ``recorded`` and the code ``commanded``.
    ``before`` and ``after``: (seq, description) of the recorded events around it."""

    position: int
    recorded: str
    commanded: str
    before: tuple[tuple[int, str], ...] = ()
    after: tuple[tuple[int, str], ...] = ()


def verify(
    identity: RunIdentity, workflow: Workflow[..., Any], args: bytes, history: Sequence[EventRow]
) -> Mismatch | None:
    """Return where ``workflow`` does something else than ``history`` says, None if it repeats all of it.

    Raises:
        JournalError: an event cannot be read.
    """
    recorded = [from_row(row) for row in history]  # what cannot be read is found before any code runs
    machine = Machine(identity, workflow, args, Crew(""))
    machine.cursor.bounded = True
    try:
        machine.begin(history)
        return None
    except ReplayDriftError as drift:
        return _mismatch(drift, _ending(machine), recorded)
    finally:
        machine.drop()


def _ending(machine: Machine) -> str:
    """How the workflow ended where its history goes on, for the reader; empty if it did not end."""
    if machine.cursor.drift is not None or not machine.ended:
        return ""
    error = machine.take().error
    if error is None:
        return ": it has returned"
    failure = decode_failure(error)
    return f": it has raised {failure.type}: {failure.message}"


def _mismatch(drift: ReplayDriftError, ending: str, recorded: Sequence[EventBody]) -> Mismatch:
    place = drift.position - 1
    around = range(max(0, place - CONTEXT_EVENTS), min(len(recorded), place + 1 + CONTEXT_EVENTS))
    texts = {index: (index + 1, describe(recorded, index)) for index in around}
    return Mismatch(
        drift.position,
        drift.recorded,
        drift.commanded + ending,
        tuple(texts[index] for index in around if index < place),
        tuple(texts[index] for index in around if index > place),
    )
