"""Runs that race for the same idempotency keys in a world of faults: all take the same results (A10)."""

from __future__ import annotations

import itertools
import os
from functools import partial
from random import Random
from uuid import UUID

import pytest

from continuum.core.attempt import activity_info
from continuum.core.definitions import activity, workflow
from continuum.errors import JournalError
from continuum.model import payload
from continuum.model.retry import Retry
from continuum.model.run import LIVE_STATES, RunSeed
from continuum.ports.journal import ResultKey
from tests.simulation.world import NAMES, World

RUNS = 8
KEYS = ("k0", "k1", "k2")
CHAOS_S = 20.0
LIMIT_S = 600.0
SEEDS = int(os.environ.get("CONTINUUM_SEEDS", "200")) // 4
receipts = itertools.count(1)


@activity(
    name="sim.keyed",
    retry=Retry(max_attempts=50, initial=0.1, max_delay=8.0),
    idempotency_key=lambda key, failures: key,
)
def keyed(key: str, failures: int) -> int:
    if activity_info().attempt <= failures:
        raise ValueError("not yet")
    return next(receipts)


@workflow(name="sim.payer")
async def payer(steps: list[tuple[str, int]]) -> list[int]:
    return [await keyed(key, failures) for key, failures in steps]


def insert(world: World, seed: RunSeed) -> None:
    try:
        world.store.catalog.insert([seed])
    except JournalError:
        world.clock.after(0.3, partial(insert, world, seed))


def live_through(seed: int) -> tuple[World, dict[UUID, list[tuple[str, int]]]]:
    """Run a world until all its runs have ended."""
    world, random = World(seed), Random(seed + 1)
    programs: dict[UUID, list[tuple[str, int]]] = {}
    for number in range(1, RUNS + 1):
        steps = [(random.choice(KEYS), random.choice([0, 0, 0, 1, 3])) for _ in range(3)]
        programs[UUID(int=number)] = steps
        run = RunSeed(id=UUID(int=number), workflow="sim.payer", args=payload.encode([[steps], {}]))
        world.clock.after(random.choice([0.0, 0.0, random.uniform(0, 10)]), partial(insert, world, run))

    def strike() -> None:
        if world.clock.now < CHAOS_S:
            world.crash(world.random.choice(NAMES))
            world.clock.after(world.random.expovariate(1 / 3.0), strike)
        else:
            world.chaos = False

    world.clock.after(world.random.expovariate(1 / 3.0), strike)
    while not all(ended(world, run_id) for run_id in programs):
        world.clock.step()
        assert world.clock.now < LIMIT_S, f"seed {seed}: runs still live"
    return world, programs


def ended(world: World, run_id: UUID) -> bool:
    fault, world.store.fault = world.store.fault, None
    row = world.store.catalog.get(run_id)
    world.store.fault = fault
    return row is not None and row.state not in LIVE_STATES


@pytest.mark.rule("A10")
@pytest.mark.parametrize("block", range(5))
def test_runs_that_share_a_key_share_its_result_whatever_dies(block: int) -> None:
    for seed in range(block * SEEDS // 5, (block + 1) * SEEDS // 5):
        world, programs = live_through(seed)
        world.store.fault = None
        names = {key: ResultKey("sim.keyed", key) for key in KEYS}
        kept = {
            name.key: payload.decode(v)
            for name, v in world.store.dispatch.results(list(names.values())).items()
        }
        for run_id, steps in programs.items():
            row = world.store.catalog.get(run_id)
            assert row is not None and row.result is not None, f"seed {seed}: {row}"
            assert payload.decode(row.result) == [kept[key] for key, _ in steps], f"seed {seed}: {run_id}"
