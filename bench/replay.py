"""A long history, walked again by the core in this process: from its events, and from a snapshot of them.

Both begin with what the database's driver gives, a tuple for each event or one blob for all, and end where the code
of the run has its value again; making events of the tuples, and reading the blob, is a part of it. What the driver
does for 20,000 rows instead of one is not. The node and its server lie idle meanwhile: no I/O is measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from uuid import UUID

import msgspec

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Bar, Section, median_of, ratios
from bench.flows import add_one, count_up
from bench.plan import Plan, Say
from continuum.core.machine import Machine
from continuum.core.recorded import Recorded, recorded_of
from continuum.core.snapshot import compact, expand
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.events import ActivityCompleted, ActivityScheduled, EventRow, to_row

ACTIVITIES = 10_000
EVENTS = 2 * ACTIVITIES
US_PER_EVENT_BAR = Bar(2.0, at_most=True)
SNAPSHOT_BAR = Bar(0.5, at_most=True)

_RUN = RunIdentity(UUID(int=1), count_up.name, "bench", created_at=0, correlation_id=UUID(int=1))
_ARGS = payload.encode([[ACTIVITIES], {}])


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Microseconds for an event, and the part of them that is left from a snapshot."""
    blob = compact(history())
    rows = [msgspec.structs.astuple(row) for row in history()]
    taken_s: list[float] = []
    snapshot_s: list[float] = []
    for number in range(plan.replay_pairs + 1):
        pair = _seconds(lambda: recorded_of([EventRow(*row) for row in rows])), _seconds(lambda: expand(blob))
        if number > 0:  # the first pair warms up
            taken_s.append(pair[0])
            snapshot_s.append(pair[1])
    us_per_event = [seconds / EVENTS * 1e6 for seconds in taken_s]
    per_event = median_of("us_per_event", us_per_event, US_PER_EVENT_BAR)
    ratio = median_of("snapshot_ratio", ratios(snapshot_s, taken_s), SNAPSHOT_BAR)
    say(f"replay: {per_event.value:.2f} µs per event, from a snapshot {ratio.value:.2f} of that")
    how = f"{plan.replay_pairs} times {ACTIVITIES:,} activities from {EVENTS:,} events, and from a snapshot"
    return Section("replay", how, (per_event, ratio))


def history() -> list[EventRow]:
    """The journal of ``count_up``, as one engine wrote it: each value one more than the one before."""
    rows: list[EventRow] = []
    for value in range(ACTIVITIES):
        seq = 2 * value + 1
        args = payload.encode([[value], {}])
        rows.append(to_row(seq, ActivityScheduled(add_one.name, args, "bench/flows.py:1", "boot:0")))
        rows.append(to_row(seq + 1, ActivityCompleted(seq, payload.encode(value + 1), at=seq)))
    return rows


def _seconds(read: Callable[[], Recorded]) -> float:
    gc.collect()  # the garbage of the one before is not its own
    began = time.process_time()
    machine = Machine(_RUN, count_up, _ARGS, Crew("boot:0"))
    machine.begin(read())
    taken = time.process_time() - began
    step = machine.take()
    value = payload.decode(step.result) if step.result is not None else None
    if value != ACTIVITIES or step.events:
        raise BenchError(
            f"a replay of {ACTIVITIES} activities ended {step.state} with {value!r}; this is a bug"
        )
    return taken
