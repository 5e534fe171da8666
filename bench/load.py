"""Steps a second against runs in flight: how the node fills with work. No bar; a curve for the page."""

from __future__ import annotations

from statistics import median

from bench.bed import Bed
from bench.crowd import check, drive
from bench.figures import Section, median_of
from bench.flows import count_up
from bench.plan import Plan, Say

IN_FLIGHT = (1, 3, 10, 30, 100, 300, 1000, 3000)
STEPS_MIN, STEPS_MAX = 10, 150


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """For each number of runs in flight, as many runs at once, each so long that all of them take about as long."""
    rates: dict[int, list[float]] = {runs: [] for runs in IN_FLIGHT}
    _round(bed, "load-warm-up", plan.warm_up_runs, STEPS_MIN)
    for number in range(1, plan.load_rounds + 1):
        for runs in IN_FLIGHT:
            steps = min(max(plan.load_steps // runs, STEPS_MIN), STEPS_MAX)
            rates[runs].append(_round(bed, f"load-{number}-{runs}", runs, steps))
        say(
            f"load {number}/{plan.load_rounds}: "
            + ", ".join(f"{runs:,}: {rates[runs][-1]:,.0f}" for runs in IN_FLIGHT)
        )
    how = f"{plan.load_rounds} times so many chains at once, of {STEPS_MIN} to {STEPS_MAX} steps"
    figures = tuple(median_of(f"steps_per_s_at_{runs}", rates[runs]) for runs in IN_FLIGHT)
    curve = tuple((float(runs), median(rates[runs])) for runs in IN_FLIGHT)
    return Section("load", how, figures, {"steps_per_s": curve})


def _round(bed: Bed, namespace: str, runs: int, steps: int) -> float:
    seconds = drive(bed, namespace, lambda _: count_up(steps), runs, in_flight=runs)
    check(bed, namespace, [steps] * runs, 2 * steps)
    return runs * steps / seconds
