"""A batch of steps as the array parameters of ``commit_events`` and ``commit``; one step as plain parameters."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add

from continuum.model.events import EventRow
from continuum.model.run import LIVE_STATES
from continuum.ports.journal import RunCommit
from continuum.postgres.arrays import (
    bigints,
    byteas,
    doubles,
    nullable_bigints,
    payloads,
    smallints,
    texts,
    uuids,
    uuids_repeated,
    words,
)
from continuum.postgres.session import Parameters

ONE_EVENTS_MAX = 2  # for which commit_one and end_one have room: a result, and the next activity
_NO_EVENT = EventRow(0, 0, b"")


def is_plain(step: RunCommit) -> bool:
    """Say whether the step is of a run without a parent, and no more than events and the run's row."""
    return not (
        step.is_child
        or step.version_hash is not None
        or step.timers_set
        or step.timers_cleared
        or step.signals_consumed
        or step.tasks_set
        or step.tasks_cleared
        or step.children_started
        or step.children_consumed
        or step.children_cancelled
    )


def is_familial(step: RunCommit) -> bool:
    """Say whether the step concerns other runs: children, a successor, or a parent that waits for its end."""
    return bool(
        step.children_started
        or step.children_consumed
        or step.children_cancelled
        or step.successor is not None
        or (step.is_child and step.state not in LIVE_STATES)
    )


def fits_one(step: RunCommit) -> bool:
    """Say whether ``commit_one`` or ``end_one`` can write the step, if it is alone: few events, the run's row, and no
    other rows unless the run ends, which removes them all."""
    if len(step.events) > ONE_EVENTS_MAX or is_familial(step):
        return False
    return step.state not in LIVE_STATES or not (
        step.timers_set
        or step.timers_cleared
        or step.signals_consumed
        or step.tasks_set
        or step.tasks_cleared
    )


def one_of(step: RunCommit) -> dict[str, object]:
    """Return the parameters of ``commit_one``, which ``end_one`` has, too."""
    events = step.events
    count = len(events)
    first = events[0] if count else _NO_EVENT
    second = events[1] if count > 1 else _NO_EVENT
    return {
        "id": step.run_id,
        "token": step.token,
        "base_seq": step.base_seq,
        "last_seq": step.base_seq + count,
        "state": step.state,
        "version_hash": step.version_hash or "",
        "seq_1": first.seq,
        "kind_1": first.kind,
        "payload_1": first.payload,
        "seq_2": second.seq,
        "kind_2": second.kind,
        "payload_2": second.payload,
    }


def events_of(steps: Sequence[RunCommit]) -> Parameters:
    """Return the parameters of ``commit_events``; ``steps`` are in the order of their run ids."""
    events = [event for step in steps for event in step.events]
    counts = [len(step.events) for step in steps]
    bases = [step.base_seq for step in steps]
    runs, event_runs = uuids_repeated([step.run_id for step in steps], counts)
    return {
        "runs": runs,
        "tokens": bigints([step.token for step in steps]),
        "bases": bigints(bases),
        "lasts": bigints(list(map(add, bases, counts))),
        "states": words([step.state for step in steps]),
        "results": byteas([step.result for step in steps]),
        "errors": byteas([step.error for step in steps]),
        "event_runs": event_runs,
        "event_seqs": bigints([event.seq for event in events]),
        "event_kinds": smallints([event.kind for event in events]),
        "event_payloads": payloads([event.payload for event in events]),
    }


def rows_of(steps: Sequence[RunCommit]) -> Parameters:
    """Return the parameters of ``commit``; ``steps`` are in the order of their run ids."""
    stamps = {"version_hashes": texts([step.version_hash for step in steps])}
    timers = any(step.timers_set or step.timers_cleared for step in steps)
    signals = any(step.signals_consumed for step in steps)
    tasks = any(step.tasks_set or step.tasks_cleared for step in steps)
    return {
        **events_of(steps),
        **stamps,
        **(_timers(steps) if timers else _NO_TIMERS),
        **(signals_of(steps) if signals else _NO_SIGNALS),
        **(_tasks(steps) if tasks else _NO_TASKS),
    }


def _timers(steps: Sequence[RunCommit]) -> Parameters:
    timers = [timer for step in steps for timer in step.timers_set]
    return {
        "timer_runs": uuids([step.run_id for step in steps for _ in step.timers_set]),
        "timer_seqs": bigints([timer.seq for timer in timers]),
        "timer_delays": doubles([timer.delay_s for timer in timers]),
        "timer_untils": nullable_bigints([timer.until for timer in timers]),
        "cleared_runs": uuids([step.run_id for step in steps for _ in step.timers_cleared]),
        "cleared_seqs": bigints([seq for step in steps for seq in step.timers_cleared]),
    }


def signals_of(steps: Sequence[RunCommit]) -> Parameters:
    """Return the parameters that say what the steps have consumed."""
    return {
        "read_runs": uuids([step.run_id for step in steps for _ in step.signals_consumed]),
        "read_ids": bigints([signal_id for step in steps for signal_id in step.signals_consumed]),
    }


def _tasks(steps: Sequence[RunCommit]) -> Parameters:
    tasks = [task for step in steps for task in step.tasks_set]
    return {
        "task_runs": uuids([step.run_id for step in steps for _ in step.tasks_set]),
        "task_seqs": bigints([task.seq for task in tasks]),
        "task_attempts": bigints([task.attempt for task in tasks]),
        "task_activities": texts([task.activity for task in tasks]),
        "task_args": byteas([task.args for task in tasks]),
        "task_queues": texts([task.queue for task in tasks]),
        "task_delays": doubles([task.delay_s for task in tasks]),
        "task_timeouts": doubles([task.timeout_s for task in tasks]),
        "task_keys": texts([task.idempotency_key for task in tasks]),
        "task_heartbeat_timeouts": doubles([task.heartbeat_timeout_s for task in tasks]),
        "task_last_heartbeats": byteas([task.last_heartbeat for task in tasks]),
        "done_runs": uuids([step.run_id for step in steps for _ in step.tasks_cleared]),
        "done_seqs": bigints([seq for step in steps for seq in step.tasks_cleared]),
    }


_NO_TIMERS, _NO_SIGNALS, _NO_TASKS = _timers(()), signals_of(()), _tasks(())
