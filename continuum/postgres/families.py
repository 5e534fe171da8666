"""Locks over families of runs, and the cascade of a cancel, on PostgreSQL (see ``ports/journal.py``).

The children of a run change only under the run's lock. So a cascade locks a run, then its children with a new snapshot
that shows them all, then theirs::

    lock_steps: parent, run ──► lock_children: generation 1 ──► lock_children: generation 2 ──► ... ──► cancel, once

Every function runs inside of a transaction of the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from continuum.model.events import Failure
from continuum.model.run import LIVE_STATES, RunState
from continuum.ports.dispatch import Woken
from continuum.postgres.arrays import booleans, texts, uuids
from continuum.postgres.notices import ended_payloads, mail_payloads
from continuum.postgres.session import Session

TRIES_MAX = 100  # how often a chain may grow between a look at its end and the lock on it


class Locked(NamedTuple):
    """A run whose lock is held, as it stands. ``parent_held``: its parent's lock is held too, where it is needed."""

    run_id: UUID
    state: RunState
    owner: str | None
    token: int | None
    last_seq: int
    parent_held: bool
    continued: bool

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES


class Cascade(NamedTuple):
    """``ended``: what was cancelled, ancestors first; ``asked``: what is to clean up and end. ``woken``: owners to
    tell, and runs that are due now."""

    ended: tuple[UUID, ...]
    woken: tuple[Woken, ...]
    asked: tuple[UUID, ...] = ()


def lock(session: Session, runs: Sequence[UUID], ends: Sequence[bool]) -> dict[UUID, Locked]:
    """Lock the runs that exist, and the parents of those that end."""
    rows = session.rows("lock_steps", {"runs": uuids(runs), "ends": booleans(ends)})
    return {row[0]: Locked(*row) for row in rows}


def lock_last(session: Session, run_id: UUID) -> Locked | None:
    """Lock the last run of a chain and its parent; None if there is no such run. The chain may have grown meanwhile,
    or the parent's: then the answer is ``continued``, or not ``parent_held``, and the caller begins anew."""
    rows = session.rows("chain_end", {"run": run_id})
    return lock(session, [rows[0][0]], [True])[rows[0][0]] if rows else None


def lock_family(session: Session, roots: Sequence[tuple[UUID, bool]]) -> tuple[UUID, ...]:
    """Lock all that may live below these runs (id, live), whose locks are held; return what lives, they included."""
    generation, living = list(roots), list[UUID]()
    while generation:
        living += [run_id for run_id, live in generation if live]
        rows = session.rows("lock_children", {"parents": uuids([run_id for run_id, _ in generation])})
        generation = [(run_id, live) for run_id, live in rows]
    return tuple(living)


def end_family(session: Session, roots: Sequence[tuple[UUID, bool]], reason: str | None) -> Cascade:
    """Cancel what lives of these runs (id, live), whose locks are held, and below them."""
    return _end(session, lock_family(session, roots), reason)


def _end(session: Session, living: Sequence[UUID], reason: str | None) -> Cascade:
    if not living:
        return Cascade((), ())
    runs = {"runs": uuids(living)}
    error = msgspec.msgpack.encode(Failure("continuum.Cancelled", reason or ""))
    owned, parents, _ = session.together(
        ("cancel", {**runs, "error": error}), ("wake_parents", runs), ("clear_ended", runs)
    )
    told = [Woken(*row) for row in owned if row[1] is not None]
    return Cascade(tuple(living), (*told, *(Woken(*row) for row in parents)))


def note_family(session: Session, root: UUID, cleanup_s: float, reason: str | None) -> Cascade:
    """Write a note to a live run, whose lock is held, and to what lives below it; wake them. Those that have not begun
    have nothing to clean up, and end (B5)."""
    living = lock_family(session, [(root, True)])
    unbegun = {run_id for (run_id,) in session.rows("unbegun", {"runs": uuids(living)})}
    cascade = _end(session, [run_id for run_id in living if run_id in unbegun], reason)
    asked = tuple(run_id for run_id in living if run_id not in unbegun)
    runs = {"runs": uuids(asked)}
    rows, _ = session.together(
        ("note_cancel", {**runs, "cleanup_s": float(cleanup_s), "reason": reason}), ("make_due", runs)
    )
    return Cascade(cascade.ended, (*cascade.woken, *(Woken(*row) for row in rows)), asked)


def notify(session: Session, cascade: Cascade) -> None:
    """Tell clients and owners when the transaction commits: clients once, whatever the number of runs (K2); and the
    dispatchers, that there is a time by which runs end."""
    news = [("done", payload) for payload in ended_payloads(cascade.ended)]
    news += [("due" if payload == "due" else "wake", payload) for payload in mail_payloads(cascade.woken)]
    news += [("due", "ends")] if cascade.asked else []
    if news:
        channels, payloads = zip(*news, strict=True)
        session.rows("notify_news", {"channels": texts(channels), "payloads": texts(payloads)})
