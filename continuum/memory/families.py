"""Parents, children, continuations and the cascade of a cancel, in memory (see ``ports/journal.py``).

The children of a run are all that it started and that continued these, as long as the run itself is not continued:
then its successor takes over those that still matter. A cascade goes through runs that have ended, because what
they left running is a descendant, too (K5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from continuum.errors import JournalError
from continuum.memory.database import Transaction
from continuum.memory.tables import RunRecord, Tables, encode_failure
from continuum.model.events import Failure
from continuum.model.run import RunSeed
from continuum.ports.journal import CancelNote
from continuum.ports.mailbox import Notice


def start_children(transaction: Transaction, parent: RunRecord, seeds: Sequence[RunSeed]) -> None:
    """Insert the children that do not exist, due; what they inherit comes from the parent's row (C1, C3)."""
    tables, now = transaction.tables, transaction.now
    for seed in seeds:
        assert seed.parent_run_id == parent.id, f"{seed.id} is the seed of another run's child"
        assert seed.parent_command is not None, f"the seed of child {seed.id} names no command"
        if seed.id in tables.runs:
            continue
        inherited = msgspec.structs.replace(
            seed,
            namespace=parent.seed.namespace,
            depth=parent.seed.depth + 1,
            correlation_id=seed.correlation_id or seed.id,
            continued_from_run_id=None,
        )
        child = RunRecord(
            inherited, dict(parent.attributes), now, now + seed.delay_s, version_hash=seed.version_hash
        )
        child.awaited = True
        child.cancel = parent.cancel
        child.cancel_heard = parent.cancel is not None and not parent.has_unseen_cancel
        tables.add(child)
        transaction.notify(Notice("due"))


def continue_run(transaction: Transaction, old: RunRecord, seed: RunSeed) -> None:
    """Insert the successor, leased as ``old`` is, and move to it what is not of the old journal; end ``old`` (N1)."""
    tables = transaction.tables
    seed = msgspec.structs.replace(
        seed,
        namespace=old.seed.namespace,
        parent_run_id=old.parent,
        parent_command=old.seed.parent_command,
        depth=old.seed.depth,
        correlation_id=old.seed.correlation_id or old.id,
        continued_from_run_id=old.id,
    )
    new = RunRecord(
        seed,
        dict(old.attributes),
        transaction.now,
        transaction.now,
        started_at=transaction.now,
        version_hash=seed.version_hash,
    )
    new.owner, new.token, new.awaited = old.owner, old.token, old.awaited
    new.cancel, new.cancel_heard = old.cancel, old.cancel_heard
    new.signals, new.deliveries = old.signals, old.deliveries
    tables.add(new)
    old.signals, old.deliveries, old.awaited, old.continued_to = {}, set(), False, new.id
    for child in tables.children_of(old.id):
        if child.awaited or _has_living(tables, child):
            tables.adopt(child, new.id)
    tables.end(old, "continued")


def check_successor(tables: Tables, seed: RunSeed) -> None:
    """Raises: JournalError: a run with the successor's id exists."""
    if seed.id in tables.runs:
        raise JournalError(
            "commit", f"a run with the successor's id {seed.id} exists already; nothing was changed"
        )


def tell_parent(transaction: Transaction, run: RunRecord, *, but: str | None = None) -> None:
    """Wake the parent of a run that has ended, if it may read the end (C2). An owner ``but`` tells itself."""
    parent = transaction.tables.live.get(run.parent) if run.parent is not None else None
    if run.awaited and parent is not None:
        owner = transaction.tables.wake(parent)
        if owner is None or owner != but:
            transaction.notify_mail(parent.id, owner)


def descendants(tables: Tables, roots: Sequence[RunRecord]) -> Iterator[RunRecord]:
    """Yield the live runs of these families, generation by generation, each in the order of ids."""
    generation = sorted(roots, key=lambda run: run.id)
    while generation:
        yield from (run for run in generation if run.live)
        below = [child for run in generation for child in tables.children_of(run.id)]
        generation = sorted(below, key=lambda run: run.id)


def cancel_families(transaction: Transaction, roots: Sequence[RunRecord], reason: str | None) -> list[UUID]:
    """End what lives of these runs and below as cancelled, tell owners and parents; return what was ended."""
    return _end(transaction, list(descendants(transaction.tables, roots)), reason)


def _end(transaction: Transaction, doomed: Sequence[RunRecord], reason: str | None) -> list[UUID]:
    tables = transaction.tables
    for run in doomed:
        owner = tables.live_owner(run)
        if owner is not None:
            transaction.notify_mail(run.id, owner)
        run.error = encode_failure(Failure("continuum.Cancelled", reason or ""))
        tables.end(run, "cancelled")
        tell_parent(transaction, run)
    ended = [run.id for run in doomed]
    transaction.ended += tuple(ended)
    return ended


def note_cancel(
    transaction: Transaction, root: RunRecord, cleanup_s: float, reason: str | None
) -> tuple[list[UUID], list[UUID]]:
    """Write the note to the run and its live descendants, and wake them; an earlier end of a note stays (K4). Those
    that have not begun end (B5). Return which were asked, and which were ended."""
    note, family = (
        CancelNote(transaction.now, cleanup_s, reason),
        list(descendants(transaction.tables, [root])),
    )
    ended = _end(transaction, [run for run in family if run.unbegun], reason)
    asked = [run for run in family if run.live]
    for run in asked:
        if run.cancel is None or overdue_at(note) < overdue_at(run.cancel):
            run.cancel = note
        run.cancel_heard = False
        transaction.notify_mail(run.id, transaction.tables.wake(run))
    if asked:
        transaction.notify(Notice("ends"))
    return [run.id for run in asked], ended


def overdue_at(note: CancelNote) -> float:
    return note.requested_at + note.cleanup_s


def _has_living(tables: Tables, run: RunRecord) -> bool:
    return run.live or any(_has_living(tables, child) for child in tables.children_of(run.id))
