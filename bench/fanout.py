"""Many activities gathered in one run: how wide a single run can be."""

from __future__ import annotations

import time

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Section, median_of
from bench.flows import fan_out
from bench.plan import BARS, Plan, Say

RESULT_S = 60.0


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Seconds from ``start`` to ``result`` of a run that gathers its activities."""
    _once(bed, plan.fanout_width)
    taken = [_once(bed, plan.fanout_width) for _ in range(plan.fanout_rounds)]
    seconds = median_of("seconds", taken, BARS["fanout.seconds"])
    say(f"fanout: {seconds.value:.3f} s")
    how = f"{plan.fanout_rounds} times {plan.fanout_width:,} activities gathered in one run"
    return Section("fanout", how, (seconds,))


def _once(bed: Bed, width: int) -> float:
    began = time.perf_counter()
    result = bed.client.start(fan_out(width), namespace="fanout").result(RESULT_S)
    seconds = time.perf_counter() - began
    if result != width * (width + 1) // 2:
        raise BenchError(f"fan_out({width}) returned {result!r}; this is a bug")
    return seconds
