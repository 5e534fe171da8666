"""A store, and the acts that most tests of it begin with.

Time is the store's own, so tests name moments that need no waiting: a delay of 0, a delay of an hour, a moment long
ago, an owner whose row expired when it was written.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypedDict, TypeVar, Unpack
from uuid import UUID, uuid4

from continuum.memory import MemoryStore
from continuum.model.events import CancelRequested, EventRow, SideEffect, to_row
from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Catalog, RunRow
from continuum.ports.dispatch import Dispatch
from continuum.ports.journal import (
    Journal,
    Lease,
    LoadedRun,
    Mail,
    Release,
    RunCommit,
    TaskOutcome,
    TaskRow,
    TimerRow,
)
from continuum.ports.mailbox import Mailbox, NearTimer

T = TypeVar("T")
OWNER, OTHER = "n1/default/engine-1/b1-1", "n2/default/engine-1/b2-1"
HOUR_S = 3600.0
LONG_AGO = 1  # microseconds since the epoch
FAR_AWAY = 4_102_444_800_000_000  # the year 2100
ENDED: tuple[RunState, ...] = ("completed", "failed", "cancelled", "continued")


class Store(Protocol):
    @property
    def journal(self) -> Journal: ...
    @property
    def dispatch(self) -> Dispatch: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def catalog(self) -> Catalog: ...
    def close(self) -> None: ...


def ticking_store() -> MemoryStore:
    """Return a memory store in which every transaction is a millisecond after the one before."""
    ticks = itertools.count(1_700_000_000_000)
    return MemoryStore(lambda: next(ticks) / 1000)


class Rows(TypedDict, total=False):
    """The fields of a ``RunCommit`` that steps seldom have."""

    result: bytes | None
    error: bytes | None
    timers_set: tuple[TimerRow, ...]
    timers_cleared: tuple[int, ...]
    signals_consumed: tuple[int, ...]
    tasks_set: tuple[TaskRow, ...]
    tasks_cleared: tuple[int, ...]
    children_started: tuple[RunSeed, ...]
    children_consumed: tuple[UUID, ...]
    children_cancelled: tuple[int, ...]
    successor: RunSeed | None
    is_child: bool


def seed(**fields: object) -> RunSeed:
    """Return a seed with a new id, and what ``fields`` say."""
    return RunSeed(**{"id": uuid4(), "workflow": "shop.checkout", "args": b"args"} | fields)  # type: ignore[arg-type]


def child_of(lease: Lease, command: int = 1, **fields: object) -> RunSeed:
    """Return the seed of a child that this event of the run's journal starts."""
    return seed(parent_run_id=lease.run_id, parent_command=command, **fields)


def cancel_event(seq: int) -> EventRow:
    return to_row(seq, CancelRequested(1.0, 1))


def events(first: int, last: int) -> tuple[EventRow, ...]:
    return tuple(to_row(seq, SideEffect(b"value %d" % seq)) for seq in range(first, last + 1))


def task(seq: int, attempt: int = 1, *, delay_s: float = 0.0, queue: str = "default") -> TaskRow:
    return TaskRow(seq, attempt, "shop.charge", b"task args", queue, delay_s)


def due_timer(seq: int) -> TimerRow:
    return TimerRow(seq, until=LONG_AGO)


def far_timer(seq: int) -> TimerRow:
    return TimerRow(seq, delay_s=HOUR_S)


def completed(lease: Lease, seq: int, attempt: int = 1) -> TaskOutcome:
    return TaskOutcome(lease.run_id, seq, attempt, True, b"value")


def step(
    lease: Lease, base_seq: int = 0, count: int = 0, state: RunState = "running", **rows: Unpack[Rows]
) -> RunCommit:
    """Return a step of the run that adds ``count`` events after ``base_seq``, with these other rows."""
    added = events(base_seq + 1, base_seq + count)
    return RunCommit(lease.run_id, lease.token, base_seq, added, state, **rows)


