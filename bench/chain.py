"""Chains of activities, many in flight: the hot path. The limit is measured in turn with them, pair by pair.

Processor time is compared as well as time: it says what a step costs where another program takes a core away.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import limit
from bench.bed import Bed
from bench.cpu import postmaster_of, spent
from bench.crowd import IN_FLIGHT, check, drive
from bench.figures import Section, median_of, ratios
from bench.flows import CHAIN_EVENTS, STEPS, chain
from bench.plan import BARS, Plan, Say


@dataclass(frozen=True, slots=True)
class _Round:
    steps_per_s: float
    cpu_us_per_step: float | None


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The chain's rate and cost, and their parts of the limit's."""
    postmaster = postmaster_of(bed)
    _round(bed, "chain-warm-up", plan.warm_up_runs, postmaster)
    stick = limit.Stick(plan.limit, bed.url, postmaster)
    ours: list[_Round] = []
    limits: list[_Round] = []
    for number in range(1, plan.chain_pairs + 1):
        ours.append(_round(bed, f"chain-{number}", plan.chain_runs, postmaster))
        reached = stick.measure(plan.chain_runs, IN_FLIGHT)
        limits.append(_Round(reached.steps_per_s, reached.cpu_us_per_step))
        say(
            f"chain {number}/{plan.chain_pairs}: {ours[-1].steps_per_s:,.0f} steps/s,"
            f" limit {limits[-1].steps_per_s:,.0f}, ratio {ours[-1].steps_per_s / limits[-1].steps_per_s:.2f}"
        )
    how = (
        f"{plan.chain_pairs} times {plan.chain_runs:,} chains of {STEPS} activities, {IN_FLIGHT:,} in flight, and"
        f" {plan.limit.name} in turn with them; processor time of engine, worker and PostgreSQL"
    )
    steps, limit_steps = [each.steps_per_s for each in ours], [each.steps_per_s for each in limits]
    cost, limit_cost = _costs(ours), _costs(limits)
    figures = (
        median_of("runs_per_s", [rate / STEPS for rate in steps]),
        median_of("steps_per_s", steps),
        median_of("limit_steps_per_s", limit_steps),
        median_of("ratio", ratios(steps, limit_steps), BARS["chain.ratio"]),
        median_of("cpu_us_per_step", cost),
        median_of("limit_cpu_us_per_step", limit_cost),
        median_of("cpu_ratio", ratios(cost, limit_cost), BARS["chain.cpu_ratio"]),
    )
    return Section("chain", how, figures)


def _round(bed: Bed, namespace: str, runs: int, postmaster: int | None) -> _Round:
    _ = bed.client
    before = None if postmaster is None else spent(bed, postmaster)
    seconds = drive(bed, namespace, chain, runs)
    cost = None
    if postmaster is not None and before is not None:
        cost = spent(bed, postmaster).since(before) / runs / STEPS * 1e6
    check(bed, namespace, (number + STEPS for number in range(runs)), CHAIN_EVENTS)
    return _Round(runs / seconds * STEPS, cost)


def _costs(rounds: list[_Round]) -> list[float]:
    return [each.cpu_us_per_step for each in rounds if each.cpu_us_per_step is not None]
