"""Chains on tables with millions of rows against chains on empty ones, each with a node of its own, in turn."""

from __future__ import annotations

import time

from bench.bed import Bed
from bench.crowd import check, drive
from bench.figures import Figure, Section, median_of, ratios
from bench.fill import copy_run, settle
from bench.flows import CHAIN_EVENTS, STEPS, chain, count_up
from bench.plan import BARS, Plan, Say

FILL_STEPS = 5  # ten events a run
RESULT_S = 30.0


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The rate on full tables, as a part of that on empty ones."""
    full_rates: list[float] = []
    empty_rates: list[float] = []
    with bed.aside("full") as full, bed.aside("empty") as empty:
        began = time.perf_counter()
        events = _fill(full, plan.growth_runs)
        say(f"growth: {plan.growth_runs:,} runs, {events:,} events after {time.perf_counter() - began:.0f} s")
        for each in (full, empty):
            _round(each, "growth-warm-up", plan.warm_up_runs)
            settle(each)  # both have statistics, and plans that were made with them
        for number in range(1, plan.growth_pairs + 1):
            pair = ((full, full_rates), (empty, empty_rates))
            for each, rates in (
                pair if number % 2 else reversed(pair)
            ):  # what the first leaves behind, the second pays
                rates.append(_round(each, f"growth-{number}", plan.growth_chains))
            ratio = full_rates[-1] / empty_rates[-1]
            say(
                f"growth {number}/{plan.growth_pairs}: {full_rates[-1]:,.0f} of {empty_rates[-1]:,.0f}, {ratio:.2f}"
            )
    how = (
        f"{plan.growth_pairs} times {plan.growth_chains:,} chains of {STEPS} activities on tables with"
        f" {plan.growth_runs:,} runs that have ended and {events:,} events, and on empty ones"
    )
    figures = (
        median_of("full_steps_per_s", full_rates),
        median_of("empty_steps_per_s", empty_rates),
        median_of("ratio", ratios(full_rates, empty_rates), BARS["growth.ratio"]),
        Figure("million_events", events / 1e6),
    )
    return Section("growth", how, figures)


def _fill(bed: Bed, runs: int) -> int:
    template = bed.client.start(count_up(FILL_STEPS), namespace="growth-template")
    template.result(RESULT_S)
    bed.stop(graceful=True)
    return copy_run(bed, template.id, runs, "growth-fill")


def _round(bed: Bed, namespace: str, runs: int) -> float:
    seconds = drive(bed, namespace, chain, runs)
    check(bed, namespace, (number + STEPS for number in range(runs)), CHAIN_EVENTS)
    return runs / seconds * STEPS
