"""A run in memory: its machine, what a database would hold of it, and its place among parents, children and successors.

::

    first ── continued as ──► successor ──► last: the one that lives, if any does
      └ children that still live ──────────► move along

A child that is continued gives its place below the parent to its successor, and with it the end that the parent waits
for (C3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from continuum.core.definitions import Workflow, registry
from continuum.core.machine import Machine
from continuum.core.step import Crew, Step
from continuum.model.events import EventRow
from continuum.model.history import History, Origin
from continuum.model.run import LIVE_STATES, RunSeed, RunState
from continuum.testing.walk import identity_of, waits_of

_SECOND = 1_000_000
_CREW = "test:0"


class Note(msgspec.Struct, frozen=True):
    """A cancel with clean-up (K4). ``asked_us`` and ``due_us``: microseconds since the epoch."""

    reason: str | None
    cleanup_s: float
    asked_us: int

    @property
    def due_us(self) -> int:
        return self.asked_us + round(self.cleanup_s * _SECOND)


class MemoryRun:
    """``error``: an encoded ``Failure``. ``begun``: its code has run. ``letters``: signals that no code has received,
    by id. ``command``: seq of the ``ChildStarted`` that the end of this run answers while it is ``awaited``."""

    def __init__(
        self,
        origin: Origin,
        workflow: Workflow[..., Any],
        *,
        parent: MemoryRun | None = None,
        command: int | None = None,
    ) -> None:
        self.origin, self.workflow = origin, workflow
        self.machine = Machine(identity_of(origin), workflow, origin.args, Crew(_CREW))
        self.rows: list[EventRow] = []
        self.state: RunState = "running"
        self.result: bytes | None = None
        self.error: bytes | None = None
        self.begun = False
        self.timers: dict[int, int] = {}  # seq -> when it is due, in microseconds since the epoch
        self.letters: dict[int, tuple[str, bytes]] = {}
        self.note: Note | None = None
        self.parent, self.command, self.awaited = parent, command, command is not None
        self.children: list[MemoryRun] = []
        self.first: MemoryRun = self
        self.successor: MemoryRun | None = None

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def history(self) -> History:
        return History(self.origin, self.rows)

    @property
    def last(self) -> MemoryRun:
        """The run that this one is continued as by now; itself if it was not."""
        run = self
        while run.successor is not None:
            run = run.successor
        return run

    def chain(self) -> Iterator[MemoryRun]:
        """Yield the runs from the first one to the last."""
        run: MemoryRun | None = self.first
        while run is not None:
            yield run
            run = run.successor

    def family(self) -> Iterator[MemoryRun]:
        """Yield the run and all below it, generation by generation; through the ended ones too (K5)."""
        generation = [self]
        while generation:
            yield from generation
            generation = [child for run in generation for child in run.children]

    def record(self, step: Step, now_us: int) -> None:
        """Write what a commit would write."""
        self.rows += [EventRow(row.seq, row.kind, row.payload, now_us / _SECOND) for row in step.events]
        self.state, self.result, self.error = step.state, step.result, step.error
        for signal_id in step.out.signals_consumed:
            self.letters.pop(signal_id, None)

    def waits_for(self) -> tuple[str, ...]:
        """Say for people what the code waits for, with the source lines, and what its children wait for."""
        texts = list(waits_of(self.rows, self.machine))
        for run in list(self.family())[1:]:
            if run.live and run.begun:
                texts += [
                    f"{text} in child {run.origin.workflow}" for text in waits_of(run.rows, run.machine)
                ]
        return tuple(texts)

    def end(self) -> None:
        """Nothing more comes to it."""
        self.timers.clear()
        if not self.begun:
            return
        if self.machine.ended:
            self.machine.close()
        else:
            self.machine.drop()


def child_of(parent: MemoryRun, seed: RunSeed, now_us: int) -> MemoryRun:
    """Return a child of ``parent``, which has it now (C1).

    Raises:
        UnknownWorkflowError: no such workflow is loaded.
    """
    workflow = registry.workflow(seed.workflow, seed.version_hash)
    child = MemoryRun(
        _origin(seed, workflow, now_us, seed.id, seed.depth),
        workflow,
        parent=parent,
        command=seed.parent_command,
    )
    parent.children.append(child)
    return child


def continuation_of(old: MemoryRun, seed: RunSeed, now_us: int) -> MemoryRun:
    """Return the successor of ``old``: it has its place, its unread signals, its living children and its pending
    cancel (N1, N2).

    Raises:
        UnknownWorkflowError: no such workflow is loaded.
    """
    workflow = registry.workflow(seed.workflow, seed.version_hash)
    new = MemoryRun(
        _origin(seed, workflow, now_us, old.origin.correlation_id, old.origin.depth),
        workflow,
        parent=old.parent,
        command=old.command,
    )
    new.first, old.successor = old.first, new
    new.awaited, old.awaited = old.awaited, False
    new.note, new.letters, old.letters = old.note, old.letters, {}
    if old.parent is not None:
        siblings = old.parent.children
        siblings[siblings.index(old)] = new
    _adopt(old, new)
    return new


def _adopt(old: MemoryRun, new: MemoryRun) -> None:
    """Children that live, or that left somebody living, go to the successor; nobody awaits their end there."""
    new.children = [child for child in old.children if any(run.live for run in child.family())]
    old.children = [child for child in old.children if child not in new.children]
    for child in new.children:
        child.parent, child.awaited = new, False


def _origin(
    seed: RunSeed, workflow: Workflow[..., Any], now_us: int, correlation_id: UUID, depth: int
) -> Origin:
    return Origin(
        run_id=seed.id,
        workflow=workflow.name,
        args=seed.args,
        created_at=now_us,
        correlation_id=correlation_id,
        namespace=seed.namespace,
        version_hash=workflow.version_hash,
        parent_run_id=seed.parent_run_id,
        continued_from_run_id=seed.continued_from_run_id,
        depth=depth,
    )
