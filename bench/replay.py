"""A long history, walked again by the core in this process: from its events, and from a snapshot of them.

Both begin with bytes as the database gives them, one payload for each event or one blob for all, and end where the
code of the run has its value again. The node and its server lie idle meanwhile: no I/O is measured.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from uuid import UUID

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Figure, Section, median_of, ratios
from bench.flows import add_one, count_up
from bench.plan import BARS, Plan, Say
from continuum.core.machine import Machine
from continuum.core.snapshot import compact, expand
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.events import ActivityCompleted, ActivityScheduled, EventRow, to_row

ACTIVITIES = 10_000
EVENTS = 2 * ACTIVITIES
SHORTER = 4  # the history that memory is compared with is so many times shorter

_RUN = RunIdentity(UUID(int=1), count_up.name, "bench", created_at=0, correlation_id=UUID(int=1))


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Microseconds for an event, and the part of them that is left from a snapshot."""
    rows = history()
    blob = compact(rows)
    taken_s: list[float] = []
    snapshot_s: list[float] = []
    for number in range(plan.replay_pairs + 1):
        pair = _seconds(lambda: rows), _seconds(lambda: expand(blob))
        if number > 0:  # the first pair warms up
            taken_s.append(pair[0])
            snapshot_s.append(pair[1])
    us_per_event = [seconds / EVENTS * 1e6 for seconds in taken_s]
    per_event = median_of("us_per_event", us_per_event, BARS["replay.us_per_event"])
    ratio = median_of("snapshot_ratio", ratios(snapshot_s, taken_s), BARS["replay.snapshot_ratio"])
    memory = _memory_bytes(ACTIVITIES) / (_memory_bytes(ACTIVITIES // SHORTER) * SHORTER)
    say(f"replay: {per_event.value:.2f} µs per event, from a snapshot {ratio.value:.2f} of that")
    how = (
        f"{plan.replay_pairs} times {ACTIVITIES:,} activities from {EVENTS:,} events, and from a snapshot; memory by"
        f" event against that of a history {SHORTER} times shorter"
    )
    return Section(
        "replay", how, (per_event, ratio, Figure("memory_ratio", memory, bar=BARS["replay.memory_ratio"]))
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


def _seconds(read: Callable[[], Sequence[EventRow]]) -> float:
    gc.collect()  # the garbage of the one before is not its own
    began = time.process_time()
    machine = _replay(read(), ACTIVITIES)
    taken = time.process_time() - began
    step = machine.take()
    value = payload.decode(step.result) if step.result is not None else None
    if value != ACTIVITIES or step.events:
        raise BenchError(
            f"a replay of {ACTIVITIES} activities ended {step.state} with {value!r}; this is a bug"
        )
    return taken


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
    machine = Machine(_RUN, count_up, payload.encode([[activities], {}]), Crew("boot:0"))
    machine.begin(rows)
    return machine
