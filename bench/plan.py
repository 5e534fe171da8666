"""How much is measured: a plan that takes minutes, and one that takes seconds and shows less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """``limit`` is the program that measures the limit, None where there is none."""

    limit: Path | None = None
    chain_runs: int = 4000
    chain_pairs: int = 7
    noop_runs: int = 3000
    noop_rounds: int = 5
    latency_runs: int = 400
    signal_runs: int = 200
    replay_pairs: int = 15
    takeover_runs: int = 1000
    takeover_rounds: int = 5
    warm_up_runs: int = 500
    warm_up_latencies: int = 30


def quick(limit: Path | None) -> Plan:
    """A plan for less than a minute."""
    return Plan(
        limit,
        chain_runs=1500,
        chain_pairs=3,
        noop_runs=1500,
        noop_rounds=3,
        latency_runs=100,
        signal_runs=50,
        replay_pairs=7,
        takeover_runs=200,
        takeover_rounds=3,
        warm_up_runs=200,
        warm_up_latencies=10,
    )
