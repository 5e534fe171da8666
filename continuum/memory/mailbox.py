"""Timers and unread mail, in memory (see ``ports/mailbox.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from continuum.memory.database import Database
from continuum.ports.dispatch import Woken
from continuum.ports.mailbox import DueTimer, NearTimer


class MemoryMailbox:
    """The ``Mailbox`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def timers_within(self, horizon_s: float, limit: int) -> list[NearTimer]:
        with self._database.transaction("timers_within") as transaction:
            timers = [
                NearTimer(run.id, seq, fires_at - transaction.now)
                for run in transaction.tables.live.values()
                for seq, fires_at in run.timers.items()
                if fires_at <= transaction.now + horizon_s
            ]
            return sorted(timers, key=lambda timer: (timer.in_s, timer.run_id, timer.seq))[:limit]

    def due_timers(self, keys: Sequence[tuple[UUID, int]]) -> tuple[list[DueTimer], list[NearTimer]]:
        due, near = [], []
        with self._database.transaction("due_timers") as transaction:
            tables = transaction.tables
            for run_id, seq in keys:
                run = tables.live.get(run_id)
                fires_at = run.timers.get(seq) if run is not None else None
                if run is None or fires_at is None:
                    continue
                if fires_at <= transaction.now:
                    due.append(DueTimer(run_id, seq, tables.wake(run)))
                else:
                    near.append(NearTimer(run_id, seq, fires_at - transaction.now))
            return due, near

    def unread(self, owners: Sequence[str], limit: int) -> list[Woken]:
        with self._database.transaction("unread") as transaction:
            tables = transaction.tables
            runs = (run for run in tables.live.values() if run.owner in owners and tables.has_mail(run))
            return [Woken(run.id, run.owner) for run in runs][:limit]

    def announce_ended(self, run_ids: Sequence[UUID]) -> None:
        with self._database.transaction("announce_ended") as transaction:
            transaction.ended = tuple(run_ids)

    def announce_mail(self, woken: Sequence[Woken]) -> None:
        with self._database.transaction("announce_mail") as transaction:
            for run in woken:
                transaction.notify_mail(run.run_id, run.owner)
