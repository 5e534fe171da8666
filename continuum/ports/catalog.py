"""The client's side: start, signal, cancel, look (API §3). Every method may raise ``JournalError``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from continuum.model.events import EventRow
from continuum.model.query import Query
from continuum.model.run import RunSeed, RunState
from continuum.ports.overview import Overview


class Inserted(msgspec.Struct, frozen=True, array_like=True):
    """``token`` is set when the run was inserted leased; ``created`` is False when it existed already: then
    ``workflow`` is that of the run that exists."""

    run_id: UUID
    created: bool
    token: int | None = None
    workflow: str | None = None


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run's row as stored; the client makes a ``Run`` of it. Times: seconds since the epoch."""

    id: UUID
    key: str | None
    workflow: str
    version_hash: str | None
    state: RunState
    namespace: str
    attributes: dict[str, object]
    args: bytes
    result: bytes | None
    error: bytes | None
    parent_run_id: UUID | None
    correlation_id: UUID
    continued_from_run_id: UUID | None
    continued_to_run_id: UUID | None
    created_at: float
    started_at: float | None
    completed_at: float | None
    owner: str | None
    attention: str | None
    depth: int  # generations above it
    begun_at: float | None = None  # when its first step began, if that was not when it was created


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """Where a chain of runs stands: the last run of the chain, and its outcome if it has ended."""

    run_id: UUID
    state: RunState
    result: bytes | None
    error: bytes | None


class VersionRow(msgspec.Struct, frozen=True, array_like=True):
    """A version of a workflow that was loaded once, or that live runs are pinned to. Times: seconds since the epoch,
    None if no node has ever loaded it. ``runs``: live ones pinned to it. ``engines``: live ones that have its code."""

    workflow: str
    version_hash: str
    first_loaded_at: float | None
    last_loaded_at: float | None
    runs: int
    engines: int

    @property
    def unused(self) -> bool:
        """True if it may be collected."""
        return not self.runs and not self.engines


Resumed = Literal["resumed", "not_set_aside", "not_found", "terminal"]
Signalled = Literal["delivered", "duplicate", "not_found", "terminal"]


class Cancelled(NamedTuple):
    """What came of a cancel. ``requested``: the run was asked to clean up and end. ``state``: of the last run of the
    chain. ``run_ids``: every run that was ended or asked, the one that was named first, then its descendants."""

    outcome: Literal["cancelled", "requested", "not_found", "terminal"]
    state: RunState | None = None
    run_ids: tuple[UUID, ...] = ()


class Catalog(Protocol):
    def insert(self, seeds: Sequence[RunSeed], *, owner: str | None = None) -> list[Inserted]:
        """Insert runs, all or none of the transaction, due after their delay; with ``owner`` leased to it instead (L5).

        A run whose id exists is not touched and comes back with ``created=False``. ``parent_run_id`` only tells where
        the run comes from: children, with ``parent_command`` and ``depth``, are inserted by their parent's commit.

        A run that is inserted alone, is due at once and has no ``owner`` given may be leased to an owner that hears,
        has room and the run's code, and runs on the same machine: it need not be claimed then.
        """
        ...

    def signal(
        self, run_id: UUID, name: str, payload: bytes, delivery_id: str | None
    ) -> tuple[Signalled, RunState | None]:
        """Put a signal into the run's mailbox, and wake it, in one transaction (S1). Follows ``continued_to``.
        A run that has not begun is not woken: it begins when it was to begin, and finds the signal."""
        ...

    def cancel(self, run_id: UUID, reason: str | None, cleanup_s: float | None = None) -> Cancelled:
        """End a live run and all its live descendants as ``cancelled``, in one transaction: leases, timers, tasks and
        unread signals go with them (K1). Follows ``continued_to``. Descendants are locked generation by generation, and
        found below ended runs too (K5). Their error is a ``Failure`` of type ``continuum.Cancelled`` with the reason.
        The waiting clients of all of them, their owners, and the run's parent are told (K2).

        With ``cleanup_s`` the run and its live descendants get a ``CancelNote`` and are woken (K4), but for those that
        nobody holds and that have not begun: they end at once (B5).
        Of two notes the one whose time is over first stays. ``Dispatch.end_overdue_cancels`` ends who does not.
        """
        ...

    def resume(self, run_id: UUID) -> tuple[Resumed, RunState | None]:
        """Let a run that ``Dispatch.blame`` has set aside be resumed, as if no engine had died of it: alone, and at
        once. Follows no chain: what is set aside is the run itself."""
        ...

    def endings(self, run_ids: Sequence[UUID]) -> dict[UUID, Ending]:
        """Return, by the id asked for, where each chain stands; unknown ids are missing (W1)."""
        ...

    def get(self, run_id: UUID) -> RunRow | None: ...

    def events(self, run_id: UUID) -> list[EventRow]: ...

    def query(self, query: Query) -> list[RunRow]:
        """Return at most ``query.limit + 1`` rows, by which the client knows that there is a next page."""
        ...

    def set_attributes(self, run_id: UUID, attributes: Mapping[str, object]) -> bool:
        """Merge in SQL (Q2); False if there is no such run."""
        ...

    def register_workflows(self, versions: Sequence[tuple[str, str]]) -> None:
        """Note that a node has loaded these (workflow, version_hash)."""
        ...

    def workflows(self) -> list[str]:
        """Names of the workflows that some node has registered."""
        ...

    def versions(self) -> list[VersionRow]:
        """Return every version, by workflow, the oldest first. It reads all live runs: for people, not for programs."""
        ...

    def collect_versions(self) -> list[tuple[str, str]]:
        """Forget the versions that are neither pinned by a live run nor loaded by a live engine; return these
        (workflow, version_hash), sorted (D6)."""
        ...

    def overview(self) -> Overview:
        """Return who owns what, what waits and what is stuck, each at its own moment: for people, not for programs."""
        ...
