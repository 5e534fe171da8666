"""What a port asks of the database in one transaction and one round trip: statements, and what their rows mean.

The same request is made by who waits for the answer (`Session.together`) and by who does not (``posting.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from continuum.model.run import LIVE_STATES
from continuum.ports.journal import CancelNote, ChildEnd, Lease, Mail, RunCommit, SignalRow, TaskOutcome
from continuum.postgres.arrays import bigints, texts, uuids
from continuum.postgres.batch import events_of, is_familial, is_plain, rows_of
from continuum.postgres.notices import ended_payloads
from continuum.postgres.session import Parameters, Row

T = TypeVar("T")
Step = tuple[str, Parameters]


class Request(NamedTuple, Generic[T]):
    """``read`` makes the answer of the rows of each statement."""

    steps: list[Step]
    read: Callable[[list[list[Row]]], T]


def commit_request(steps: Sequence[RunCommit], announce: bool) -> Request[set[UUID]] | None:
    """Return how to write these steps, which are in the order of their run ids; None if they concern other runs."""
    run_ids = {step.run_id for step in steps}
    assert len(run_ids) == len(steps), "a batch has one step per run"
    plain = all(map(is_plain, steps))
    ended = [step.run_id for step in steps if step.state not in LIVE_STATES]
    if (ended or not plain) and any(map(is_familial, steps)):
        return None
    work: list[Step] = [("commit_events", events_of(steps)) if plain else ("commit", rows_of(steps))]
    if ended:
        work.append(("clear_ended", {"runs": uuids(ended)}))
        if announce:
            work.append(("notify_ended", {"payloads": texts(ended_payloads(ended))}))
    return Request(work, lambda answers: run_ids.difference(row[0] for row in answers[0]))


def in_lock_order(steps: Sequence[RunCommit]) -> list[RunCommit]:
    """Return the steps in the order of ids in the database, in which their runs are locked."""
    return sorted(steps, key=_id_of)


def _id_of(step: RunCommit) -> int:
    return step.run_id.int  # integers compare several times faster than UUIDs


def mail_request(leases: Sequence[Lease]) -> Request[list[Mail]]:
    """Return how to read the mail of the leases that hold."""
    ids = {"runs": uuids([lease.run_id for lease in leases])}

    def read(answers: list[list[Row]]) -> list[Mail]:
        held, *mail_rows = answers
        mails, _ = mails_of([Lease(*row) for row in held], *mail_rows)
        return [mails[lease] for lease in leases if lease in mails]

    return Request([("held", held_by(leases)), *mail_steps(ids)], read)


def held_by(leases: Sequence[Lease]) -> Parameters:
    return {
        "runs": uuids([lease.run_id for lease in leases]),
        "tokens": bigints([lease.token for lease in leases]),
    }


def mail_steps(ids: Parameters) -> list[Step]:
    names = ("unread_signals", "tasks_of", "overdue_timers", "child_ends", "cancel_notes")
    return [(name, ids) for name in names]


def mails_of(
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
