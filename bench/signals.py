"""A signal to a parked run: from ``signal`` to ``result``, one run after the other, in this process."""

from __future__ import annotations

import time
from functools import partial

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Section, curve_of, median_of, percentile
from bench.floor import Floor, in_turn
from bench.flows import go, waits_signal
from bench.plan import BARS, Plan, Say

RESULT_S = 30.0
PARKED_S = 30.0
LOOK_S = 0.005


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The median time from a signal to the end of the run that waits for it."""
    rounds, floors = in_turn(
        bed.url,
        partial(_once, bed),
        Floor.signal,
        plan.signal_rounds,
        plan.signal_runs,
        plan.warm_up_latencies,
    )
    p50 = median_of("p50_ms", [percentile(taken, 50) for taken in rounds], BARS["signal.p50_ms"])
    least = median_of("floor_p50_ms", [percentile(taken, 50) for taken in floors])
    say(f"signal: p50 {p50.value:.2f} ms; of the floor {least.value:.2f} ms")
    how = (
        f"{plan.signal_rounds} times {plan.signal_runs} parked workflows, one after the other, in turn with the same"
        " transactions and processes without the product"
    )
    return Section("signal", how, (p50, least), {"ms": curve_of([ms for taken in rounds for ms in taken])})


def _once(bed: Bed, number: int) -> float:
    run = bed.client.start(waits_signal(), namespace="signal")
    give_up_at = time.monotonic() + PARKED_S
    while run.run().state != "suspended":
        if time.monotonic() > give_up_at:
            raise BenchError(
                f"run {run.id} is not parked after {PARKED_S:.0f} s; the measurement was given up"
            )
        time.sleep(LOOK_S)
    began = time.perf_counter()
    run.signal(go, number)
    result = run.result(RESULT_S)
    taken_ms = (time.perf_counter() - began) * 1000
    if result != number:
        raise BenchError(f"run {run.id} returned {result!r} after signal {number}; this is a bug")
    return taken_ms
