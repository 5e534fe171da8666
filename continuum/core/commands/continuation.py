"""continue_as_new: the run ends, and a successor with an empty history goes on (chapter N).

The call raises :class:`Continuation` through the code that made it, and from that moment nothing else of the run is
run: no other task, no callback. When that code has unwound, or waits for what will never come (a ``TaskGroup`` waits
for its other tasks), the run is continued: only now it is journaled. If the code has issued another effect
instead, or has ended in another way, it swallowed the continuation: the run fails, and nothing is journaled (X8).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from continuum.core.commands.child import args_hash, is_hash_of
from continuum.core.site import place_text
from continuum.errors import SuspendLeakError
from continuum.model import payload
from continuum.model.events import EventBody, RunContinuedAsNew
from continuum.model.ids import successor_run_id
from continuum.model.run import RunSeed

if TYPE_CHECKING:
    from continuum.core.call import WorkflowCall
    from continuum.core.machine import Machine


class Continuation(BaseException):
    """Unwinds the code that has called ``continue_as_new``; ``except Exception`` does not catch it (N4)."""


class Leaving:
    """A run that is about to be continued. ``error``: it swallowed that, and has failed."""

    __slots__ = ("_event", "_seed", "_task", "error")

    def __init__(self, event: RunContinuedAsNew, seed: RunSeed, task: asyncio.Task[Any] | None) -> None:
        self._event, self._seed, self._task = event, seed, task
        self.error: SuspendLeakError | None = None

    def finish(self, machine: Machine) -> None:
        """The code has run as far as it gets: journal the end, or find it journaled; or say that it was swallowed."""
        cursor = machine.cursor
        if cursor.leaked or (self._task is not None and self._task.done() and not _unwound(self._task)):
            self.error = SuspendLeakError(
                f"the workflow went on after continue_as_new ({self._event.site}): a bare `except`, an "
                "`except BaseException` or a `finally` around it issued another effect, or returned. Nothing of "
                "that was journaled. Clean up before continue_as_new; catch Exception, or raise again"
            )
        elif cursor.left:
            cursor.accept()
        else:
            cursor.append(self._event)
            machine.out.successor = self._seed


def leave(machine: Machine, call: WorkflowCall[Any]) -> NoReturn:
    """The code continues as new: unwind it. The successor gets the version that is loaded now, whichever of them the
    code names (N3)."""
    cursor, site = machine.cursor, place_text(call.place)
    args = payload.encode([list(call.args), dict(call.kwargs)], path=call.name)
    successor = successor_run_id(machine.identity.run_id)
    event = RunContinuedAsNew(call.name, successor.bytes, args_hash(args), site, cursor.drawn)
    recorded = cursor.expected()
    if recorded is not None and not (_is_of(recorded, call.name) and cursor.drew(recorded)):
        cursor.drifted(f"continue_as_new {call.name}", site)
    if type(recorded) is RunContinuedAsNew and not is_hash_of(recorded.args_hash, args):
        cursor.drifted(f"continue_as_new {call.name}", f"{site}, with other arguments")
    run = machine.identity
    seed = RunSeed(
        id=successor,
        workflow=call.name,
        args=args,
        version_hash=None if call.target is None else call.target.newest.version_hash,
        namespace=run.namespace,
        parent_run_id=run.parent_run_id,
        depth=run.depth,
        correlation_id=run.correlation_id,
        continued_from_run_id=run.run_id,
    )
    machine.leaving = Leaving(event, seed, asyncio.current_task(machine.loop))
    machine.loop.halt()
    cursor.closed = True
    raise Continuation


def _is_of(recorded: EventBody, workflow: str) -> TypeGuard[RunContinuedAsNew]:
    return type(recorded) is RunContinuedAsNew and recorded.workflow == workflow


def _unwound(task: asyncio.Task[Any]) -> bool:
    """True if the continuation left the task, alone or in the group of what its tasks have raised."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(Continuation) is not None
    return isinstance(error, Continuation)
