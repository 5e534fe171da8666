"""How much an engine keeps in memory, and for how long."""

from __future__ import annotations

import os

import msgspec

ALWAYS_REPLAY = "CONTINUUM_ALWAYS_REPLAY"


class EngineLimits(msgspec.Struct, frozen=True):
    """``runs_max``: runs in memory; beyond nine tenths of it, parked ones are given back, those that rested longest
    first. ``parked_s``: so long a run rests before it is given back in any case. ``snapshot_every``: events between
    two snapshots of workflows that say nothing themselves, None for none. ``always_replay``: no coroutine outlives a
    commit, so that whatever comes next meets one replayed from the journal: for tests, which find by it what a
    workflow keeps outside its journal. ``alone``: the engine resumes one run that others have died of, and drains
    once it has it."""

    runs_max: int = 20_000
    parked_s: float = 60.0
    snapshot_every: int | None = None
    always_replay: bool = False
    alone: bool = False


def limits_of_environment(alone: bool = False) -> EngineLimits:
    """Return the limits of a node's engine: ``CONTINUUM_ALWAYS_REPLAY=1`` makes every wake a replay."""
    always_replay = os.environ.get(ALWAYS_REPLAY, "") not in ("", "0")
    return (
        EngineLimits(runs_max=1, always_replay=always_replay, alone=True)
        if alone
        else EngineLimits(always_replay=always_replay)
    )
