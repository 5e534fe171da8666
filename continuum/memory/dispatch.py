"""Owners, claims of runs and of tasks, outcomes, in memory (see ``ports/dispatch.py``).

The life of a task row::

    queued ──claim_tasks──► running(claimed_by) ──assign_task──► running(claimed_by, worker)
       ▲                       │        │                            │
       └─────return_tasks──────┘        └──lose_tasks, lose_orphans──┴──offer_outcomes──► done(outcome) = mail

A row goes when the run's next step clears or replaces it, or when the run ends. An attempt number is part of
every key: what is said of an older attempt than the row's is not heard (A7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from continuum.memory import claims
from continuum.memory.database import Database, Transaction
from continuum.memory.families import cancel_families, overdue_at
from continuum.memory.tables import OwnerRecord, RunRecord, Tables, TaskRecord
from continuum.model.ids import Owner
from continuum.ports.dispatch import (
    WANTED_S,
    Asked,
    Beat,
    ClaimedTask,
    Death,
    Due,
    GroupAddress,
    Life,
    Others,
    Woken,
)
from continuum.ports.journal import READ_BYTES_MAX, ClaimedRun, ResultKey, TaskOutcome
from continuum.ports.mailbox import Notice

TaskKey = tuple[UUID, int, int]


class MemoryDispatch:
    """The ``Dispatch`` port. It is a session of its own, which ``close`` ends and the next call replaces."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session = next(database.sessions)
        self._held: set[str] = set()

    def close(self) -> None:
        """Hold nobody any more, as a connection that broke."""
        with self._database.transaction("close") as transaction:
            for sessions in transaction.tables.holders.values():
                sessions.discard(self._session)

    def register(
        self, owner: str, node: str, address: str, ttl_s: float, loaded: Sequence[tuple[str, str]] = ()
    ) -> float:
        with self._database.transaction("register") as transaction:
            self._hold_again(transaction.tables, owner)
            if owner not in transaction.tables.owners:
                transaction.notify(Notice("owner"))
            known = transaction.tables.owners.get(owner)
            record = OwnerRecord(node, address, transaction.now + ttl_s, frozenset(loaded))
            if known is not None:
                record.hears, record.room = known.hears, known.room
            transaction.tables.owners[owner] = record
            transaction.tables.register_workflows(loaded)
            return transaction.now

    def heartbeat(self, owner: str, ttl_s: float) -> Beat | None:
        with self._database.transaction("heartbeat") as transaction:
            self._hold_again(transaction.tables, owner)
            if not transaction.tables.is_live(owner):
                return None
            transaction.tables.owners[owner].expires_at = transaction.now + ttl_s
            held = [run for run in transaction.tables.live.values() if run.owner == owner]
            return Beat(transaction.now, max((run.token or 0 for run in held), default=0))

    def hear(self, owner: str, channel: str | None, room: int) -> bool:
        with self._database.transaction("hear") as transaction:
            if not transaction.tables.is_live(owner):
                return False
            record = transaction.tables.owners[owner]
            record.hears, record.room = channel is not None, room
            return True

    def retire(self, owners: Sequence[str]) -> None:
        with self._database.transaction("retire") as transaction:
            for owner in owners:
                transaction.tables.owners.pop(owner, None)
            transaction.notify(Notice("left"))

    def begin_life(self) -> Life:
        with self._database.transaction("begin_life") as transaction:
            return Life(next(transaction.tables.epochs), "memory")

    def groups(self, limit: int) -> list[GroupAddress]:
        with self._database.transaction("groups") as transaction:
            tables = transaction.tables
            live = [
                (record.expires_at, GroupAddress(record.node, record.address))
                for owner, record in tables.owners.items()
                if record.address and owner.split("/")[2:3] == ["group"] and tables.is_live(owner)
            ]
            return [group for _, group in sorted(live, reverse=True)[:limit]]

    def hold(self, owner: str) -> bool:
        with self._database.transaction("hold") as transaction:
            self._held.add(owner)
            self._hold_again(transaction.tables, owner)
            return True

    def look_for_gone(self, boot: str, limit: int) -> Others:
        with self._database.transaction("look_for_gone") as transaction:
            tables = transaction.tables
            others = [owner for owner in tables.owners if tables.is_live(owner) and _boot_of(owner) != boot]
            return Others([owner for owner in others if tables.is_gone(owner)][:limit], len(others))

    def retire_gone(self, owners: Sequence[str]) -> list[str]:
        with self._database.transaction("retire_gone") as transaction:
            tables = transaction.tables
            return _retire(
                transaction, [owner for owner in owners if tables.is_live(owner) and tables.is_gone(owner)]
            )

    def ask(self, node: str, boot: str) -> list[Asked]:
        with self._database.transaction("ask") as transaction:
            asked = []
            for owner, record in sorted(transaction.tables.owners.items()):
                if (record.node, _boot_of(owner)) == (node, boot) and record.expires_at > transaction.now:
                    transaction.notify(Notice("ask", owner=owner))
                    asked.append(Asked(owner, round(record.expires_at * 1e6)))
            return asked

    def retire_silent(self, asked: Sequence[Asked]) -> list[str]:
        with self._database.transaction("retire_silent") as transaction:
            tables = transaction.tables
            silent = [
                row.owner
                for row in asked
                if tables.is_live(row.owner)
                and round(tables.owners[row.owner].expires_at * 1e6) == row.expires_us
            ]
            return _retire(transaction, silent)

    def _hold_again(self, tables: Tables, owner: str) -> None:
        if owner in self._held:
            tables.holders.setdefault(owner, set()).add(self._session)

    def claim(self, owner: str, limit: int) -> list[ClaimedRun]:
        with self._database.transaction("claim") as transaction:
            tables = transaction.tables
            if not tables.is_live(owner):
                return []
            oldest_first = sorted(claims.due(tables, tables.live.values()) + claims.wanted(tables, owner))
            return [claims.claim(tables, tables.live[run_id], owner) for _, run_id in oldest_first[:limit]]

    def claim_due(self, owner: str, limit: int) -> list[ClaimedRun]:
        with self._database.transaction("claim_due") as transaction:
            tables = transaction.tables
            if not tables.is_live(owner):
                return []
            oldest_first = sorted(
                claims.due(tables, [run for run in tables.live.values() if run.owner is None])
            )
            return [claims.claim(tables, tables.live[run_id], owner) for _, run_id in oldest_first[:limit]]

    def blame(self, deaths: Sequence[Death], deaths_max: int) -> None:
        with self._database.transaction("blame") as transaction:
            for death in deaths:
                run = transaction.tables.live.get(death.run_id)
                if (
                    run is not None
                    and death.owner in (run.owner, run.previous_owner)
                    and run.killed_owner != death.owner
                ):
                    claims.blame(transaction.tables, run, death.owner, deaths_max)

    def claim_suspect(self, owner: str) -> list[ClaimedRun]:
        with self._database.transaction("claim_suspect") as transaction:
            tables = transaction.tables
            if not tables.is_live(owner):
                return []
            ready = [
                (run.alone_at, run.id)
                for run in tables.live.values()
                if run.suspect == "alone" and claims.alone_at(tables, run, [owner]) <= tables.now
            ]
            return [claims.claim(tables, tables.live[run_id], owner) for _, run_id in sorted(ready)[:1]]

    def claim_tasks(self, claimer: str, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        with self._database.transaction("claim_tasks") as transaction:
            if not transaction.tables.is_live(claimer):
                return []
            queued = [(task.due_at, run.id, task.seq) for run, task in _queued(transaction.tables, queues)]
            oldest_first = sorted(entry for entry in queued if entry[0] <= transaction.now)
            claimed, weight = [], 0
            for _, run_id, seq in oldest_first[:limit]:
                if weight >= READ_BYTES_MAX:
                    break
                claimed.append(_claim_task(transaction.tables.live[run_id], seq, claimer))
                weight += len(claimed[-1].args) + len(claimed[-1].last_heartbeat or b"")
            return claimed

    def assign_task(self, claimer: str, keys: Sequence[TaskKey], worker: str) -> None:
        with self._database.transaction("assign_task") as transaction:
            for task in _claimed(transaction.tables, claimer, keys):
                task.worker = worker

    def claimed(self, claimers: Sequence[str]) -> set[TaskKey]:
        with self._database.transaction("claimed") as transaction:
            return {
                (run.id, task.seq, task.attempt)
                for run in transaction.tables.live.values()
                for task in run.tasks.values()
                if task.state == "running" and task.claimed_by in claimers
            }

    def return_tasks(self, claimer: str, keys: Sequence[TaskKey]) -> None:
        with self._database.transaction("return_tasks") as transaction:
            for task in _claimed(transaction.tables, claimer, keys):
                task.state, task.claimed_by, task.worker = "queued", None, None
                task.due_at = transaction.now
                transaction.notify(Notice("task"))

    def results(self, names: Sequence[ResultKey]) -> dict[ResultKey, bytes]:
        with self._database.transaction("results") as transaction:
            kept = transaction.tables.results
            return {name: kept[name] for name in names if name in kept}

    def note_heartbeats(self, claimer: str, beats: Sequence[tuple[TaskKey, bytes]]) -> None:
        with self._database.transaction("note_heartbeats") as transaction:
            for key, details in beats:
                for task in _claimed(transaction.tables, claimer, [key]):
                    task.heartbeat = details

    def offer_outcomes(self, outcomes: Sequence[TaskOutcome]) -> list[Woken]:
        with self._database.transaction("offer_outcomes") as transaction:
            tables = transaction.tables
            stored: dict[UUID, RunRecord] = {}
            for outcome in outcomes:
                run = tables.live.get(outcome.run_id)
                if run is not None and _store(run, outcome, transaction.now):
                    stored[run.id] = run
            return [Woken(run.id, tables.wake(run)) for run in stored.values()]

    def lose_tasks(self, claimer: str, worker: str | None) -> list[Woken]:
        def lost(task: TaskRecord) -> bool:
            return task.claimed_by == claimer and worker in (None, task.worker)

        with self._database.transaction("lose_tasks") as transaction:
            return _lose(transaction, lost)

    def lose_orphans(self) -> list[Woken]:
        with self._database.transaction("lose_orphans") as transaction:
            return _lose(transaction, lambda task: not transaction.tables.is_live(task.claimed_by))

    def end_overdue_cancels(self) -> list[UUID]:
        with self._database.transaction("end_overdue_cancels") as transaction:
            ended: list[UUID] = []
            for run in sorted(transaction.tables.live.values(), key=lambda run: (run.seed.depth, run.id)):
                overdue = run.cancel is not None and overdue_at(run.cancel) <= transaction.now
                if run.cancel is not None and overdue and run.live:
                    ended += cancel_families(transaction, [run], run.cancel.reason)
            return ended

    def upkeep(self) -> None:
        """Memory has no months."""

    def next_due(self, queues: Sequence[str], owners: Sequence[str] = ()) -> Due:
        with self._database.transaction("next_due") as transaction:
            tables, live = transaction.tables, transaction.tables.live.values()
            wanted = any(claims.wanted(tables, owner) for owner in owners if tables.is_live(owner))
            runs = [at for run in live if (at := tables.claimable_at(run)) is not None]
            cancels = [overdue_at(run.cancel) for run in live if run.cancel is not None]
            return Due(
                _wait_s(tables, runs + [tables.now + WANTED_S] * wanted),
                _wait_s(tables, [task.due_at for _, task in _queued(tables, queues)]),
                _wait_s(
                    tables, [claims.alone_at(tables, run, owners) for run in live if run.suspect == "alone"]
                ),
                _wait_s(tables, cancels),
                any(
                    task.state == "running" and not tables.is_live(task.claimed_by)
                    for run in live
                    for task in run.tasks.values()
                ),
            )


def _wait_s(tables: Tables, moments: Sequence[float]) -> float | None:
    return min(moments) - tables.now if moments else None


def _boot_of(owner: str) -> str:
    """Return which life of a node the owner belongs to; "" if its text does not say."""
    try:
        return Owner.parse(owner).boot
    except ValueError:
        return ""


def _retire(transaction: Transaction, owners: Sequence[str]) -> list[str]:
    for owner in owners:
        del transaction.tables.owners[owner]
    if owners:
        transaction.notify(Notice("left"))
    return sorted(owners)


def _queued(tables: Tables, queues: Sequence[str]) -> list[tuple[RunRecord, TaskRecord]]:
    return [
        (run, task)
        for run in tables.live.values()
        for task in run.tasks.values()
        if task.state == "queued" and task.queue in queues
    ]


def _claim_task(run: RunRecord, seq: int, claimer: str) -> ClaimedTask:
    task = run.tasks[seq]
    task.state, task.claimed_by, task.worker = "running", claimer, None
    return ClaimedTask(
        run.id,
        seq,
        task.attempt,
        task.activity,
        task.args,
        task.queue,
        task.timeout_s,
        task.idempotency_key,
        task.heartbeat_timeout_s,
        task.last_heartbeat,
        run.owner,
    )


def _claimed(tables: Tables, claimer: str, keys: Sequence[TaskKey]) -> list[TaskRecord]:
    """Return the rows of these attempts that ``claimer`` holds; others are none of its business."""
    rows = []
    for run_id, seq, attempt in keys:
        run = tables.live.get(run_id)
        task = run.tasks.get(seq) if run is not None else None
        if (
            task is not None
            and task.state == "running"
            and (task.claimed_by, task.attempt) == (claimer, attempt)
        ):
            rows.append(task)
    return rows


def _store(run: RunRecord, outcome: TaskOutcome, now: float) -> bool:
    """Put the outcome into its task's row; say whether it was taken: an attempt's first outcome stays."""
    task = run.tasks.get(outcome.seq)
    if task is None or task.attempt < outcome.attempt:
        task = TaskRecord(outcome.seq, outcome.attempt, "", b"", "", now, None, None)
        run.tasks[outcome.seq] = task
    if task.attempt > outcome.attempt or task.state == "done":
        return False
    task.state, task.outcome = "done", outcome
    return True


def _lose(transaction: Transaction, lost: Callable[[TaskRecord], bool]) -> list[Woken]:
    woken = []
    for run in transaction.tables.live.values():
        tasks = [task for task in run.tasks.values() if task.state == "running" and lost(task)]
        if tasks:
            transaction.tables.lose(run, tasks)
            woken.append(Woken(run.id, transaction.tables.wake(run)))
    return woken
