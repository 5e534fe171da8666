"""The engine's side of the journal, on PostgreSQL (see ``ports/journal.py``).

A batch with a step that concerns other runs goes through ``family_commit``. Of the others, a small step that is alone
goes through ``commit_one``, or ``end_one`` if it is the last; a batch of nothing but events of runs
without a parent through ``commit_events``; one that touches timers, signals or tasks, or runs on several levels of a
family, through ``commit``, which locks first and has more arms. When runs end in a batch, ``clear_ended`` follows in
the same transaction and round trip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import msgspec

from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.ports.dispatch import Told
from continuum.ports.journal import (
    ClaimedRun,
    KeptResult,
    Lease,
    LoadedRun,
    Mail,
    Release,
    RunCommit,
    Snapshot,
    Weight,
)
from continuum.postgres import family_commit
from continuum.postgres.arrays import bigints, booleans, doubles, texts, uuids
from continuum.postgres.mail import held_by, mail_of, mails_of
from continuum.postgres.request import Request, commit_request, in_lock_order, mail_request
from continuum.postgres.results import keep_results
from continuum.postgres.session import Session

T = TypeVar("T")


class PostgresJournal:
    """The ``Journal`` port. One per thread, as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def weigh(self, leases: Sequence[Lease], snapshots: bool = True) -> dict[Lease, Weight]:
        given = {**held_by(leases), "snapshots": snapshots}
        return {Lease(*row[:2]): Weight(*row[2:]) for row in self._session.rows("weigh", given)}

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        if not leases:
            return []
        ids, held = {"runs": uuids([lease.run_id for lease in leases])}, held_by(leases)
        reads = ["load_snapshots", "load_events_after"] if snapshots else ["load_events"]
        run_rows, *rows, mail_rows = self._session.together(
            ("load_runs", held), *((name, ids) for name in reads), ("mail", mail_of(leases))
        )
        blobs = {row[0]: Snapshot(*row[1:]) for row in (rows[0] if snapshots else [])}
        runs = {Lease(row[0], row[1]): ClaimedRun(row[0], row[1], False, *row[2:]) for row in run_rows}
        journals: dict[UUID, list[EventRow]] = defaultdict(list)
        for run_id, *event in rows[-1]:
            journals[run_id].append(EventRow(*event))
        mails, open_tasks = mails_of(mail_rows)
        return [
            LoadedRun(
                runs[lease],
                tuple(journals[lease.run_id]),
                mails[lease],
                tuple(open_tasks[lease.run_id]),
                blobs.get(lease.run_id),
            )
            for lease in leases
            if lease in runs and lease in mails
        ]

    def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        given = {"run": lease.run_id, "token": lease.token, **msgspec.structs.asdict(snapshot)}
        self._session.rows("save_snapshot", given)

    def mail(self, leases: Sequence[Lease], after: Sequence[int] = ()) -> list[Mail]:
        if not leases:
            return []
        return self._ask(mail_request(leases, after))

    def ended(self, run_ids: Sequence[UUID]) -> set[UUID]:
        return {row[0] for row in self._session.rows("ended", {"runs": uuids(run_ids)})}

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> Set[UUID]:
        if not batch:
            return set()
        steps = in_lock_order(batch)
        request = commit_request(steps, announce)
        if request is None:
            return family_commit.commit(self._session, steps, announce, told)
        written = self._ask(request)
        if any(step.tasks_set for step in steps):
            with suppress(JournalError):  # the rows are committed; a lost notice costs latency only
                self._session.rows("announce_mail", {"payloads": texts(["task"])})
        return written

    def _ask(self, request: Request[T]) -> T:
        steps, session = request.steps, self._session
        answers = session.together(*steps) if len(steps) > 1 else [session.rows(*steps[0])]
        return request.read(answers)

    def keep(self, results: Sequence[KeptResult]) -> list[bytes | None]:
        return keep_results(self._session, results)

    def release(self, releases: Sequence[Release]) -> None:
        if not releases:
            return
        leases = {
            "runs": uuids([release.run_id for release in releases]),
            "tokens": bigints([release.token for release in releases]),
        }
        given = {
            **leases,
            "dues": doubles([release.due_in_s for release in releases]),
            "attentions": texts([_storable(release.attention) for release in releases]),
            "lacking": booleans([release.lacks_code for release in releases]),
            "seen": bigints([signal for release in releases for signal in release.seen]),
            "seen_children": uuids([child for release in releases for child in release.seen_children]),
        }
        # Two statements: only one that begins when the locks are held sees the mail of who held them before.
        self._session.together(("lock_leases", leases), ("release", given))

    def leased_since(self, owner: str, token: int) -> list[Lease]:
        rows = self._session.rows("leased_since", {"owner": owner, "token": token})
        return [Lease(*row) for row in rows]


def _storable(text: str | None) -> str | None:
    """Return a text that a column can hold: attention quotes errors, and these quote anything."""
    return text and text.replace("\x00", "").encode(errors="replace").decode()
