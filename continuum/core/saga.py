"""Undoing what was done: compensations one by one, all at once, or by a scope (chapter G, API §2).

A roll-back goes to its end: a cancellation or a time-out that comes meanwhile is kept back until then. What drops the
run from memory does end it, and the journal knows how far it came.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from continuum.core.call import ActivityCall, Call, compensating
from continuum.core.commands.compensation import run_compensation
from continuum.core.loop import current_machine
from continuum.core.machine import Machine
from continuum.core.rollback import Undo, ready
from continuum.errors import ConfigurationError

# What else unwinds a workflow is no failure of it: a drift, a run that is dropped or goes on as another one.
_FAILURES = (Exception, CancelledError, KeyboardInterrupt, SystemExit)


async def compensate(call: Call[Any]) -> None:
    """Run one compensation now, and return when it is over.

    ``call`` is a pending compensation, which is not pending any more then; or a call that was made with ``compensate=``
    and awaited, whose pending compensation is run (nothing, if it is not pending any more); or any other call of an
    activity, to be run as a compensation. One that finally fails is journaled and raises nothing.

    Raises:
        TypeError: it is no call of an activity.
    """
    machine = current_machine("compensate")
    if isinstance(call, ActivityCall) and call.compensation is not None:
        call.take()
        undo = machine.rollback.take_one(call)
    else:
        undone_by = compensating(call)
        undo = machine.rollback.take_one(undone_by) or ready(undone_by)
    if undo is not None:
        _raise_kept(await _roll_back(machine, [undo], parallel=False))


async def compensate_all(parallel: bool = False) -> None:
    """Run the pending compensations of all calls made with ``compensate=``, last first, and return when all are over.

    ``parallel`` schedules all of them at once. Each runs at most once, however often this is called. One that finally
    fails is journaled, and the others still run. What a `saga` was given is its own affair.
    """
    machine = current_machine("compensate_all")
    _raise_kept(await _roll_back(machine, machine.rollback.take(), parallel))


class Saga:
    """The scope that `saga` opens. ``parallel``: run the compensations side by side."""

    def __init__(self) -> None:
        self.parallel = False
        self._machine: Machine | None = None

    def push(self, call: Call[Any]) -> None:
        """Remember a call of an activity that undoes something, for the case that the scope is left by an exception.

        Raises:
            TypeError: it is no call of an activity.
            PayloadError: an argument cannot be encoded.
            ConfigurationError: the scope is not open.
        """
        undo = compensating(call)
        if self._machine is None:
            raise ConfigurationError(
                f"{call!r} was pushed to a saga that is not open; push it inside `async with`"
            )
        self._machine.rollback.push(ready(undo, scope=self))

    async def __aenter__(self) -> Saga:
        if self._machine is not None:
            raise ConfigurationError("the saga is open already; call saga() once for each `async with`")
        self._machine = current_machine("saga")
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        machine, self._machine = self._machine, None
        assert machine is not None, "it was entered"
        pushed = machine.rollback.take(self)
        if isinstance(error, _FAILURES):
            await _roll_back(machine, pushed, self.parallel)  # the error goes on, and not what came meanwhile


def saga() -> Saga:
    """Open a scope that undoes what was done in it: ``async with saga() as undo: ... undo.push(refund(payment))``.

    Left by an exception, a cancellation too, it runs the pushed calls, last first (side by side if ``undo.parallel``),
    and raises the exception again. Left in any other way it forgets them. Each runs at most once; one that finally
    fails is journaled, and the others still run. Sagas may be nested.
    """
    return Saga()


async def _roll_back(machine: Machine, undos: Sequence[Undo], parallel: bool) -> CancelledError | None:
    """Run them, last first; return the cancellation that was kept back meanwhile."""
    kept: CancelledError | None = None
    under_way: list[Future[Any]] = []
    for undo in reversed(undos):
        future = run_compensation(machine, undo)
        if parallel:
            under_way.append(future)
        else:
            kept = await _over(future) or kept
    for future in under_way:
        kept = await _over(future) or kept
    return kept


async def _over(future: Future[Any]) -> CancelledError | None:
    kept: CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except CancelledError as cancellation:
            kept = cancellation
    return kept


def _raise_kept(cancellation: CancelledError | None) -> None:
    if cancellation is not None:
        raise cancellation
