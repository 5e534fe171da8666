"""Today's code along a history of yesterday: golden journals, and runs of a database."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec

from continuum.core.call import WorkflowCall
from continuum.core.definitions import Workflow, registry
from continuum.core.failure import decode_failure
from continuum.core.step import Step
from continuum.errors import ConfigurationError, ContinuumError
from continuum.model import payload
from continuum.model.events import EventRow
from continuum.model.history import Event, History, Origin, failure_as_dict
from continuum.model.run import LIVE_STATES, Run, RunState
from continuum.testing.rows import row_of
from continuum.testing.walk import demand_the_same, walk

if TYPE_CHECKING:
    from continuum.client import Client

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

Recorded = History | Sequence[Event] | Sequence[EventRow] | str | PathLike[str]
_NOBODY = UUID(int=0)


class Replayed(Generic[R_co]):
    """Where a replay came to. ``state`` is that of the run, ``suspended`` if the history ends before the workflow does.
    ``result`` is None unless it is ``completed``; ``error``, of a ``failed`` one, is what ``Run.error`` is."""

    def __init__(self, state: RunState, result: R_co | None, error: dict[str, str | None] | None) -> None:
        self.state, self.result, self.error = state, result, error

    def __repr__(self) -> str:
        return f"<Replayed: {self.state}, result {self.result!r}>"


def replay(target: WorkflowCall[R] | Workflow[..., R], history: Recorded) -> Replayed[R]:
    """Replay a history against the code that is loaded now; no activity runs and nothing is written.

    ``history``: a ``History``, the path of a JSON file from ``continuum run history ID --json``, or events. Bare
    events know no arguments: pass the call, if the workflow needs any. Its arguments go before those of the history.

    Raises:
        ReplayDriftError: the code does something else than what is recorded.
        ConfigurationError: the file is no history, or the arguments are missing.
    """
    workflow, args = _target(target)
    return _replayed(workflow, walk(_history(workflow, args, history), workflow))


def verify_run(run_id: UUID | str, *, client: Client | None = None) -> Replayed[Any]:
    """Replay a finished run of a database against the code that is loaded now, and demand that it makes the identical
    history and comes to the same end. Without ``client`` the default one is asked.

    Raises:
        ReplayDriftError: it does not.
        ContinuumError: the run has not ended.
        RunNotFoundError, UnknownWorkflowError: there is no such run, or its code is not loaded.
    """
    if client is None:
        from continuum.client import default  # late: it brings the database driver

        run, history = default.get_run(run_id), default.history(run_id)
    else:
        run, history = client.get_run(run_id), client.history(run_id)
    if run.state in LIVE_STATES:
        raise ContinuumError(
            f"run {run.id} is {run.state} and has no whole history yet; wait for its result first"
        )
    workflow = registry.workflow(run.workflow)
    step = walk(history, workflow)
    if run.state != "cancelled":  # it was cut off anywhere: that it does not drift is all that can be asked
        demand_the_same(history, step, _ending_of(run))
    return _replayed(workflow, step)


def _target(target: object) -> tuple[Workflow[..., Any], bytes | None]:
    if isinstance(target, Workflow):
        return target, None
    if isinstance(target, WorkflowCall):
        target.take()
        args = payload.encode([list(target.args), dict(target.kwargs)], path=target.name)
        return target.target or registry.workflow(target.name), args
    raise TypeError(f"replay takes a workflow, or a call of one, not {target!r}")


def _history(workflow: Workflow[..., Any], args: bytes | None, recorded: Recorded) -> History:
    if isinstance(recorded, str | PathLike):
        recorded = History.from_json(Path(recorded).read_bytes())
    if not isinstance(recorded, History):
        if args is None and workflow.signature.takes_nothing:
            args = payload.encode([[], {}])
        if args is None:
            raise ConfigurationError(
                f"bare events do not say with which arguments {workflow.name} ran; "
                "pass the call, replay(workflow(...), events), or the whole History"
            )
        rows = [event if isinstance(event, EventRow) else row_of(event) for event in recorded]
        began_us = round(rows[0].inserted_at * 1e6) if rows else 0
        return History(
            Origin(
                run_id=_NOBODY, workflow=workflow.name, args=args, created_at=began_us, correlation_id=_NOBODY
            ),
            rows,
        )
    if args is None:
        return recorded
    return History(msgspec.structs.replace(recorded.origin, args=args), recorded.rows)


def _replayed(workflow: Workflow[..., R], step: Step) -> Replayed[R]:
    state: RunState = "suspended" if step.state in LIVE_STATES else step.state
    result = None
    if step.result is not None:
        result = cast("R", workflow.signature.restore_result(payload.decode(step.result, path="result")))
    return Replayed(
        state, result, None if step.error is None else failure_as_dict(decode_failure(step.error))
    )


def _ending_of(run: Run) -> str:
    """The same text as `walk.ending` makes of a step."""
    if run.state == "completed":
        return f"completed with {run.result!r}"
    if run.error is not None:
        return f"{run.state} with {run.error['type']}: {run.error['message']}"
    return run.state
