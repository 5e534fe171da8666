"""What the database knows of a whole instance, for people: who owns what, what waits, and what is stuck."""

from __future__ import annotations

from uuid import UUID

import msgspec

STUCK_MAX = 20  # runs that wait for a person, that one overview lists


class OwnerView(msgspec.Struct, frozen=True):
    """An owner that is live, or owns something. ``expires_in_s`` is negative for a dead one. ``runs`` are leased to
    it, ``tasks`` of it run."""

    owner: str
    node: str
    address: str
    expires_in_s: float
    runs: int
    tasks: int


class QueueView(msgspec.Struct, frozen=True):
    """A queue that has task rows: ``queued`` ones, of which ``due`` could run now, and ``running`` ones. ``oldest_s``:
    for how long the oldest has been due. Attempts that stay within a node have no rows and are not here."""

    queue: str
    queued: int
    due: int
    running: int
    oldest_s: float | None


class StuckRun(msgspec.Struct, frozen=True):
    """A run that waits for a person. ``due_in_s``: until it is tried again, None if only a wake does that."""

    id: UUID
    workflow: str
    attention: str
    due_in_s: float | None


class Overview(msgspec.Struct, frozen=True):
    """``due``: runs that nobody owns and that could be claimed now; ``oldest_s``: for how long the oldest has been due.
    ``sleeping``: runs that nobody owns, with a time at which they go on. Runs that wait for a signal alone, in
    no engine, are counted nowhere: they cost a row, and to count them would cost reading all rows. ``stuck`` lists the
    first of the ``stuck_count`` runs that wait for a person."""

    owners: list[OwnerView]
    queues: list[QueueView]
    due: int
    oldest_s: float | None
    sleeping: int
    stuck: list[StuckRun]
    stuck_count: int
