"""Timers, and mail that lies in the database: what the timer and the router read (chapters S and T)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from continuum.ports.dispatch import Woken
from continuum.ports.journal import ClaimedRun, SignalRow


class NearTimer(msgspec.Struct, frozen=True, array_like=True):
    """A timer and the seconds until it is due, by the database's clock (negative: overdue)."""

    run_id: UUID
    seq: int
    in_s: float


class DueTimer(msgspec.Struct, frozen=True, array_like=True):
    run_id: UUID
    seq: int
    owner: str | None  # live owner of the run


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """A hint from the database. ``due``: a run that nobody holds can be claimed. ``left``: an owner died, or a run
    waits for an owner that has its code. ``task``: a task can be claimed. ``alone``: a run that was set aside can be
    resumed. ``mail``: the run has mail (or was cancelled), its owner is given. ``owner``: there is a new one. ``ask``:
    this owner shall renew its row. A lost notice costs latency only (B6).

    To owners that hear (`Dispatch.hear`) and to nobody else: ``leased``: the run was inserted under a lease of theirs,
    of this ``token``, and is ``claimed`` if it is short. ``signal``: the run has mail, and if there is a ``signal``, it
    is the next one of its name: all that came before are consumed."""

    kind: str
    run_id: UUID | None = None
    owner: str | None = None
    token: int = 0
    claimed: ClaimedRun | None = None
    signal: SignalRow | None = None


class Mailbox(Protocol):
    def timers_within(self, horizon_s: float, limit: int) -> list[NearTimer]:
        """Return the live runs' timers that are due within the horizon, overdue ones too, soonest first."""
        ...

    def due_timers(self, keys: Sequence[tuple[UUID, int]]) -> tuple[list[DueTimer], list[NearTimer]]:
        """Of these timers return those that are due now, by the database's clock, and those that still wait.
        The ones in neither list do not exist any more. A due timer of a run without a live owner makes the run due."""
        ...

    def unread(self, owners: Sequence[str], limit: int) -> list[Woken]:
        """Return runs of these owners that have unread signals, outcomes, ends of children, or a cancel that their
        journal does not have: the back-stop scan (B6)."""
        ...

    def announce_ended(self, run_ids: Sequence[UUID]) -> None:
        """Tell waiting clients that these runs ended: one notification for all."""
        ...

    def announce_mail(self, woken: Sequence[Woken]) -> None:
        """Tell the routers of the owners' nodes; a run without owner is announced as due."""
        ...
