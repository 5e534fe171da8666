"""Many runs in flight: start them from outside the node, keep their number up, and look whether all came out right.

One query in a while says how many have ended: on a machine with two cores a client that waits for each of
thousands of runs would be a part of what it measures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from psycopg import sql

from bench.bed import Bed
from bench.errors import BenchError

if TYPE_CHECKING:
    from continuum.core.call import WorkflowCall

IN_FLIGHT = 1000
WAVE_RUNS = 100  # fewer are not worth a transaction, unless they are the last
LOOK_S_MIN, LOOK_S_MAX = 0.005, 0.1
STALL_S = 30.0

ENDED = sql.SQL(
    "select count(*) from {schema}.continuum_runs where namespace = %s and state not in ('running', 'suspended')"
)
PARKED = sql.SQL("select count(*) from {schema}.continuum_runs where namespace = %s and state = 'suspended'")
_EVENTS = sql.SQL(
    "select count(e.seq), coalesce(max(e.seq), 0), count(distinct e.seq) from {schema}.continuum_runs r"
    " left join {schema}.continuum_events e on e.run_id = r.id where r.namespace = %s group by r.id"
)


def drive(
    bed: Bed,
    namespace: str,
    call: Callable[[int], WorkflowCall[Any]],
    runs: int,
    in_flight: int = IN_FLIGHT,
    arrived: sql.SQL = ENDED,
) -> float:
    """Start ``call(0)``, ``call(1)``, ... in waves; return the seconds from the first start to the last end.

    ``arrived`` counts the runs of the namespace that are where they should get.

    Raises:
        BenchError: for `STALL_S` no run has got there.
    """
    started = ended = 0
    began = progress = time.perf_counter()
    pause_s = LOOK_S_MIN
    while ended < runs:
        room = min(runs - started, in_flight - (started - ended))
        if room and room >= min(WAVE_RUNS, in_flight, runs - started):
            calls = [call(number) for number in range(started, started + room)]
            bed.client.start_many(calls, namespace=namespace)
            started += room
        time.sleep(pause_s)
        before, ended = ended, bed.rows(arrived, namespace)[0][0]
        now = time.perf_counter()
        if ended > before:
            progress = now
        elif now - progress > STALL_S:
            raise BenchError(
                f"{ended} of {started} runs are where they should be, and none for {STALL_S:.0f} s; the measurement"
                " was given up. The node's log above may say why"
            )
        left_s = (runs - ended) * (now - began) / ended if ended else math.inf
        # Few looks on the way, and the last one soon after the end.
        pause_s = min(2 * pause_s, LOOK_S_MAX, max(left_s / 2, LOOK_S_MIN))
    return time.perf_counter() - began


def check(bed: Bed, namespace: str, results: Iterable[int], events: int) -> None:
    """Look whether the runs of a namespace returned just these values, each with so many events and no gap.

    Raises:
        BenchError: they did not; the figures would mean nothing.
    """
    found: list[object] = []
    cursor: str | None = ""
    while cursor is not None:
        page = bed.client.query(namespace=namespace, limit=1000, cursor=cursor or None)
        wrong = next((run for run in page.runs if run.state != "completed"), None)
        if wrong is not None:
            raise BenchError(f"run {wrong.id} is {wrong.state}: {wrong.error}; its measurement means nothing")
        found.extend(run.result for run in page.runs)
        cursor = page.next_cursor
    if sorted(map(repr, found)) != sorted(map(repr, results)):
        raise BenchError(f"the runs of {namespace} returned other values than they should; this is a bug")
    for row in bed.rows(_EVENTS, namespace):
        if row != (events, events, events):
            raise BenchError(
                f"a run of {namespace} has {row[0]} events up to number {row[1]} instead of {events}; this is a bug"
            )
