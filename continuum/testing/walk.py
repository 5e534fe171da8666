"""A history, replayed along today's code; and the demand that the walk is the recorded one (R5).

``CONTINUUM_PARANOID=1`` makes that demand of every in-memory run that ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from continuum.core.definitions import Workflow
from continuum.core.drift import describe
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity, Step
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import EventRow, from_row
from continuum.model.history import History, Origin

PARANOID = "CONTINUUM_PARANOID"


def walk(history: History, workflow: Workflow[..., Any]) -> Step:
    """Run the code along the history, then on until it waits; return what it did beyond, and how it ended if it did.

    Raises:
        ReplayDriftError: the code does something else than what is recorded.
        JournalError: an event cannot be read.
    """
    machine = Machine(identity_of(history.origin), workflow, history.origin.args, Crew("replay:0"))
    try:
        machine.begin(history.rows)
    except ReplayDriftError:
        machine.drop()
        raise
    step = machine.take()
    machine.drop()
    return step


def identity_of(origin: Origin) -> RunIdentity:
    """Return what a machine knows of the run whose history begins so."""
    return RunIdentity(
        run_id=origin.run_id,
        workflow=origin.workflow,
        namespace=origin.namespace,
        begun_at=origin.begun_at or origin.created_at,
        correlation_id=origin.correlation_id,
        parent_run_id=origin.parent_run_id,
        continued_from_run_id=origin.continued_from_run_id,
        depth=origin.depth,
    )


def waits_of(rows: Sequence[EventRow], machine: Machine) -> tuple[str, ...]:
    """Say for people what the code waits for, with the source lines."""
    recorded = [from_row(row) for row in rows]
    return tuple(describe(recorded, seq - 1) for seq in machine.pending)


def demand_the_same(history: History, walked: Step, recorded_end: str) -> None:
    """Demand of a walk along a whole history that it adds nothing and comes to the same end.

    Raises:
        ReplayDriftError: it does not.
    """
    position = len(history) + 1
    if walked.events:
        bodies = [from_row(row) for row in (*history.rows, *walked.events)]
        raise ReplayDriftError(
            position, f"nothing: the run has {recorded_end}", describe(bodies, position - 1)
        )
    walked_end = ending(walked.state, walked.result, walked.error)
    if walked_end != recorded_end:
        raise ReplayDriftError(position, f"the run has {recorded_end}", f"the run has {walked_end}")


def ending(state: str, result: bytes | None, error: bytes | None) -> str:
    """Return how a run ended, as a text: equal for equal ends, tracebacks aside."""
    if result is not None:
        return f"{state} with {payload.decode(result, path='result')!r}"
    if error is not None:
        failure = decode_failure(error)
        return f"{state} with {failure.type}: {failure.message}"
    return state


def check_if_paranoid(history: History, workflow: Workflow[..., Any], last: Step) -> None:
    """Replay a run that has just ended, if the environment asks for it.

    Raises:
        ReplayDriftError: the replay is another walk, or ends otherwise.
    """
    if os.environ.get(PARANOID, "") not in ("", "0"):
        recorded = ending(last.state, last.result, last.error)
        demand_the_same(history, walk(history, workflow), recorded)
