"""The rows of the oracle, and the few acts on them that several ports share.

Everything that belongs to a run hangs on its ``RunRecord`` (its journal, signals, timers, tasks), so that the
end of a run is the end of its rows. ``Tables.live`` indexes the runs that have not ended: no operation looks
at the others but by their id.

Two questions decide most answers:

- *who owns a run?* the owner of its lease, if that owner is live: its row has not expired;
- *can it be claimed?* it is live, nobody live owns it, and it is due. A run without ``due_at`` is parked
  until something wakes it; the run of a dead owner is due at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal
from uuid import UUID

import msgspec

from continuum.model.events import KIND_OF, CancelRequested, EventRow, Failure
from continuum.model.run import LIVE_STATES, RunSeed, RunState
from continuum.ports.journal import CancelNote, ChildEnd, Mail, ResultKey, SignalRow, Snapshot, TaskOutcome

TaskState = Literal["queued", "running", "done"]
encode_failure = msgspec.msgpack.Encoder().encode
_CANCEL_REQUESTED = KIND_OF[CancelRequested]


@dataclass(slots=True)
class OwnerRecord:
    node: str
    address: str
    expires_at: float
    loaded: frozenset[tuple[str, str]] = frozenset()
    hears: bool = False
    room: int = 0


@dataclass(slots=True)
class TaskRecord:
    """One attempt; ``outcome`` is set once it is done. A row made by an outcome names no activity."""

    seq: int
    attempt: int
    activity: str
    args: bytes
    queue: str
    due_at: float
    timeout_s: float | None
    idempotency_key: str | None
    heartbeat_timeout_s: float | None = None
    last_heartbeat: bytes | None = None  # of the attempt before
    heartbeat: bytes = b""  # of this one
    state: TaskState = "queued"
    claimed_by: str | None = None
    worker: str | None = None
    outcome: TaskOutcome | None = None


@dataclass(slots=True)
class RunRecord:
    """``owner`` and ``token`` are the lease; the token outlives it. ``due_at`` counts while nobody owns it.
    ``parent`` is moved by continuations. ``awaited``: the parent's journal has its start and may get its end."""

    seed: RunSeed
    attributes: dict[str, object]
    created_at: float
    due_at: float | None
    state: RunState = "running"
    owner: str | None = None
    previous_owner: str | None = None
    token: int | None = None
    started_at: float | None = None
    completed_at: float | None = None
    result: bytes | None = None
    error: bytes | None = None
    continued_to: UUID | None = None
    attention: str | None = None
    parent: UUID | None = None
    awaited: bool = False
    cancel: CancelNote | None = None
    version_hash: str | None = None
    parked_until: float | None = None
    lacks_code: bool = False  # it is parked for want of it
    begun_at: float | None = None  # the last claim before its first event
    cancel_heard: bool = False  # by its parent, before it started this run: it hears nothing of the cancel
    suspect: Literal["alone", "stopped"] | None = None  # set aside, because engines have died of it
    alone_at: float = 0.0
    deaths: int = 0
    deaths_seq: int | None = None
    killed_owner: str | None = None
    events: list[EventRow] = field(default_factory=list)
    signals: dict[int, SignalRow] = field(default_factory=dict)
    deliveries: set[str] = field(default_factory=set)  # of consumed signals too: S6
    timers: dict[int, float] = field(default_factory=dict)  # seq -> database time
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    snapshot: Snapshot | None = None

    @property
    def id(self) -> UUID:
        return self.seed.id

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def has_unseen_cancel(self) -> bool:
        """Say whether a cancel was noted that the journal does not have."""
        if self.cancel_heard:
            return False
        return self.cancel is not None and all(event.kind != _CANCEL_REQUESTED for event in self.events)

    @property
    def unbegun(self) -> bool:
        """Say whether nobody holds it, no step of it was written, and it goes on for no other."""
        return self.owner is None and not self.events and self.seed.continued_from_run_id is None

    def has_due_timer(self, now: float) -> bool:
        return any(fires_at <= now for fires_at in self.timers.values())