class Scene:
    """Two live owners, ``OWNER`` and ``OTHER``, and an empty store."""

    def __init__(self, store: Store) -> None:
        self.journal = store.journal
        self.dispatch = store.dispatch
        self.mailbox = store.mailbox
        self.catalog = store.catalog
        self.roots: set[UUID] = set()  # runs without a parent, as far as they were made here
        for owner in (OWNER, OTHER):
            self.dispatch.register(owner, owner[:2], f"ipc://{owner[:2]}", 30.0)

    def insert(self, **fields: object) -> UUID:
        """Insert a run that nobody owns; due now unless ``delay_s`` says otherwise."""
        new = seed(**fields)
        (inserted,) = self.catalog.insert([new])
        if new.parent_run_id is None:
            self.roots.add(inserted.run_id)
        return inserted.run_id

    def leased(self, owner: str = OWNER, **rows: Unpack[Rows]) -> Lease:
        """Insert a run that is leased to ``owner``; with ``rows``, commit a first step without events."""
        (inserted,) = self.catalog.insert([seed()], owner=owner)
        assert inserted.token is not None
        self.roots.add(inserted.run_id)
        lease = Lease(inserted.run_id, inserted.token)
        if rows:
            assert self.commit(step(lease, **rows))
        return lease

    def parked(self, **rows: Unpack[Rows]) -> UUID:
        """Insert a run that was given back and waits for whatever wakes it."""
        lease = self.leased(**rows)
        self.release(lease, None)
        return lease.run_id

    def release(
        self,
        lease: Lease,
        due_in_s: float | None,
        attention: str | None = None,
        seen: tuple[int, ...] = (),
        seen_children: tuple[UUID, ...] = (),
    ) -> None:
        given = Release(lease.run_id, lease.token, due_in_s, attention, seen, seen_children)
        self.journal.release([given])

    def commit(self, *steps: RunCommit) -> set[UUID]:
        """Commit as an engine does, which knows which runs have a parent."""
        for each in steps:
            each.is_child = each.run_id not in self.roots
        return set(self.journal.commit(steps))

    def end(self, lease: Lease, state: RunState = "completed") -> None:
        assert self.commit(step(lease, len(self.seqs(lease.run_id)), state=state))

    def child(self, parent: Lease, owner: str | None = OWNER, **fields: object) -> Lease:
        """Start a child of this run by the next event of its journal, and claim it for ``owner`` if there is one."""
        command = len(self.seqs(parent.run_id)) + 1
        started = child_of(parent, command, **fields)
        assert self.commit(step(parent, command - 1, 1, children_started=(started,)))
        if owner is None:
            return Lease(started.id, 0)
        return self.take(started.id, owner)

    def take(self, run_id: UUID, owner: str = OWNER) -> Lease:
        """Claim what is due, and return the lease of this run."""
        return next(lease for lease in self.claim(owner) if lease.run_id == run_id)

    def succeed(self, lease: Lease, **rows: Unpack[Rows]) -> Lease:
        """Continue the run as new; return the lease of its successor."""
        successor = seed()
        base = len(self.seqs(lease.run_id))
        last: Rows = {**rows, "successor": successor}
        assert self.commit(step(lease, base, 1, "continued", **last))
        return Lease(successor.id, lease.token)

    def ends(self, lease: Lease) -> list[tuple[UUID, int, RunState, bytes]]:
        """Return how children of the run ended, as its mail says."""
        return [(end.child_id, end.command, end.state, end.payload) for end in self.mail(lease).children]

    def expire(self, owner: str) -> None:
        """Let this owner's row expire."""
        self.dispatch.register(owner, "n", "ipc://n", -1.0)

    def claim(self, owner: str = OWNER, limit: int = 100) -> list[Lease]:
        return [Lease(run.run_id, run.token) for run in self.dispatch.claim(owner, limit)]

    def claimed_ids(self, owner: str = OWNER, limit: int = 100) -> list[UUID]:
        return [lease.run_id for lease in self.claim(owner, limit)]

    def claim_task(self, claimer: str = OWNER, queue: str = "default") -> tuple[UUID, int, int]:
        (claimed,) = self.dispatch.claim_tasks(claimer, [queue], 10)
        return claimed.run_id, claimed.seq, claimed.attempt

    def tasks(
        self, claimer: str = OWNER, queue: str = "default", limit: int = 100
    ) -> list[tuple[UUID, int, int]]:
        """Claim what can be claimed; return (run, seq, attempt) of each."""
        claimed = self.dispatch.claim_tasks(claimer, [queue], limit)
        return [(row.run_id, row.seq, row.attempt) for row in claimed]

    def row(self, run_id: UUID) -> RunRow:
        row = self.catalog.get(run_id)
        assert row is not None, f"run {run_id} is in the store"
        return row

    def seqs(self, run_id: UUID) -> list[int]:
        return [event.seq for event in self.catalog.events(run_id)]

    def load(self, lease: Lease) -> LoadedRun:
        (loaded,) = self.journal.load([lease])
        return loaded

    def mail(self, lease: Lease) -> Mail:
        (mail,) = self.journal.mail([lease])
        return mail

    def signal(self, run_id: UUID, *names: str) -> None:
        for name in names:
            assert self.catalog.signal(run_id, name, name.encode(), None)[0] == "delivered"

    def timers(self) -> list[NearTimer]:
        return self.mailbox.timers_within(1e9, 1000)

    def timer_keys(self) -> list[tuple[UUID, int]]:
        return [(timer.run_id, timer.seq) for timer in self.timers()]


def until(attempt: Callable[[], T], limit: int = 100_000) -> T:
    """Return the first answer of ``attempt`` that is true; asking takes time, in every store.

    Raises:
        AssertionError: there was none in ``limit`` attempts.
    """
    for _ in range(limit):
        if answer := attempt():
            return answer
    raise AssertionError(f"nothing came in {limit} attempts")


def at_once(works: Sequence[Callable[[], object]]) -> None:
    """Do these works at one time, each in a thread, and wait for their end."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], object]) -> None:
        barrier.wait(30)
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(begin, work) for work in works]:
            done.result(30)


def names(mail: Mail) -> list[str]:
    return [signal.name for signal in mail.signals]


def ids(mails: Iterable[Mail | LoadedRun]) -> set[UUID]:
    """Return the ids of the runs that an answer speaks of."""
    return {mail.run.run_id if isinstance(mail, LoadedRun) else mail.run_id for mail in mails}
