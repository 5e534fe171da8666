"""Timers and unread mail, on PostgreSQL (see ``ports/mailbox.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from continuum.ports.dispatch import Woken
from continuum.ports.mailbox import DueTimer, NearTimer
from continuum.postgres.arrays import bigints, texts, uuids
from continuum.postgres.notices import ended_payloads, mail_payloads
from continuum.postgres.session import Session


class PostgresMailbox:
    """The ``Mailbox`` port. One per thread, as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def timers_within(self, horizon_s: float, limit: int) -> list[NearTimer]:
        rows = self._session.rows("timers_within", {"horizon_s": float(horizon_s), "limit": limit})
        return [NearTimer(*row) for row in rows]

    def due_timers(self, keys: Sequence[tuple[UUID, int]]) -> tuple[list[DueTimer], list[NearTimer]]:
        parameters = {
            "runs": uuids([run_id for run_id, _ in keys]),
            "seqs": bigints([seq for _, seq in keys]),
        }
        due, near = [], []
        for run_id, seq, in_s, owner in self._session.rows("due_timers", parameters):
            if in_s <= 0:
                due.append(DueTimer(run_id, seq, owner))
            else:
                near.append(NearTimer(run_id, seq, in_s))
        return due, near

    def unread(self, owners: Sequence[str], limit: int) -> list[Woken]:
        rows = self._session.rows("unread", {"owners": texts(owners), "limit": limit})
        return [Woken(*row) for row in rows]

    def announce_ended(self, run_ids: Sequence[UUID]) -> None:
        if run_ids:
            self._session.rows("announce_ended", {"payloads": texts(ended_payloads(run_ids))})

    def announce_mail(self, woken: Sequence[Woken]) -> None:
        if woken:
            self._session.rows("announce_mail", {"payloads": texts(mail_payloads(woken))})
