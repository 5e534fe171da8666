"""Who owns what: owners and their liveness, claims of runs and of tasks (chapters L and B).

An owner is live while its row has not expired. Every method may raise ``JournalError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from continuum.ports.journal import ClaimedRun, ResultKey, TaskOutcome

# The attention of a run that engines died of, behind the count; {run} and {owner} are filled in.
SUSPECTED = "code of this run was running each time; it is resumed alone, with growing pauses"
SET_ASIDE = (
    "code of this run was running each time (a crash, out of memory, or a step that does not end), last in {owner}, "
    "whose log says more; it is not resumed any more. Mend the cause, then `continuum run resume {run}`, or cancel it"
)
CANCEL_MARGIN_S = 5.0  # beyond a cancel's clean-up time, for the owner to end the run by itself


class ClaimedTask(msgspec.Struct, frozen=True, array_like=True):
    """An attempt taken from a task row, durable as started before it runs (A1)."""

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


class Woken(msgspec.Struct, frozen=True, array_like=True):
    """A run that got mail, and its live owner; None: nobody owns it, and it is due for any dispatcher now."""

    run_id: UUID
    owner: str | None


class Due(msgspec.Struct, frozen=True, array_like=True):
    """Seconds until the next run or task can be claimed, None for none in sight; 0 or less: now."""

    run_in_s: float | None
    task_in_s: float | None


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

    def heartbeat(self, owner: str, ttl_s: float) -> float | None:
        """Renew the owner's row; return the database's time, or None if the row is gone or was expired: the owner
        may have lost its runs, must drop them and register anew under another incarnation."""
        ...

    def retire(self, owners: Sequence[str]) -> None:
        """Declare these owners dead: their runs may be claimed at once, their claimed tasks become lost."""
        ...

    def claim(self, owner: str, limit: int) -> list[ClaimedRun]:
        """Lease up to ``limit`` runs to ``owner``: live, due, without a live owner, oldest due first (B1, B2).

        A run that was given back for want of its code is not due before its back-off is over, but for owners that
        have ``loaded`` its version, it is at once (D4).

        Runs of dead owners count as due. Rows locked by others are skipped. Committed asynchronously: a claim lost
        in a database crash is a claim that never was. Nothing is claimed for an owner that is not live itself.
        """
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

    def next_suspect(self, owners: Sequence[str]) -> float | None:
        """Return the seconds until one of these owners can resume a run that was set aside, 0 or less: now."""
        ...

    def claim_tasks(self, claimer: str, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        """Take up to ``limit`` due tasks of these queues for ``claimer`` (a registered owner)."""
        ...

    def assign_task(self, claimer: str, keys: Sequence[tuple[UUID, int, int]], worker: str) -> None:
        """Note which worker incarnation runs claimed tasks ((run, seq, attempt) each)."""
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
        """Cancel for good, as ``Catalog.cancel`` does, the runs whose time for clean-up has been over for
        ``CANCEL_MARGIN_S``, with all their descendants (K4, K5); return what ended. Owners and clients are told.

        Cheap while no run is being cancelled.
        """
        ...

    def upkeep(self) -> None:
        """Make what the coming weeks need, such as the next month's part of the journal. May be called at any time,
        from many nodes; when it was not, nothing is refused (O3)."""
        ...

    def next_due(self, queues: Sequence[str]) -> Due:
        """Return how long a dispatcher of these queues may wait; runs of live owners do not count, nor those that
        wait for code (a look now and then finds them)."""
        ...
