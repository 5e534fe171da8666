"""One step on an idle system: from ``start`` to ``result``, one run after the other, in this process."""

from __future__ import annotations

import time
from functools import partial

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Section, curve_of, median_of, percentile
from bench.floor import Floor, in_turn
from bench.flows import one_step
from bench.plan import BARS, Plan, Say

RESULT_S = 30.0


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Percentiles of the time of a workflow with one activity."""
    rounds, floors = in_turn(
        bed.url,
        partial(_once, bed),
        Floor.step,
        plan.latency_rounds,
        plan.latency_runs,
        plan.warm_up_latencies,
    )
    p50 = median_of("p50_ms", [percentile(taken, 50) for taken in rounds], BARS["latency.p50_ms"])
    p99 = median_of("p99_ms", [percentile(taken, 99) for taken in rounds], BARS["latency.p99_ms"])
    least = median_of("floor_p50_ms", [percentile(taken, 50) for taken in floors])
    say(f"latency: p50 {p50.value:.2f} ms, p99 {p99.value:.2f} ms; p50 of the floor {least.value:.2f} ms")
    how = (
        f"{plan.latency_rounds} times {plan.latency_runs} workflows of one activity, one after the other, in turn with"
        " the same transactions and processes without the product"
    )
    every = [taken_ms for taken in rounds for taken_ms in taken]
    return Section("latency", how, (p50, p99, least), {"ms": curve_of(every)})


def _once(bed: Bed, number: int) -> float:
    began = time.perf_counter()
    result = bed.client.start(one_step(number), namespace="latency").result(RESULT_S)
    taken_ms = (time.perf_counter() - began) * 1000
    if result != number + 1:
        raise BenchError(f"one_step({number}) returned {result!r}; this is a bug")
    return taken_ms
