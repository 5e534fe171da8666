"""One step on an idle system: from ``start`` to ``result``, one run after the other, in this process."""

from __future__ import annotations

import time

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Bar, Figure, Section, percentile
from bench.flows import one_step
from bench.plan import Plan, Say

P50_BAR = Bar(8.0, at_most=True)
RESULT_S = 30.0


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Percentiles of the time of a workflow with one activity."""
    for number in range(plan.warm_up_latencies):
        _once(bed, number)
    taken_ms = [_once(bed, number) for number in range(plan.latency_runs)]
    p50, p99 = percentile(taken_ms, 50), percentile(taken_ms, 99)
    say(f"latency: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    how = f"{plan.latency_runs} workflows of one activity, one after the other"
    spread = (min(taken_ms), max(taken_ms))
    return Section("latency", how, (Figure("p50_ms", p50, spread, P50_BAR), Figure("p99_ms", p99)))


def _once(bed: Bed, number: int) -> float:
    began = time.perf_counter()
    result = bed.client.start(one_step(number), namespace="latency").result(RESULT_S)
    taken_ms = (time.perf_counter() - began) * 1000
    if result != number + 1:
        raise BenchError(f"one_step({number}) returned {result!r}; this is a bug")
    return taken_ms
