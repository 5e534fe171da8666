"""The engine's side of the journal, in memory: load, commit, give back (see ``ports/journal.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from continuum.memory.database import Database, Transaction
from continuum.memory.tables import RunRecord, TaskRecord
from continuum.model.run import LIVE_STATES
from continuum.ports.journal import (
    ClaimedRun,
    Lease,
    LoadedRun,
    Mail,
    Release,
    RunCommit,
    TaskRow,
    TimerRow,
)
from continuum.ports.mailbox import Notice


def claimed_run(run: RunRecord, *, fresh: bool) -> ClaimedRun:
    """Return what an owner is told of a run that it has leased."""
    assert run.token is not None, f"run {run.id} was never leased"
    seed = run.seed
    return ClaimedRun(
        run_id=run.id,
        token=run.token,
        fresh=fresh,
        workflow=seed.workflow,
        version_hash=run.version_hash,
        args=seed.args,
        namespace=seed.namespace,
        created_at=run.created_at,
        correlation_id=seed.correlation_id or run.id,
        parent_run_id=seed.parent_run_id,
        continued_from_run_id=seed.continued_from_run_id,
        previous_owner=run.previous_owner,
    )


class MemoryJournal:
    """The ``Journal`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, leases: Sequence[Lease]) -> list[LoadedRun]:
        with self._database.transaction("load") as transaction:
            return [_loaded(run, transaction.now) for run in _held(transaction, leases)]

    def mail(self, leases: Sequence[Lease]) -> list[Mail]:
        with self._database.transaction("mail") as transaction:
            return [run.mail(transaction.now) for run in _held(transaction, leases)]

    def commit(self, batch: Sequence[RunCommit], announce: bool = False) -> set[UUID]:
        with self._database.transaction("commit") as transaction:
            assert len({step.run_id for step in batch}) == len(batch), "a batch has one step per run"
            accepted = []
            for step in batch:
                run = transaction.tables.held(step.run_id, step.token)
                if run is not None and len(run.events) == step.base_seq:
                    _check(step)
                    accepted.append((run, step))
            for run, step in accepted:
                _write(transaction, run, step)
            if announce:
                transaction.ended = tuple(run.id for run, step in accepted if step.state not in LIVE_STATES)
            return {step.run_id for _, step in accepted}

    def release(self, releases: Sequence[Release]) -> None:
        with self._database.transaction("release") as transaction:
            for release in releases:
                run = transaction.tables.held(release.run_id, release.token)
                if run is not None:
                    _give_back(transaction, run, release)

    def leased_since(self, owner: str, token: int) -> list[Lease]:
        with self._database.transaction("leased_since") as transaction:
            held = [run for run in transaction.tables.live.values() if run.owner == owner]
            leases = [Lease(run.id, run.token) for run in held if run.token is not None and run.token > token]
            return sorted(leases, key=lambda lease: lease.token)


def _held(transaction: Transaction, leases: Sequence[Lease]) -> list[RunRecord]:
    runs = (transaction.tables.held(lease.run_id, lease.token) for lease in leases)
    return [run for run in runs if run is not None]


def _loaded(run: RunRecord, now: float) -> LoadedRun:
    open_tasks = tuple(seq for seq, task in sorted(run.tasks.items()) if task.state != "done")
    return LoadedRun(claimed_run(run, fresh=False), tuple(run.events), run.mail(now), open_tasks)


def _check(step: RunCommit) -> None:
    """Assert what a caller owes: gapless events, and no row that is set and cleared by one step."""
    seqs = [event.seq for event in step.events]
    assert seqs == list(range(step.base_seq + 1, step.base_seq + 1 + len(seqs))), (
        f"gap in {seqs} of {step.run_id}"
    )
    assert not {timer.seq for timer in step.timers_set} & set(step.timers_cleared), (
        "timer both set and cleared"
    )
    assert not {task.seq for task in step.tasks_set} & set(step.tasks_cleared), "task both set and cleared"


def _write(transaction: Transaction, run: RunRecord, step: RunCommit) -> None:
    now = transaction.now
    run.version_hash = step.version_hash or run.version_hash
    run.events.extend(msgspec.structs.replace(event, inserted_at=now) for event in step.events)
    for signal_id in step.signals_consumed:
        run.signals.pop(signal_id, None)
    if step.state not in LIVE_STATES:
        run.result, run.error = step.result, step.error
        transaction.tables.end(run, step.state)
        return
    run.state = step.state
    for seq in step.timers_cleared:
        run.timers.pop(seq, None)
    for timer in step.timers_set:
        run.timers[timer.seq] = _fires_at(timer, now)
    for seq in step.tasks_cleared:
        run.tasks.pop(seq, None)
    for task in step.tasks_set:
        before = run.tasks.get(task.seq)
        if before is None or before.attempt < task.attempt:
            run.tasks[task.seq] = _queued(task, now)
    if step.tasks_set:
        transaction.notify(Notice("task"))


def _fires_at(timer: TimerRow, now: float) -> float:
    if timer.until is not None:
        return timer.until / 1e6
    assert timer.delay_s is not None, f"timer {timer.seq} has neither a delay nor a moment"
    return now + timer.delay_s


def _queued(task: TaskRow, now: float) -> TaskRecord:
    return TaskRecord(
        seq=task.seq,
        attempt=task.attempt,
        activity=task.activity,
        args=task.args,
        queue=task.queue,
        due_at=now + task.delay_s,
        timeout_s=task.timeout_s,
        idempotency_key=task.idempotency_key,
    )


def _give_back(transaction: Transaction, run: RunRecord, release: Release) -> None:
    now = transaction.now
    due_at = None if release.due_in_s is None else now + release.due_in_s
    if release.attention is None and (run.has_mail(release.seen) or run.has_due_timer(now)):
        due_at = now
    transaction.tables.unlease(run)
    run.due_at, run.attention = due_at, release.attention
    run.parked_until = due_at if release.lacks_code else None
    run.state = "running" if due_at is not None and due_at <= now else "suspended"
    if due_at is not None:
        transaction.notify(Notice("due"))
