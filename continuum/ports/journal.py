"""The engine's side of the journal: load, commit, give back.

Protocol of a lease::

    Dispatch.claim ──► Journal.load (only a run with history) ──► commit* ──► commit(end) | release

Every write names the lease (run, token) and the sequence it continues; a run whose lease, state or sequence does
not match is left out of the write, whole, and is missing from the answer (L1). So a stale writer changes nothing, and
a commit whose answer was lost can be asked again without doubling an event: the second time its ``base_seq`` is old.

A run's children are the runs that its commits started, and those that continued them. A run is added to them, leaves
them or ends among them only in a transaction that holds the run's row: so whoever holds it (a cancel, the
continuation of the run) sees them all, and none escapes (N5). Rows are locked by depth, then by id: a parent before its
children, a generation in the order of ids.

All durations are seconds; all moments are decided by the database's clock (L3).
Every method may raise ``JournalError``: then nothing is known about what happened, and the caller asks again, unless
the error is ``refused``: then nothing has happened, and it never will with these values.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

import msgspec

from continuum.model.events import EventRow
from continuum.model.run import RunSeed, RunState

if TYPE_CHECKING:
    from continuum.ports.dispatch import Told


CLAIM_ARGS_MAX = 16_384  # bytes of arguments that travel with a claim; what is larger is read by who needs it
READ_BYTES_MAX = 16 << 20  # of users' values in one answer, and one value in any case


class Lease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    run_id: UUID
    token: int


class ClaimedRun(msgspec.Struct, frozen=True, array_like=True):
    """A run that was leased just now. ``fresh``: it never had an owner before, so it has no history; and nothing came
    for it that is to be read before it begins. ``args`` are empty if they are larger than ``CLAIM_ARGS_MAX``: then it
    is not called fresh, and is to be loaded as others are. ``begun_at``: when its first step began, in seconds since
    the epoch (R11). ``previous_owner``: who held it last, if anybody. ``depth``: generations above it."""

    run_id: UUID
    token: int
    fresh: bool
    workflow: str
    version_hash: str | None
    args: bytes
    namespace: str
    begun_at: float
    correlation_id: UUID
    parent_run_id: UUID | None = None
    continued_from_run_id: UUID | None = None
    previous_owner: str | None = None
    depth: int = 0


class SignalRow(msgspec.Struct, frozen=True, array_like=True):
    id: int
    name: str
    payload: bytes


class TaskOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt ended: ``payload`` is a value's payload if ``ok``, else an encoded ``Failure``."""

    run_id: UUID
    seq: int  # of the ActivityScheduled
    attempt: int
    ok: bool
    payload: bytes
    timed_out: bool = False
    details: bytes = b""  # of its last heartbeat


class ResultKey(msgspec.Struct, frozen=True, array_like=True, order=True):
    """The name of a kept result: an activity and a user's idempotency key (A10)."""

    activity: str
    key: str


class KeptResult(msgspec.Struct, frozen=True, array_like=True):
    """A result to keep for every run. ``token``: of the lease under which it was made."""

    run_id: UUID
    token: int
    seq: int  # of the ActivityScheduled
    name: ResultKey
    payload: bytes


class ChildEnd(msgspec.Struct, frozen=True, array_like=True):
    """How a child ended, at the end of its chain, not consumed by the parent yet. ``command``: the ChildStarted.
    ``state`` is that of its row, whatever its error is called (C5): completed, failed or cancelled; a child that was
    continued has not ended. ``payload``: of the value if completed, an encoded ``Failure`` if failed, empty if
    cancelled. Ends come in the order in which the children ended."""

    child_id: UUID  # the last of its chain
    command: int
    state: RunState
    payload: bytes


class CancelNote(msgspec.Struct, frozen=True, array_like=True):
    """A cancel with clean-up (K4). ``requested_at``: seconds since the epoch, database time.

    It stays in the mail until the run ends; seen it is once a ``CancelRequested`` stands in the journal. A successor
    gets it with a journal that has none (N2), and so does a child that is started before its parent has seen it. One
    that is started later belongs to the clean-up: it ends at the same time, and no mail of it says so. A run that has
    not begun is ended instead.
    """

    requested_at: float
    cleanup_s: float
    reason: str | None = None


