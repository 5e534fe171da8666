"""Who owns what: owners and their liveness, claims of runs and of tasks (chapters L and B).

An owner is live while its row has not expired. An owner may also be *held*, by any number of sessions (connections)
of its processes; when the last of them has ended, others know that it is dead, and need not wait for its row to expire
(L4). Every method may raise ``JournalError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from continuum.ports.journal import ClaimedRun, ResultKey, TaskOutcome

# The attention of a run that engines died of, behind the count; {run} and {owner} are filled in.
SUSPECTED = "this run was running or being read each time; it is resumed alone, with growing pauses"
SET_ASIDE = (
    "this run was running or being read each time (a crash, out of memory, or a step that does not end), last in "
    "{owner}, whose log says more; it is not resumed any more. "
    "Mend the cause, then `continuum run resume {run}`, or cancel it"
)
WANTED_S = 5.0  # in which a run that waits for code is tried again by who seems to have it


class ClaimedTask(msgspec.Struct, frozen=True, array_like=True):
    """An attempt taken from a task row, durable as started before it runs (A1). ``owner``: who holds the run just now,
    which may change while the attempt runs; None for nobody."""

    run_id: UUID
    seq: int
    attempt: int
    activity: str
    args: bytes
    queue: str
    timeout_s: float | None = None
    idempotency_key: str | None = None
    heartbeat_timeout_s: float | None = None
    last_heartbeat: bytes | None = None
    owner: str | None = None


class Life(NamedTuple):
    """``epoch`` is larger than that of every life before. ``realm`` names this instance of this database: no other has
    the same."""

    epoch: int
    realm: str


class GroupAddress(NamedTuple):
    """Where the group of a node is reached, ``HOST:PORT``."""

    node: str
    address: str


class Woken(msgspec.Struct, frozen=True, array_like=True):
    """A run that got mail, and its live owner; None: nobody owns it, and it is due for any dispatcher now."""

    run_id: UUID
    owner: str | None


class Told:
    """What an operation would tell the owners of other nodes, of whom those that ``reaches`` says are told by message
    instead: their runs come to lie in ``woken``. One for each operation; ``take`` may run in any thread."""

    def __init__(self, reaches: Callable[[str], bool]) -> None:
        self._reaches = reaches
        self.woken: list[Woken] = []

    def take(self, woken: Sequence[Woken]) -> list[Woken]:
        """Take what goes by message; return what is left to be told by the database."""
        taken = [run for run in woken if run.owner is not None and self._reaches(run.owner)]
        self.woken += taken
        return [run for run in woken if run not in taken]


class Others(msgspec.Struct, frozen=True, array_like=True):
    """The live owners of other lives of nodes: those of which no session is left, and how many there are in all."""

    gone: list[str]
    live: int


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A live owner that was asked to renew its row, and which state of the row that was."""

    owner: str
    expires_us: int


class Beat(NamedTuple):
    """An owner's row was renewed at ``now``, the database's time in seconds since the epoch. ``token``: the largest of
    its leases, 0 if it has none."""

    now: float
    token: int


class Due(msgspec.Struct, frozen=True, array_like=True):
    """What there is to do for a dispatcher: seconds until the next run, task or suspect can be claimed, and until a
    cancel's time for clean-up is over; None for none in sight, 0 or less: now. ``lost``: there are
    tasks whose claimer has died."""

    run_in_s: float | None
    task_in_s: float | None
    suspect_in_s: float | None = None
    cancel_in_s: float | None = None
    lost: bool = False


class Death(msgspec.Struct, frozen=True, array_like=True):
    """An owner that died while code of ``run_id`` ran in it."""

    run_id: UUID
    owner: str


