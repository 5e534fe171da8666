"""Chains of activities, many in flight: the hot path. The limit is measured in turn with them, pair by pair."""

from __future__ import annotations

from bench import limit
from bench.bed import Bed
from bench.crowd import IN_FLIGHT, check, drive
from bench.figures import Bar, Section, median_of, ratios
from bench.flows import CHAIN_EVENTS, STEPS, chain
from bench.plan import Plan, Say

RATIO_BAR = Bar(0.35)


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The chain's rate, and its part of the limit's."""
    _round(bed, "chain-warm-up", plan.warm_up_runs)
    program = plan.limit
    if program is None:
        say("chain: the measuring stick is missing, so there is no limit and no ratio")
    rates: list[float] = []
    limits: list[float] = []
    for number in range(1, plan.chain_pairs + 1):
        rates.append(_round(bed, f"chain-{number}", plan.chain_runs))
        line = f"chain {number}/{plan.chain_pairs}: {rates[-1] * STEPS:,.0f} steps/s"
        if program is not None:
            limits.append(limit.measure(program, bed.url, plan.chain_runs, IN_FLIGHT))
            line += f", limit {limits[-1]:,.0f}, ratio {rates[-1] * STEPS / limits[-1]:.2f}"
        say(line)
    steps = [rate * STEPS for rate in rates]
    how = (
        f"{plan.chain_pairs} times {plan.chain_runs:,} chains of {STEPS} activities, {IN_FLIGHT:,} in flight"
    )
    figures = (
        median_of("runs_per_s", rates),
        median_of("steps_per_s", steps),
        median_of("limit_steps_per_s", limits),
        median_of("ratio", ratios(steps, limits) if limits else [], RATIO_BAR),
    )
    return Section("chain", how, figures)


def _round(bed: Bed, namespace: str, runs: int) -> float:
    seconds = drive(bed, namespace, chain, runs)
    check(bed, namespace, (number + STEPS for number in range(runs)), CHAIN_EVENTS)
    return runs / seconds
