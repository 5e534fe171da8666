"""What can be seen of a store, without what differs between two stores: times, tokens, ids of signals."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from continuum.model.query import Query
from continuum.ports.catalog import RunRow
from continuum.ports.dispatch import Woken
from continuum.ports.journal import ClaimedRun, Lease, LoadedRun, Mail
from tests.integration.conformance.scene import Store


def rows(store: Store) -> list[tuple[RunRow, bool, bool, bool]]:
    """Return the rows by id, of their times only whether they have come."""
    found = sorted(store.catalog.query(Query(namespace=None)), key=lambda row: row.id)
    return [
        (
            msgspec.structs.replace(row, created_at=0.0, started_at=None, completed_at=None, begun_at=None),
            row.started_at is not None,
            row.completed_at is not None,
            row.begun_at is not None,
        )
        for row in found
    ]


def histories(store: Store, run_ids: Sequence[UUID]) -> list[list[tuple[int, int, bytes]]]:
    return [[(row.seq, row.kind, row.payload) for row in store.catalog.events(run_id)] for run_id in run_ids]


def timers(store: Store) -> list[tuple[UUID, int, bool]]:
    return sorted(
        (timer.run_id, timer.seq, timer.in_s < 0) for timer in store.mailbox.timers_within(1e9, 100)
    )


def due(store: Store, queues: Sequence[str]) -> list[str]:
    """Return when the next run, task and overdue cancel come, coarsely: two clocks differ; and if tasks are lost."""
    found = store.dispatch.next_due(queues)
    moments = (found.run_in_s, found.task_in_s, found.cancel_in_s)
    coarse = ["never" if at is None else "now" if at <= 0 else "later" for at in moments]
    return [*coarse, "lost" if found.lost else "none lost"]


def by_run(woken: list[Woken]) -> list[Woken]:
    return sorted(woken, key=lambda run: run.run_id)


def without_token(run: ClaimedRun) -> ClaimedRun:
    return msgspec.structs.replace(run, token=0, begun_at=0.0)


def without_ids(mail: Mail) -> Mail:
    return msgspec.structs.replace(
        mail,
        signals=tuple(msgspec.structs.replace(signal, id=0) for signal in mail.signals),
        outcomes=tuple(sorted(mail.outcomes, key=lambda o: o.seq)),
        children=tuple(sorted(mail.children, key=lambda end: end.child_id)),
        cancel=None if mail.cancel is None else msgspec.structs.replace(mail.cancel, requested_at=0.0),
    )


def comparable(loaded: LoadedRun) -> LoadedRun:
    return LoadedRun(
        msgspec.structs.replace(without_token(loaded.run), fresh=False),
        tuple(msgspec.structs.replace(event, inserted_at=0.0) for event in loaded.events),
        without_ids(loaded.mail),
        loaded.open_tasks,
    )


def loaded(store: Store, leases: Sequence[Lease]) -> list[LoadedRun]:
    return sorted(map(comparable, store.journal.load(leases)), key=lambda run: run.run.run_id)


def mails(store: Store, leases: Sequence[Lease]) -> list[Mail]:
    return sorted(map(without_ids, store.journal.mail(leases)), key=lambda mail: mail.run_id)
