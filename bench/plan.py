"""How much is measured, and what has to be reached: plans that take minutes, seconds, or a glance. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.figures import Bar

Say = Callable[[str], None]

# One machine of two cores, PostgreSQL with fsync. `engines`: a loss that is smaller than the scatter of a rate is none.
BARS: Final[Mapping[str, Bar]] = MappingProxyType(
    {
        "chain.ratio": Bar(0.55),
        "chain.cpu_ratio": Bar(2.0, at_most=True),
        "noop.runs_per_s": Bar(3000),
        "latency.p50_ms": Bar(4.0, at_most=True),
        "latency.p99_ms": Bar(15.0, at_most=True),
        "signal.p50_ms": Bar(3.0, at_most=True),
        "fanout.seconds": Bar(0.25, at_most=True),
        "timers.last_late_s": Bar(3.0, at_most=True),
        "timers.new_run_s": Bar(1.0, at_most=True),
        "parked.kb_per_run": Bar(2.5, at_most=True),
        "parked.idle_cpu_percent": Bar(2.0, at_most=True),
        "parked.idle_queries_per_s": Bar(3.0, at_most=True),
        "parked.beside_queries_per_s": Bar(3.0, at_most=True),
        "restart.ready_s": Bar(2.0, at_most=True),
        "restart.all_done_s": Bar(15.0, at_most=True),
        "replay.us_per_event": Bar(2.0, at_most=True),
        "replay.snapshot_ratio": Bar(0.5, at_most=True),
        "replay.memory_ratio": Bar(1.2, at_most=True),
        "engines.two_ratio": Bar(0.97),
        "engines.four_ratio": Bar(0.97),
        "growth.ratio": Bar(0.85),
        "takeover.p50_s": Bar(1.0, at_most=True),
        "takeover.all_s": Bar(3.0, at_most=True),
        "takeover.timer_late_s": Bar(1.0, at_most=True),
        "route.p50_ms": Bar(5.0, at_most=True),
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``limit`` is the program that measures the limit. Rounds or pairs alternate, and their median is the figure."""

    limit: Path
    name: str = "full"
    chain_runs: int = 4000
    chain_pairs: int = 7
    load_steps: int = 10_000
    load_rounds: int = 3
    noop_runs: int = 3000
    noop_rounds: int = 5
    latency_runs: int = 200
    latency_rounds: int = 5
    signal_runs: int = 60
    signal_rounds: int = 5
    replay_pairs: int = 15
    fanout_width: int = 1000
    fanout_rounds: int = 9
    timers: int = 20_000
    timer_rounds: int = 5
    timer_lead_s: float = 10.0
    parked_runs: int = 100_000
    parked_until_evicted: bool = True
    parked_calm_s: float = 12.0
    parked_idle_windows: int = 5
    parked_idle_s: float = 10.0
    suspended_runs: int = 100_000
    signalled_runs: int = 10_000
    restart_rounds: int = 5
    engines_runs: int = 2000
    engines_rounds: int = 5
    growth_runs: int = 1_000_000
    growth_chains: int = 2000
    growth_pairs: int = 7
    takeover_runs: int = 1000
    takeover_rounds: int = 5
    route_wakes: int = 2000
    warm_up_runs: int = 500
    warm_up_latencies: int = 30


def quick(limit: Path) -> Plan:
    """A plan for less than two minutes: the same questions, asked of less."""
    return Plan(
        limit,
        name="quick",
        chain_runs=1000,
        chain_pairs=3,
        load_steps=3000,
        load_rounds=1,
        noop_runs=1500,
        noop_rounds=3,
        latency_runs=40,
        latency_rounds=3,
        signal_runs=20,
        signal_rounds=3,
        replay_pairs=5,
        fanout_rounds=3,
        timers=2000,
        timer_rounds=1,
        timer_lead_s=3.0,
        parked_runs=5000,
        parked_until_evicted=False,
        parked_calm_s=10.0,
        parked_idle_windows=1,
        parked_idle_s=10.0,
        suspended_runs=10_000,
        signalled_runs=1000,
        restart_rounds=2,
        engines_runs=500,
        engines_rounds=3,
        growth_runs=100_000,
        growth_chains=500,
        growth_pairs=3,
        takeover_runs=200,
        takeover_rounds=2,
        route_wakes=300,
        warm_up_runs=200,
        warm_up_latencies=10,
    )


def smoke(limit: Path, patience: int = 1) -> Plan:
    """A plan for half a minute, of `SMOKE` alone: is something badly wrong? ``patience``: so many times as often."""
    return Plan(
        limit,
        name="smoke",
        chain_runs=1500,
        chain_pairs=3 * patience,
        replay_pairs=5,
        engines_runs=400,
        engines_rounds=3 * patience,
        warm_up_runs=200,
    )


# What a smoke test measures: figures that are ratios of two measurements of one minute, and so of any machine.
SMOKE: Final = ("chain", "replay", "engines")
