"""The engine's side of the journal, on PostgreSQL (see ``ports/journal.py``).

A batch with a step that concerns other runs goes through ``family_commit``. Of the others, one that only appends
events of runs without a parent, most of them, goes through ``commit_events``; one that touches timers, signals or
tasks, or runs on several levels of a family, through ``commit``, which locks first and has more arms. When runs end in
a batch, ``clear_ended`` follows in the same transaction and round trip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from operator import attrgetter
from uuid import UUID

import msgspec

from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.model.run import LIVE_STATES
from continuum.ports.dispatch import Told
from continuum.ports.journal import (
    CancelNote,
    ChildEnd,
    ClaimedRun,
    KeptResult,
    Lease,
    LoadedRun,
    Mail,
    Release,
    RunCommit,
    SignalRow,
    Snapshot,
    TaskOutcome,
)
from continuum.postgres import family_commit
from continuum.postgres.arrays import bigints, booleans, doubles, texts, uuids
from continuum.postgres.batch import events_of, is_familial, is_plain, rows_of
from continuum.postgres.notices import ended_payloads
from continuum.postgres.results import keep_results
from continuum.postgres.session import Parameters, Row, Session

_number = attrgetter(
    "run_id.int"
)  # in the order of the database, and far quicker to compare and hash than a UUID


class PostgresJournal:
    """The ``Journal`` port. One per thread, as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        if not leases:
            return []
        ids = {"runs": uuids([lease.run_id for lease in leases])}
        reads = ["load_snapshots", "load_events_after"] if snapshots else ["load_events"]
        held, *rows = self._session.together(
            ("load_runs", _held(leases)), *((name, ids) for name in reads), *_mail_steps(ids)
        )
        blobs = {row[0]: Snapshot(*row[1:]) for row in (rows.pop(0) if snapshots else [])}
        events, *mail_rows = rows
        runs = {Lease(row[0], row[1]): ClaimedRun(row[0], row[1], False, *row[2:]) for row in held}
        journals: dict[UUID, list[EventRow]] = defaultdict(list)
        for run_id, *event in events:
            journals[run_id].append(EventRow(*event))
        mails, open_tasks = _mails(runs, *mail_rows)
        return [
            LoadedRun(
                runs[lease],
                tuple(journals[lease.run_id]),
                mails[lease],
                tuple(open_tasks[lease.run_id]),
                blobs.get(lease.run_id),
            )
            for lease in leases
            if lease in runs
        ]

    def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        given = {"run": lease.run_id, "token": lease.token, **msgspec.structs.asdict(snapshot)}
        self._session.rows("save_snapshot", given)

    def mail(self, leases: Sequence[Lease]) -> list[Mail]:
        if not leases:
            return []
        ids = {"runs": uuids([lease.run_id for lease in leases])}
        held, *mail_rows = self._session.together(("held", _held(leases)), *_mail_steps(ids))
        mails, _ = _mails([Lease(*row) for row in held], *mail_rows)
        return [mails[lease] for lease in leases if lease in mails]

    def ended(self, run_ids: Sequence[UUID]) -> set[UUID]:
        return {row[0] for row in self._session.rows("ended", {"runs": uuids(run_ids)})}

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> Set[UUID]:
        if not batch:
            return set()
        steps = sorted(batch, key=_number)  # the order of locks
        assert len({step.run_id.int for step in steps}) == len(steps), "a batch has one step per run"
        plain = all(map(is_plain, steps))
        ended = [step.run_id for step in steps if step.state not in LIVE_STATES]
        if (ended or not plain) and any(map(is_familial, steps)):
            return family_commit.commit(self._session, steps, announce, told)
        work = [("commit_events", events_of(steps)) if plain else ("commit", rows_of(steps))]
        if ended:
            work.append(("clear_ended", {"runs": uuids(ended)}))
            if announce:
                work.append(("notify_ended", {"payloads": texts(ended_payloads(ended))}))
        refused, *_ = self._session.together(*work) if len(work) > 1 else [self._session.rows(*work[0])]
        if not plain and any(step.tasks_set for step in steps):
            with suppress(JournalError):  # the rows are committed; a lost notice costs latency only
                self._session.rows("announce_mail", {"payloads": texts(["task"])})
        return _Written(steps, frozenset(row[0] for row in refused))

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


class _Written(Set[UUID]):
    """The runs of a batch but for the refused ones. That there are none is seen without a set of all ids: to hash one
    is a call of Python."""

    def __init__(self, steps: Sequence[RunCommit], refused: Set[UUID]) -> None:
        self._steps, self._refused = steps, refused

    def __len__(self) -> int:
        return len(self._steps) - len(self._refused)

    def __iter__(self) -> Iterator[UUID]:
        return (step.run_id for step in self._steps if step.run_id not in self._refused)

    def __contains__(self, run_id: object) -> bool:
        return run_id not in self._refused and any(step.run_id == run_id for step in self._steps)


def _storable(text: str | None) -> str | None:
    """Return a text that a column can hold: attention quotes errors, and these quote anything."""
    return text and text.replace("\x00", "").encode(errors="replace").decode()


def _held(leases: Sequence[Lease]) -> Parameters:
    return {
        "runs": uuids([lease.run_id for lease in leases]),
        "tokens": bigints([lease.token for lease in leases]),
    }


def _mail_steps(ids: Parameters) -> list[tuple[str, Parameters]]:
    names = ("unread_signals", "tasks_of", "overdue_timers", "child_ends", "cancel_notes")
    return [(name, ids) for name in names]


def _mails(
    held: Iterable[Lease],
    signal_rows: list[Row],
    task_rows: list[Row],
    timer_rows: list[Row],
    child_rows: list[Row],
    cancel_rows: list[Row],
) -> tuple[dict[Lease, Mail], dict[UUID, list[int]]]:
    """Return the mail of the leases that hold, and the open tasks of runs."""
    signals: dict[UUID, list[SignalRow]] = defaultdict(list)
    outcomes: dict[UUID, list[TaskOutcome]] = defaultdict(list)
    timers: dict[UUID, list[int]] = defaultdict(list)
    children: dict[UUID, list[ChildEnd]] = defaultdict(list)
    cancels = {run_id: CancelNote(*note) for run_id, *note in cancel_rows}
    open_tasks: dict[UUID, list[int]] = defaultdict(list)
    for run_id, *signal in signal_rows:
        signals[run_id].append(SignalRow(*signal))
    for run_id, seq, attempt, state, ok, outcome, timed_out, details in task_rows:
        if state == "done":
            outcomes[run_id].append(TaskOutcome(run_id, seq, attempt, ok, outcome, timed_out, details))
        else:
            open_tasks[run_id].append(seq)
    for run_id, seq in timer_rows:
        timers[run_id].append(seq)
    for run_id, child_id, command, state, payload in child_rows:
        children[run_id].append(ChildEnd(child_id, command, state, payload or b""))
    mails = {
        lease: Mail(
            lease.run_id,
            tuple(signals[lease.run_id]),
            tuple(outcomes[lease.run_id]),
            tuple(timers[lease.run_id]),
            tuple(children[lease.run_id]),
            cancels.get(lease.run_id),
        )
        for lease in held
    }
    return mails, open_tasks
