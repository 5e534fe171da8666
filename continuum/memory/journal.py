"""The engine's side of the journal, in memory: load, commit, give back (see ``ports/journal.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from continuum.memory.bounds import bounded
from continuum.memory.database import Database, Transaction
from continuum.memory.families import (
    cancel_families,
    check_successor,
    continue_run,
    start_children,
    tell_parent,
)
from continuum.memory.tables import RunRecord, TaskRecord
from continuum.model.run import LIVE_STATES
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
    TaskRow,
    TimerRow,
    Weight,
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
        begun_at=run.created_at if run.begun_at is None else run.begun_at,
        correlation_id=seed.correlation_id or run.id,
        parent_run_id=run.parent,
        continued_from_run_id=seed.continued_from_run_id,
        previous_owner=run.previous_owner,
        depth=seed.depth,
    )


class MemoryJournal:
    """The ``Journal`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def weigh(self, leases: Sequence[Lease], snapshots: bool = True) -> dict[Lease, Weight]:
        with self._database.transaction("weigh") as transaction:
            runs = _held(transaction, leases)
            return {
                Lease(run.id, run.token): _weight(run, snapshots) for run in runs if run.token is not None
            }

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        with self._database.transaction("load") as transaction:
            return [_loaded(transaction, run, snapshots) for run in _held(transaction, leases)]

    def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        with self._database.transaction("save_snapshot") as transaction:
            for run in _held(transaction, [lease]):
                run.snapshot = snapshot

    def mail(self, leases: Sequence[Lease], after: Sequence[int] = ()) -> list[Mail]:
        with self._database.transaction("mail") as transaction:
            held = _held(transaction, leases)
            return bounded([transaction.tables.mail(run) for run in held], _by_run(leases, after))

    def ended(self, run_ids: Sequence[UUID]) -> set[UUID]:
        with self._database.transaction("ended") as transaction:
            tables = transaction.tables
            return {run_id for run_id in run_ids if run_id in tables.runs and run_id not in tables.live}

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> set[UUID]:
        with self._database.transaction("commit") as transaction:
            assert len({step.run_id for step in batch}) == len(batch), "a batch has one step per run"
            for step in batch:
                _check(step)
                if step.successor is not None and _passes(transaction, step):
                    check_successor(transaction.tables, step.successor)
            # What changes other runs comes last, so that it finds what the others of the batch did to these.
            alone = [step for step in batch if _needs_descendants(transaction, step)]
            ordered = [step for step in batch if step not in alone] + alone
            written = [step for step in ordered if _write(transaction, step)]
            if told is not None:
                transaction.tell_by(told)
            if announce:
                transaction.ended += tuple(step.run_id for step in written if step.state not in LIVE_STATES)
            return {step.run_id for step in written}

    def keep(self, results: Sequence[KeptResult]) -> list[bytes | None]:
        with self._database.transaction("keep") as transaction:
            tables = transaction.tables
            held = [tables.held(result.run_id, result.token) is not None for result in results]
            for result, is_held in zip(results, held, strict=True):
                if is_held:
                    tables.results.setdefault(result.name, result.payload)
            return [
                tables.results[result.name] if is_held else None
                for result, is_held in zip(results, held, strict=True)
            ]

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


def _by_run(leases: Sequence[Lease], after: Sequence[int]) -> dict[UUID, int]:
    return {lease.run_id: signal for lease, signal in zip(leases, after, strict=False)}


def _held(transaction: Transaction, leases: Sequence[Lease]) -> list[RunRecord]:
    runs = (transaction.tables.held(lease.run_id, lease.token) for lease in leases)
    return [run for run in runs if run is not None]


def _weight(run: RunRecord, snapshots: bool) -> Weight:
    snapshot = run.snapshot if snapshots else None
    events = run.events[snapshot.upto_seq :] if snapshot is not None else run.events
    history = sum(64 + len(event.payload) for event in events)
    return Weight(len(run.seed.args), history + (len(snapshot.data) if snapshot is not None else 0))


def _loaded(transaction: Transaction, run: RunRecord, snapshots: bool) -> LoadedRun:
    open_tasks = tuple(seq for seq, task in sorted(run.tasks.items()) if task.state != "done")
    snapshot = run.snapshot if snapshots else None
    events = run.events[snapshot.upto_seq :] if snapshot is not None else run.events
    (mail,) = bounded([transaction.tables.mail(run)], {})
    left = {task.seq for task in run.tasks.values() if task.state == "done"}
    left -= {outcome.seq for outcome in mail.outcomes}
    open_tasks = tuple(sorted({*open_tasks, *left}))
    return LoadedRun(claimed_run(run, fresh=False), tuple(events), mail, open_tasks, snapshot)


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
    assert step.successor is None or step.state == "continued", "a successor of a run that goes on"


def _passes(transaction: Transaction, step: RunCommit) -> bool:
    run = transaction.tables.held(step.run_id, step.token)
    if run is None or any(signal_id not in run.signals for signal_id in step.signals_consumed):
        return False
    return len(run.events) == step.base_seq


def _needs_descendants(transaction: Transaction, step: RunCommit) -> bool:
    """Say whether the step changes runs that exist already, below its own."""
    moves = step.successor is not None and bool(transaction.tables.children_of(step.run_id))
    return moves or bool(step.children_cancelled)


def _write(transaction: Transaction, step: RunCommit) -> bool:
    """Write a step, unless the fence refuses it; say whether it did."""
    if not _passes(transaction, step):
        return False
    run = transaction.tables.runs[step.run_id]
    moment = transaction.now
    run.version_hash = step.version_hash or run.version_hash
    run.events.extend(msgspec.structs.replace(event, inserted_at=moment) for event in step.events)
    for signal_id in step.signals_consumed:
        del run.signals[signal_id]
    start_children(transaction, run, step.children_started)
    for child in transaction.tables.children_of(run.id):
        child.awaited = child.awaited and (child.live or child.id not in step.children_consumed)
    _cancel_children(transaction, run, step.children_cancelled)
    if step.state in LIVE_STATES:
        _go_on(transaction, run, step)
    else:
        _end(transaction, run, step)
    return True


def _cancel_children(transaction: Transaction, run: RunRecord, commands: Sequence[int]) -> None:
    chosen = [
        child
        for child in transaction.tables.children_of(run.id)
        if child.awaited and child.seed.parent_command in commands
    ]
    for child in chosen:
        child.awaited = False
    cancel_families(transaction, chosen, None)


def _end(transaction: Transaction, run: RunRecord, step: RunCommit) -> None:
    owner = run.owner
    more = run.timers or run.tasks or run.snapshot or transaction.tables.children_of(run.id)
    assert not (step.is_bare and more), f"run {run.id} has more than signals to leave"
    run.result, run.error = step.result, step.error
    if step.successor is not None:
        continue_run(transaction, run, step.successor)
    else:
        transaction.tables.end(run, step.state)
        tell_parent(transaction, run, but=owner)


def _go_on(transaction: Transaction, run: RunRecord, step: RunCommit) -> None:
    now = transaction.now
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
        heartbeat_timeout_s=task.heartbeat_timeout_s,
        last_heartbeat=task.last_heartbeat,
    )


def _give_back(transaction: Transaction, run: RunRecord, release: Release) -> None:
    now = transaction.now
    due_at = None if release.due_in_s is None else now + release.due_in_s
    if release.attention is None and (
        transaction.tables.has_mail(run, release.seen, release.seen_children) or run.has_due_timer(now)
    ):
        due_at = now
    transaction.tables.unlease(run)
    run.due_at, run.attention = due_at, release.attention
    run.parked_until = due_at if release.lacks_code or release.attention is not None else None
    run.lacks_code = release.lacks_code
    run.state = "running" if due_at is not None and due_at <= now else "suspended"
    if due_at is not None:
        transaction.notify(Notice("left" if release.lacks_code else "due"))
