"""Empty workflows, from ``start_many`` to the last result: what a run costs without any step."""

from __future__ import annotations

from bench.bed import Bed
from bench.crowd import check, drive
from bench.figures import Section, median_of
from bench.flows import noop
from bench.plan import BARS, Plan, Say


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The rate of empty runs, all started at once."""
    _round(bed, "noop-warm-up", plan.warm_up_runs)
    rates = []
    for number in range(1, plan.noop_rounds + 1):
        rates.append(_round(bed, f"noop-{number}", plan.noop_runs))
        say(f"noop {number}/{plan.noop_rounds}: {rates[-1]:,.0f} runs/s")
    how = f"{plan.noop_rounds} times {plan.noop_runs:,} empty workflows in one start_many"
    return Section("noop", how, (median_of("runs_per_s", rates, BARS["noop.runs_per_s"]),))


def _round(bed: Bed, namespace: str, runs: int) -> float:
    seconds = drive(bed, namespace, noop, runs, in_flight=runs)
    check(bed, namespace, range(runs), events=0)
    return runs / seconds
