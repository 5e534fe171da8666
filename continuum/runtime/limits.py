"""How much an engine keeps in memory, and for how long; how much goes at a time.

Whatever goes in batches is bounded by its bytes as well as by its number: a thousand small values are nothing, and a
thousand large ones more memory than a process has, and more time than a statement is given.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

ALWAYS_REPLAY = "CONTINUUM_ALWAYS_REPLAY"
GROUP_BYTES_MAX = 16 << 20
DEATHS_MAX = 5
DEATHS = "CONTINUUM_ENGINE_DEATHS"


class EngineLimits(msgspec.Struct, frozen=True):
    """``runs_max``: runs in memory; beyond nine tenths of it, parked ones are given back, those that rested longest
    first. ``parked_s``: so long a run rests before it is given back in any case. ``snapshot_every``: events between
    two snapshots of workflows that say nothing themselves, None for none. ``always_replay``: no coroutine outlives a
    commit, so that whatever comes next meets one replayed from the journal: for tests, which find by it what a
    workflow keeps outside its journal. ``alone``: the engine resumes one run that others have died of, and drains
    once it has it. ``heavy_bytes_max``: bytes of the arguments and histories of heavy runs that came to be here; beyond
    it no more of these are loaded until some have ended or were given back. ``deaths_max``: so many engines may die of
    a run."""

    runs_max: int = 20_000
    heavy_bytes_max: int = 128 << 20
    parked_s: float = 60.0
    snapshot_every: int | None = None
    always_replay: bool = False
    alone: bool = False
    deaths_max: int = DEATHS_MAX


def fitting(weights: Sequence[int], bytes_max: int) -> int:
    """Return how many, from the first on, go together: as many as weigh no more than that, and one in any case."""
    total = 0
    for count, weight in enumerate(weights):
        total += weight
        if total > bytes_max and count:
            return count
    return len(weights)


def limits_of_environment(alone: bool = False) -> EngineLimits:
    """Return the limits of a node's engine: ``CONTINUUM_ALWAYS_REPLAY=1`` makes every wake a replay."""
    always_replay = os.environ.get(ALWAYS_REPLAY, "") not in ("", "0")
    limits = EngineLimits(always_replay=always_replay, deaths_max=deaths_of_environment())
    return msgspec.structs.replace(limits, runs_max=1, alone=True) if alone else limits


def deaths_of_environment() -> int:
    """Return how many engines may die of a run before it is set aside, ``CONTINUUM_ENGINE_DEATHS``."""
    said = os.environ.get(DEATHS, "")
    return max(1, int(said)) if said.isdecimal() else DEATHS_MAX