class Tables:
    """All rows of one store. ``now`` is the database's time of the transaction in progress."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: dict[UUID, RunRecord] = {}
        self.live: dict[UUID, RunRecord] = {}
        self.children: dict[UUID, dict[UUID, RunRecord]] = {}  # by parent, also those that have ended
        self.owners: dict[str, OwnerRecord] = {}
        self.holders: dict[str, set[int]] = {}  # sessions that hold an owner; an empty set: none is left
        self.workflows: dict[tuple[str, str], tuple[float, float]] = {}  # when loaded first and last
        self.results: dict[ResultKey, bytes] = {}  # kept by idempotency key; they outlive their runs
        self.tokens = count(1)
        self.epochs = count(1)
        self.signal_ids = count(1)

    def add(self, run: RunRecord) -> None:
        """Insert a run that does not exist."""
        self.runs[run.id] = self.live[run.id] = run
        run.parent = run.seed.parent_run_id
        if run.parent is not None:
            self.children.setdefault(run.parent, {})[run.id] = run

    def children_of(self, run_id: UUID) -> list[RunRecord]:
        return list(self.children.get(run_id, {}).values())

    def ends_of_children(self, run_id: UUID) -> list[ChildEnd]:
        """Return the ends that the run has not consumed, in the order in which the children ended."""
        ended = [child for child in self.children_of(run_id) if child.awaited and not child.live]
        return [_end_of(child) for child in sorted(ended, key=lambda child: (child.completed_at, child.id))]

    def mail(self, run: RunRecord) -> Mail:
        """Return what waits for the run: signals as they came, outcomes and due timers by seq, ends of children."""
        return Mail(
            run.id,
            tuple(signal for _, signal in sorted(run.signals.items())),
            tuple(task.outcome for _, task in sorted(run.tasks.items()) if task.outcome is not None),
            tuple(sorted(seq for seq, fires_at in run.timers.items() if fires_at <= self.now)),
            tuple(self.ends_of_children(run.id)),
            None if run.cancel_heard else run.cancel,
        )

    def has_mail(
        self, run: RunRecord, seen: Collection[int] = (), seen_children: Collection[UUID] = ()
    ) -> bool:
        """Say whether something waits that is not among the ``seen``; due timers are no mail."""
        return (
            any(signal not in seen for signal in run.signals)
            or any(task.outcome is not None for task in run.tasks.values())
            or any(end.child_id not in seen_children for end in self.ends_of_children(run.id))
            or run.has_unseen_cancel
        )

    def is_live(self, owner: str | None) -> bool:
        """Say whether this owner is registered and has not expired."""
        record = self.owners.get(owner) if owner is not None else None
        return record is not None and record.expires_at > self.now

    def is_gone(self, owner: str) -> bool:
        """Say whether this owner was held, and no session is left that holds it."""
        return self.holders.get(owner) == set()

    def live_owner(self, run: RunRecord) -> str | None:
        """Return who owns the run, None if nobody live does."""
        return run.owner if self.is_live(run.owner) else None

    def claimable_at(self, run: RunRecord) -> float | None:
        """Return since or from when a dispatcher may take this live run, None while it may not."""
        if run.owner is None:
            return None if run.suspect or self.pauses(run) else run.due_at
        if self.is_live(run.owner):
            return None
        return self.now if run.due_at is None else min(run.due_at, self.now)

    def pauses(self, run: RunRecord) -> bool:
        """Say whether the run was given back for a reason a while ago; who has the code that it lacks may take it."""
        return run.owner is None and run.parked_until is not None and run.parked_until > self.now

    def has_code(self, owner: str, run: RunRecord) -> bool:
        """Say whether the owner has loaded the run's version; any will do for a run that has none yet."""
        loaded = self.owners[owner].loaded
        if run.version_hash is not None:
            return (run.seed.workflow, run.version_hash) in loaded
        return any(workflow == run.seed.workflow for workflow, _ in loaded)

    def register_workflows(self, versions: Iterable[tuple[str, str]]) -> None:
        for version in versions:
            self.workflows[version] = (self.workflows.get(version, (self.now,))[0], self.now)

    def held(self, run_id: UUID, token: int) -> RunRecord | None:
        """Return the run if it is live and still leased under this token: the fence of every write (L1)."""
        run = self.live.get(run_id)
        return run if run is not None and run.owner is not None and run.token == token else None

    def lease(self, run: RunRecord, owner: str) -> int:
        """Lease the run to ``owner`` under a token larger than any before."""
        run.owner, run.token = owner, next(self.tokens)
        run.state = "running"
        if run.started_at is None:
            run.started_at = self.now
        return run.token

    def unlease(self, run: RunRecord) -> None:
        run.previous_owner, run.owner = run.owner or run.previous_owner, None

    def wake(self, run: RunRecord) -> str | None:
        """Return the run's live owner; if there is none, make the run due now, unless it has yet to begin."""
        owner = self.live_owner(run)
        if owner is None and run.started_at is not None and (run.due_at is None or run.due_at > self.now):
            run.due_at = self.now
        return owner

    def end(self, run: RunRecord, state: RunState) -> None:
        """Write a terminal state; the lease, timers, tasks and unread signals go with it. No child's end is awaited
        any more, and its own only if its parent lives."""
        assert state not in LIVE_STATES, f"{state} is no end of a run"
        for child in self.children_of(run.id):
            child.awaited = child.awaited and child.live
        run.awaited = run.awaited and run.parent in self.live
        self.unlease(run)
        run.state, run.completed_at, run.due_at = state, self.now, None
        for rows in (run.signals, run.timers, run.tasks):
            rows.clear()
        run.snapshot = None
        del self.live[run.id]

    def adopt(self, child: RunRecord, parent: UUID) -> None:
        """Give the child to the run that continues its parent; nobody awaits its end there."""
        assert child.parent is not None, f"run {child.id} has no parent"
        del self.children[child.parent][child.id]
        self.children.setdefault(parent, {})[child.id] = child
        child.parent, child.awaited = parent, False

    def last_of_chain(self, run_id: UUID) -> RunRecord | None:
        """Return the run that ``run_id`` continues as by now; itself when it was not continued."""
        run = self.runs.get(run_id)
        while run is not None and run.continued_to is not None:
            run = self.runs.get(run.continued_to)
        return run

    def lose(self, run: RunRecord, tasks: Iterable[TaskRecord]) -> None:
        """End these attempts as failed, because the worker that ran them died (A4, A5)."""
        for task in tasks:
            failure = Failure("continuum.WorkerDied", "the worker died while it ran this attempt")
            task.outcome = TaskOutcome(
                run.id, task.seq, task.attempt, False, encode_failure(failure), details=task.heartbeat
            )
            task.state = "done"


def _end_of(child: RunRecord) -> ChildEnd:
    assert child.seed.parent_command is not None, f"run {child.id} is no child that was started by its parent"
    payload = child.result if child.state == "completed" else child.error if child.state == "failed" else b""
    return ChildEnd(child.id, child.seed.parent_command, child.state, payload or b"")