class Dispatch(Protocol):
    def register(
        self, owner: str, node: str, address: str, ttl_s: float, loaded: Sequence[tuple[str, str]] = ()
    ) -> float:
        """Insert (or renew) the owner's row; return the database's time, seconds since the epoch.

        ``loaded``: each (workflow, version_hash) that the owner has the code of; they are noted as registered, too
        (D6).
        """
        ...

    def heartbeat(self, owner: str, ttl_s: float) -> Beat | None:
        """Renew the owner's row; None if the row is gone or was expired: the owner may have lost its runs, must drop
        them and register anew under another incarnation."""
        ...

    def hear(self, owner: str, channel: str | None, room: int) -> bool:
        """Note that this live owner hears on a channel (None: no more) what is sent to it: signals for its runs and,
        while its ``room`` is not 0, runs that `Catalog.insert` leases to it. Of several owners with room the one with
        most gets them. False, and nothing noted, for an owner that is not live."""
        ...

    def retire(self, owners: Sequence[str]) -> None:
        """Declare these owners dead: their runs may be claimed at once, their claimed tasks become lost."""
        ...

    def begin_life(self) -> Life:
        """Take the next epoch."""
        ...

    def groups(self, limit: int) -> list[GroupAddress]:
        """Return the addresses with which the groups (owners of the process ``group``) of live nodes have registered,
        of no more than ``limit`` nodes, those that were renewed last first."""
        ...

    def hold(self, owner: str) -> bool:
        """Hold this owner as long as the caller's session lasts, and in any session that replaces it, from the next
        call for the owner on. To be called before ``register``; again does no harm. False: there is no session to
        hold it, because a connection pooler stands between."""
        ...

    def look_for_gone(self, boot: str, limit: int) -> Others:
        """Find the live owners of which every session that held them is gone, of all lives of nodes but ``boot``;
        look at no more than ``limit``, others in each call. A session may be about to be replaced.

        Owners that were never held, or not since the server was started, are not found.
        """
        ...

    def retire_gone(self, owners: Sequence[str]) -> list[str]:
        """Retire those of these owners that are still gone; return them. Safe while they come back: an owner is either
        held again and left alone, or retired, which its next heartbeat says."""
        ...

    def ask(self, node: str, boot: str) -> list[Asked]:
        """Ask each live owner of this life of a node to renew its row at once, by a notice ``ask``."""
        ...

    def retire_silent(self, asked: Sequence[Asked]) -> list[str]:
        """Retire those that have not renewed their rows since they were asked; return them."""
        ...

    def claim(self, owner: str, limit: int) -> list[ClaimedRun]:
        """Lease up to ``limit`` runs to ``owner``: live, due, without a live owner, oldest due first (B1, B2).

        A run that was given back for want of its code is not due before its back-off is over, but for owners that
        have ``loaded`` its version, it is at once (D4).

        Runs of dead owners count as due. Rows locked by others are skipped. Committed asynchronously: a claim lost
        in a database crash is a claim that never was. Nothing is claimed for an owner that is not live itself.
        """
        ...

    def claim_due(self, owner: str, limit: int) -> list[ClaimedRun]:
        """The same, quicker, for what a notice ``due`` tells of: runs that nobody holds and that wait for no code."""
        ...

    def blame(self, deaths: Sequence[Death], deaths_max: int) -> None:
        """Count these deaths, one for each run at most, and set the runs aside (B4): they are suspended, and nobody can
        claim them but ``claim_suspect``, after 0 s, then 1, 4, 16... and at most 60 s. At ``deaths_max`` deaths without
        an event in between nobody can at all, until ``Catalog.resume``. The reason is the run's ``attention``.

        The same death told again changes nothing, nor does that of an owner which neither holds the run nor was the
        last to hold it. A run that somebody else has claimed since stays with them.
        """
        ...

    def claim_suspect(self, owner: str) -> list[ClaimedRun]:
        """Lease one run that was set aside to ``owner``, which must have no other: the one that waits longest, of
        those whose code it has loaded, or that have waited for a minute."""
        ...

    def claim_tasks(self, claimer: str, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        """Take up to ``limit`` due tasks of these queues for ``claimer`` (a registered owner), and no more than come
        before ``READ_BYTES_MAX`` bytes of arguments are full."""
        ...

    def assign_task(self, claimer: str, keys: Sequence[tuple[UUID, int, int]], worker: str) -> None:
        """Note which worker incarnation runs claimed tasks ((run, seq, attempt) each)."""
        ...

    def claimed(self, claimers: Sequence[str]) -> set[tuple[UUID, int, int]]:
        """Return the attempts that these claimers have. What is missing was withdrawn, because its run has ended or
        does not wait for it any more, or counts as lost."""
        ...

    def return_tasks(self, claimer: str, keys: Sequence[tuple[UUID, int, int]]) -> None:
        """Put claimed tasks back that never reached a worker: queued, due now, same attempt."""
        ...

    def results(self, names: Sequence[ResultKey]) -> dict[ResultKey, bytes]:
        """Return the payloads of the results that are kept under these names (A10)."""
        ...

    def note_heartbeats(self, claimer: str, beats: Sequence[tuple[tuple[UUID, int, int], bytes]]) -> None:
        """Note the details that claimed attempts have sent last ((run, seq, attempt), payload): should one be lost,
        its outcome has them (A11)."""
        ...

    def offer_outcomes(self, outcomes: Sequence[TaskOutcome]) -> list[Woken]:
        """Store how attempts ended where the runs' owners find it, in the task row (made if there is none).

        Ignored for a run that is not live, and for an attempt older than the row's (A7). Wakes the runs.
        """
        ...

    def lose_tasks(self, claimer: str, worker: str | None) -> list[Woken]:
        """The worker (None: every worker) of this claimer died: its running tasks end as failed attempts of type
        ``continuum.WorkerDied`` (A4). Wakes the runs."""
        ...

    def lose_orphans(self) -> list[Woken]:
        """The same for the tasks of every claimer that is not live."""
        ...

    def end_overdue_cancels(self) -> list[UUID]:
        """Cancel for good, as ``Catalog.cancel`` does, the runs whose time for clean-up is over, with all their
        descendants (K4, K5); return what ended. Owners and clients are told.

        Cheap while no run is being cancelled.
        """
        ...

    def upkeep(self) -> None:
        """Make what the coming weeks need, such as the next month's part of the journal. May be called at any time,
        from many nodes; when it was not, nothing is refused (O3)."""
        ...

    def next_due(self, queues: Sequence[str], owners: Sequence[str] = ()) -> Due:
        """Return how long a dispatcher of these queues and engines may wait. Runs of live owners do not count, and
        those that wait for code only if one of ``owners`` has it."""
        ...
