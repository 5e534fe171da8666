"""A long history, walked again in this process: from its events, and from a snapshot of them.

``us_per_event`` is the walk: from the rows that the journal has loaded to where the code of the run has its value.
``snapshot_ratio`` is all that resuming costs this process, by the processor time of its thread: the journal reads the
run from the database, once its 20,000 events and once the one blob, and the walk follows. What the server does for
either is not in it, and the node lies idle.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Figure, Section, median_of, ratios
from bench.flows import add_one, count_up
from bench.plan import BARS, Plan, Say
from continuum.core.machine import Machine
from continuum.core.snapshot import FORMAT, compact
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.events import ActivityCompleted, ActivityScheduled, EventRow, to_row
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit, Snapshot
from continuum.postgres import PostgresStore, open_store
from continuum.runtime.snapshots import history_of

ACTIVITIES = 10_000
EVENTS = 2 * ACTIVITIES
SHORTER = 4  # the history that memory is compared with is so many times shorter
COMMIT_EVENTS = 2_000
OWNER, OWNER_TTL_S = "bench-replay", 600.0

_RUN = RunIdentity(UUID(int=1), count_up.name, "bench", begun_at=0, correlation_id=UUID(int=1))


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Microseconds for an event, and what resuming from a snapshot costs of resuming from events."""
    _ = bed.node  # it has made the tables; our run is leased to an owner of our own, and nobody claims it
    rows = history()
    walks_s: list[float] = []
    ratios_: list[float] = []
    with closing(open_store(bed.url, bed.schema_name)) as store:
        lease = _stored(store, rows)
        for number in range(plan.replay_pairs + 1):
            walk_s = _walk_s(rows)
            (ratio,) = ratios(
                [_resume_s(store, lease, snapshots=True)], [_resume_s(store, lease, snapshots=False)]
            )
            if number > 0:  # the first round warms up
                walks_s.append(walk_s)
                ratios_.append(ratio)
        store.catalog.cancel(lease.run_id, "measured")
    per_event = median_of("us_per_event", [s / EVENTS * 1e6 for s in walks_s], BARS["replay.us_per_event"])
    from_snapshot = median_of("snapshot_ratio", ratios_, BARS["replay.snapshot_ratio"])
    memory = _memory_bytes(ACTIVITIES) / (_memory_bytes(ACTIVITIES // SHORTER) * SHORTER)
    say(
        f"replay: {per_event.value:.2f} µs per event; resuming from a snapshot {from_snapshot.value:.2f} of from events"
    )
    how = (
        f"{plan.replay_pairs} times {ACTIVITIES:,} activities from {EVENTS:,} events; resuming from a snapshot against"
        f" from events, both with what reading them costs; memory by event against a history {SHORTER} times shorter"
    )
    return Section(
        "replay",
        how,
        (per_event, from_snapshot, Figure("memory_ratio", memory, bar=BARS["replay.memory_ratio"])),
    )


def _stored(store: PostgresStore, rows: Sequence[EventRow]) -> Lease:
    """A run with this journal and a snapshot of it, leased to us."""
    store.dispatch.register(OWNER, "bench", "", OWNER_TTL_S)
    run_id = UUID(int=time.time_ns())
    seed = RunSeed(id=run_id, workflow=count_up.name, args=_arguments(ACTIVITIES), namespace="bench-replay")
    (inserted,) = store.catalog.insert([seed], owner=OWNER)
    assert inserted.token is not None, "inserted leased"
    for base in range(0, EVENTS, COMMIT_EVENTS):
        part = rows[base : base + COMMIT_EVENTS]
        store.journal.commit([RunCommit(run_id, inserted.token, base, part, "running")])
    lease = Lease(run_id, inserted.token)
    store.journal.save_snapshot(lease, Snapshot(EVENTS, FORMAT, count_up.version_hash, compact(rows, run_id)))
    return lease


def _resume_s(store: PostgresStore, lease: Lease, *, snapshots: bool) -> float:
    gc.collect()  # the garbage of the one before is not its own
    began = time.thread_time()
    (loaded,) = store.journal.load([lease], snapshots)
    history = history_of(loaded, count_up.version_hash)
    if history is None or (loaded.snapshot is not None) is not snapshots:
        raise BenchError("the run was not read as it was to be; this is a bug")
    machine = Machine(_RUN, count_up, loaded.run.args, Crew("boot:0"))
    machine.begin(history)
    taken = time.thread_time() - began
    _check(machine)
    return taken


def _walk_s(rows: Sequence[EventRow]) -> float:
    gc.collect()
    began = time.thread_time()
    machine = _replay(rows, ACTIVITIES)
    taken = time.thread_time() - began
    _check(machine)
    return taken


def _check(machine: Machine) -> None:
    step = machine.take()
    value = payload.decode(step.result) if step.result is not None else None
    if value != ACTIVITIES or step.events:
        raise BenchError(
            f"a replay of {ACTIVITIES} activities ended {step.state} with {value!r}; this is a bug"
        )


def history(activities: int = ACTIVITIES) -> list[EventRow]:
    """The journal of ``count_up``, as one engine wrote it: each value one more than the one before."""
    rows: list[EventRow] = []
    for value in range(activities):
        seq = 2 * value + 1
        args = payload.encode([[value], {}])
        rows.append(to_row(seq, ActivityScheduled(add_one.name, args, "bench/flows.py:1", "boot:0")))
        rows.append(to_row(seq + 1, ActivityCompleted(seq, payload.encode(value + 1), at=seq)))
    return rows


def _memory_bytes(activities: int) -> int:
    """The most that a replay has in memory, besides the events that it is given."""
    rows = history(activities)
    gc.collect()
    tracemalloc.start()
    try:
        _replay(rows, activities)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _replay(rows: Sequence[EventRow], activities: int) -> Machine:
    machine = Machine(_RUN, count_up, _arguments(activities), Crew("boot:0"))
    machine.begin(rows)
    return machine


def _arguments(activities: int) -> bytes:
    return payload.encode([[activities], {}])
