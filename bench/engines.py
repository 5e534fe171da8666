"""Two and four engines against one, each a node of its own; all are up, and one at a time has work."""

from __future__ import annotations

from contextlib import ExitStack

from bench.bed import Bed
from bench.crowd import check, drive
from bench.figures import Section, median_of, ratios
from bench.flows import CHAIN_EVENTS, STEPS, chain
from bench.plan import BARS, Plan, Say

COUNTS = {"one": 1, "two": 2, "four": 4}


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Rates of chains by number of engines, and their ratios to that of one."""
    rates: dict[str, list[float]] = {name: [] for name in COUNTS}
    with ExitStack() as stack:
        beds = {name: stack.enter_context(bed.aside(name, engines)) for name, engines in COUNTS.items()}
        for each in beds.values():
            _round(each, "engines-warm-up", plan.warm_up_runs)
        for number in range(1, plan.engines_rounds + 1):
            for name, each in beds.items():
                rates[name].append(_round(each, f"engines-{number}", plan.engines_runs))
            said = ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in COUNTS)
            say(f"engines {number}/{plan.engines_rounds}: {said} steps/s")
    how = f"{plan.engines_rounds} times {plan.engines_runs:,} chains of {STEPS} activities on each"
    figures = (
        *(median_of(f"{name}_steps_per_s", rates[name]) for name in COUNTS),
        median_of("two_ratio", ratios(rates["two"], rates["one"]), BARS["engines.two_ratio"]),
        median_of("four_ratio", ratios(rates["four"], rates["one"]), BARS["engines.four_ratio"]),
    )
    return Section("engines", how, figures)


def _round(bed: Bed, namespace: str, runs: int) -> float:
    seconds = drive(bed, namespace, chain, runs)
    check(bed, namespace, (number + STEPS for number in range(runs)), CHAIN_EVENTS)
    return runs / seconds * STEPS
