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

from continuum.model.events import EventRow, Failure
from continuum.model.run import LIVE_STATES, RunSeed, RunState
from continuum.ports.journal import Mail, SignalRow, TaskOutcome

TaskState = Literal["queued", "running", "done"]
encode_failure = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class OwnerRecord:
    node: str
    address: str
    expires_at: float
    loaded: frozenset[tuple[str, str]] = frozenset()


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
    state: TaskState = "queued"
    claimed_by: str | None = None
    worker: str | None = None
    outcome: TaskOutcome | None = None


@dataclass(slots=True)
class RunRecord:
    """``owner`` and ``token`` are the lease; the token outlives it. ``due_at`` counts while nobody owns it."""

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
    version_hash: str | None = None
    parked_until: float | None = None  # for want of its code
    events: list[EventRow] = field(default_factory=list)
    signals: dict[int, SignalRow] = field(default_factory=dict)
    deliveries: set[str] = field(default_factory=set)  # of consumed signals too: S6
    timers: dict[int, float] = field(default_factory=dict)  # seq -> database time
    tasks: dict[int, TaskRecord] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return self.seed.id

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    def mail(self, now: float) -> Mail:
        """Return what waits for the run: signals as they came, outcomes and due timers by seq."""
        return Mail(
            self.id,
            tuple(signal for _, signal in sorted(self.signals.items())),
            tuple(task.outcome for _, task in sorted(self.tasks.items()) if task.outcome is not None),
            tuple(sorted(seq for seq, fires_at in self.timers.items() if fires_at <= now)),
        )

    def has_mail(self, seen: Collection[int] = ()) -> bool:
        """Say whether an outcome waits, or an unread signal that is not among the ``seen``."""
        return any(signal not in seen for signal in self.signals) or any(
            task.outcome is not None for task in self.tasks.values()
        )

    def has_due_timer(self, now: float) -> bool:
        return any(fires_at <= now for fires_at in self.timers.values())


class Tables:
    """All rows of one store. ``now`` is the database's time of the transaction in progress."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: dict[UUID, RunRecord] = {}
        self.live: dict[UUID, RunRecord] = {}
        self.owners: dict[str, OwnerRecord] = {}
        self.workflows: dict[tuple[str, str], tuple[float, float]] = {}  # when loaded first and last
        self.tokens = count(1)
        self.signal_ids = count(1)

    def is_live(self, owner: str | None) -> bool:
        """Say whether this owner is registered and has not expired."""
        record = self.owners.get(owner) if owner is not None else None
        return record is not None and record.expires_at > self.now

    def live_owner(self, run: RunRecord) -> str | None:
        """Return who owns the run, None if nobody live does."""
        return run.owner if self.is_live(run.owner) else None

    def claimable_at(self, run: RunRecord) -> float | None:
        """Return since or from when a dispatcher may take this live run, None while it may not."""
        if run.owner is None:
            return None if self.waits_for_code(run) else run.due_at
        if self.is_live(run.owner):
            return None
        return self.now if run.due_at is None else min(run.due_at, self.now)

    def waits_for_code(self, run: RunRecord) -> bool:
        """Say whether only an owner that has the run's code may take it."""
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
        """Return the run's live owner; if there is none, make the run due now."""
        owner = self.live_owner(run)
        if owner is None and (run.due_at is None or run.due_at > self.now):
            run.due_at = self.now
        return owner

    def end(self, run: RunRecord, state: RunState) -> None:
        """Write a terminal state; the lease, timers, tasks and unread signals go with it."""
        assert state not in LIVE_STATES, f"{state} is no end of a run"
        self.unlease(run)
        run.state, run.completed_at, run.due_at = state, self.now, None
        for rows in (run.signals, run.timers, run.tasks):
            rows.clear()
        del self.live[run.id]

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
            task.outcome = TaskOutcome(run.id, task.seq, task.attempt, False, encode_failure(failure))
            task.state = "done"