class Mail(msgspec.Struct, frozen=True, array_like=True):
    """What waits for a run in the database: signals not consumed (in order of arrival), outcomes of its
    tasks, the timers (by seq) that are due, children that ended, and a cancel that leaves time for clean-up. ``more``:
    there is more, which this answer had no room for."""

    run_id: UUID
    signals: tuple[SignalRow, ...] = ()
    outcomes: tuple[TaskOutcome, ...] = ()
    due_timers: tuple[int, ...] = ()
    children: tuple[ChildEnd, ...] = ()
    cancel: CancelNote | None = None
    more: bool = False


class Weight(NamedTuple):
    """What a load of a run would read, in bytes: its arguments, and its events, with the snapshot before them."""

    arguments: int
    history: int


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The history up to ``upto_seq`` in one blob of core/snapshot, made by code of ``version_hash``."""

    upto_seq: int
    format: int
    version_hash: str
    data: bytes


class LoadedRun(msgspec.Struct, frozen=True, array_like=True):
    run: ClaimedRun
    events: tuple[EventRow, ...]
    mail: Mail
    open_tasks: tuple[int, ...] = ()  # seqs whose current attempt stands in a task row, queued or running
    snapshot: Snapshot | None = None  # then ``events`` begin after it


class TimerRow(msgspec.Struct, frozen=True, array_like=True):
    """A timer to set: after ``delay_s`` from this commit, or at ``until`` (microseconds since the epoch)."""

    seq: int
    delay_s: float | None = None
    until: int | None = None


class TaskRow(msgspec.Struct, frozen=True, array_like=True):
    """An attempt to put into the database because it waits or travels; due ``delay_s`` after this commit."""

    seq: int
    attempt: int
    activity: str
    args: bytes
    queue: str
    delay_s: float = 0.0
    timeout_s: float | None = None
    idempotency_key: str | None = None
    heartbeat_timeout_s: float | None = None
    last_heartbeat: bytes | None = None


class RunCommit(msgspec.Struct, array_like=True):
    """All that one step of a run changes. ``base_seq`` is the seq of the last event committed before, 0 for none."""

    run_id: UUID
    token: int
    base_seq: int
    events: Sequence[EventRow]
    state: RunState
    result: bytes | None = None  # payload of the value when completed
    error: bytes | None = None  # encoded Failure when failed
    timers_set: Sequence[TimerRow] = ()
    timers_cleared: Sequence[int] = ()
    signals_consumed: Sequence[int] = ()  # SignalRow ids
    tasks_set: Sequence[TaskRow] = ()  # replaces the row of the same seq if that holds an earlier attempt
    tasks_cleared: Sequence[int] = ()
    children_started: Sequence[RunSeed] = ()  # inserted due, with parent_run_id and parent_command
    children_consumed: Sequence[UUID] = ()  # ChildEnd.child_id
    children_cancelled: Sequence[
        int
    ] = ()  # seqs of ChildStarted: these children, and below them, are cancelled
    successor: RunSeed | None = None  # with state "continued": leased to the same owner under the same token
    is_child: bool = True  # False promises that the run has no parent: its end wakes nobody, and costs less
    version_hash: str | None = None  # stamps the run with this version of its code; None leaves it as it is
    is_bare: bool = (
        False  # True promises that it never had timers, task rows, snapshots or children: it ends for less
    )


class Release(msgspec.Struct, frozen=True, array_like=True):
    """A lease given back. ``due_in_s``: when a dispatcher may take the run again, None: when something wakes it.
    ``seen``: ids of the unread signals that the owner knows and does not wait for; ``seen_children``: likewise of the
    ends of children (``ChildEnd.child_id``). ``attention``: why it was parked, for ``run show`` (None clears it).
    ``lacks_code``: this owner has not the run's version of the code. Until ``due_in_s`` is over only an owner that has
    it may claim the run, and that one at once, whatever wakes it (D4)."""

    run_id: UUID
    token: int
    due_in_s: float | None
    attention: str | None = None
    seen: tuple[int, ...] = ()
    seen_children: tuple[UUID, ...] = ()
    lacks_code: bool = False


class Journal(Protocol):
    """What an engine asks of the database for the runs it owns."""

    def weigh(self, leases: Sequence[Lease], snapshots: bool = True) -> dict[Lease, Weight]:
        """Return what ``load`` would read of each run that is still held under these leases, without its mail."""
        ...

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        """Return the runs still held under these leases, with history and mail; others are left out.
        With ``snapshots``, a run that has one comes with it and the events after it."""
        ...

    def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the snapshot instead of an older one, if the lease holds; it goes when the run ends."""
        ...

    def mail(self, leases: Sequence[Lease], after: Sequence[int] = ()) -> list[Mail]:
        """Return the mail of the runs still held and live (an empty Mail too); the others are lost to this owner.

        An answer has no more than ``READ_BYTES_MAX`` of signals, and as much of outcomes and of ends of children, or
        one of each: what comes later is left for another. ``after``: for each lease the id of the signal beyond which
        to read, 0 for all; that is for who has the ones before already."""
        ...

    def ended(self, run_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these runs that have ended, whoever ended them."""
        ...

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> Set[UUID]:
        """Write the steps of ``batch``, each in one transaction; return the runs for which it was done.

        Steps share a transaction, but for those that continue a run with children, or cancel children: an error may
        come when a part of the batch is written, and the caller asks again for all of it.

        ``announce``: tell waiting clients of the runs that end, in the same transaction. That is the quickest way, and
        it serialises all commits of the database: for small batches of an idle engine only. A terminal state clears
        the lease, timers, open tasks and unread signals of the run in the same transaction.
        At most one element per run.

        ``signals_consumed`` have to be there, unread: a step of others is left out. In a crash the database may forget
        a signal that this owner was told before it was on disk; then nothing that rests on it may be written.

        ``children_started``: the children are inserted, due after their ``delay_s`` (C1). Namespace, depth and
        attributes come from the parent's row, whatever the seed says (C3); ``correlation_id`` is the child's own id
        unless the seed has one. A child that exists is left alone; if it is somebody else's run, which takes a client
        that chose the derived id, it does not become a child, and its end is not reported.

        The end of a child wakes its parent (C2): a parent without owner is due, the router of another owner's node is
        told after the commit, unless ``told`` takes that wake, and ``Mail.children`` has the end until
        ``children_consumed`` names it or the parent ends. An engine tells itself of the ends of its own runs.

        ``children_cancelled``: what is live of these children, and below them, ends as by ``Catalog.cancel``; their
        ends are not reported to this run.

        ``successor``, with the state ``continued`` (N1): ends the run, and inserts its successor, leased to the same
        owner under the same token, with ``continued_to`` and ``continued_from`` set. It inherits parent, command,
        depth, namespace, attributes, correlation and a cancel that leaves time for clean-up (N2); to the parent it
        is the same child. All signals move to it, delivery ids too (S5), and so do the children that live, have
        living descendants, or whose end is not consumed. These are reached by a cancel, but the successor's journal
        does not know them: their ends are not reported, and a ``ChildRef`` cannot be awaited across a continuation.
        Timers and tasks of the old run are gone. An owner whose answer was lost asks ``load`` for the successor's id
        with the old token. A successor whose id exists is a ``JournalError``.
        """
        ...

    def keep(self, results: Sequence[KeptResult]) -> list[bytes | None]:
        """Keep these results, in one transaction, and return for each the payload that is kept under its name: this
        one, or the one that came first. None, and nothing kept, for a run that is not held under that lease.

        A kept result never changes and never goes by itself. It is kept before its run takes it: so what any
        journal says of a name is what is kept under it, whoever won the race.
        """
        ...

    def release(self, releases: Sequence[Release]) -> None:
        """Give leases back (L7): state becomes ``suspended`` unless the run is due at once; stale ones are ignored.

        A run with a due timer, a cancel that its journal does not have, or with mail that the owner has not ``seen``
        (signals, outcomes, ends of children), is due at once whatever ``due_in_s`` says:
        nothing that came between the owner's last look and this may wait for a scan. But not one that is given
        back for a reason (``attention``): its back-off holds, or it would be claimed in a hot loop (D4).
        """
        ...

    def leased_since(self, owner: str, token: int) -> list[Lease]:
        """Return this owner's live leases with a larger token: those that a lost message never announced."""
        ...
