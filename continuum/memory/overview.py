"""The overview of an instance, by a look at every live run."""

from __future__ import annotations

from collections import Counter

from continuum.memory.tables import Tables, TaskRecord
from continuum.ports.overview import STUCK_MAX, Overview, OwnerView, QueueView, StuckRun


def overview_of(tables: Tables) -> Overview:
    live = list(tables.live.values())
    ownerless = [run.due_at for run in live if run.owner is None and run.due_at is not None]
    due = [at for at in ownerless if at <= tables.now]
    stuck = sorted(
        (run for run in live if run.attention), key=lambda run: (run.due_at or float("inf"), run.id)
    )
    return Overview(
        owners=_owners(tables),
        queues=_queues(tables),
        due=len(due),
        oldest_s=tables.now - min(due) if due else None,
        sleeping=len(ownerless) - len(due),
        stuck=[
            StuckRun(run.id, run.seed.workflow, run.attention or "", _until(run.due_at, tables.now))
            for run in stuck[:STUCK_MAX]
        ],
        stuck_count=len(stuck),
    )


def _until(at: float | None, now: float) -> float | None:
    return None if at is None else at - now


def _tasks(tables: Tables) -> list[TaskRecord]:
    return [task for run in tables.live.values() for task in run.tasks.values()]


def _owners(tables: Tables) -> list[OwnerView]:
    runs = Counter(run.owner for run in tables.live.values() if run.owner is not None)
    tasks = Counter(task.claimed_by for task in _tasks(tables) if task.state == "running" and task.claimed_by)
    views = []
    for owner in sorted({*tables.owners, *runs, *tasks}):
        record = tables.owners.get(owner)
        if tables.is_live(owner) or runs[owner] or tasks[owner]:
            views.append(
                OwnerView(
                    owner,
                    record.node if record else owner.partition("/")[0],
                    record.address if record else "",
                    record.expires_at - tables.now if record else 0.0,
                    runs[owner],
                    tasks[owner],
                )
            )
    return views


def _queues(tables: Tables) -> list[QueueView]:
    by_queue: dict[str, list[TaskRecord]] = {}
    for task in _tasks(tables):
        if task.state in ("queued", "running"):
            by_queue.setdefault(task.queue, []).append(task)
    return [_queue(name, tasks, tables.now) for name, tasks in sorted(by_queue.items())]


def _queue(name: str, tasks: list[TaskRecord], now: float) -> QueueView:
    queued = [task.due_at for task in tasks if task.state == "queued"]
    due = [at for at in queued if at <= now]
    return QueueView(name, len(queued), len(due), len(tasks) - len(queued), now - min(due) if due else None)
