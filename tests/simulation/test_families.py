"""Families in a world of faults: every root ends right, and nobody of a family is lost, doubled or left running."""

from __future__ import annotations

import os
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import registry
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import JournalError
from continuum.model import payload
from continuum.model.events import ChildStarted, RunContinuedAsNew, from_row
from continuum.model.run import LIVE_STATES, RunSeed
from tests.simulation.families import draw, family, is_right, signals_in
from tests.simulation.world import BOOT, NAMES, World

ROOTS = 3
CHAOS_S = 30.0
LIMIT_S = 900.0
SEEDS = int(os.environ.get("CONTINUUM_SEEDS", "200"))


class Families:
    """Starts the roots and signals them in order, trying again as a client does."""

    def __init__(self, world: World) -> None:
        self.world, self.random = world, Random(world.seed + 7)
        self.parts = {UUID(int=number): draw(self.random) for number in range(1, ROOTS + 1)}
        self.open = 0
        for root, parts in self.parts.items():
            seed = RunSeed(id=root, workflow=family.name, args=payload.encode([[parts, []], {}]))
            self._soon(partial(world.store.catalog.insert, [seed]), partial(self._signal, root, 1))

    def _signal(self, root: UUID, number: int) -> None:
        if number <= signals_in(self.parts[root]):
            self._soon(partial(self._deliver, root, number), partial(self._signal, root, number + 1))

    def _deliver(self, root: UUID, number: int) -> None:
        answer, _ = self.world.store.catalog.signal(root, "s", payload.encode(number), f"s{number}")
        assert answer != "not_found", f"seed {self.world.seed}: the run that takes signal {number} is gone"

    def _soon(self, action: Any, then: Any) -> None:
        self.open += 1
        self.world.clock.after(self.random.expovariate(1 / 4.0), lambda: self._try(action, then))

    def _try(self, action: Any, then: Any) -> None:
        try:
            action()
        except JournalError:
            self.world.clock.after(0.3, lambda: self._try(action, then))
            return
        self.open -= 1
        then()

    def everybody(self) -> set[UUID]:
        """All runs, found by what the journals say."""
        found: set[UUID] = set()
        wanted = list(self.parts)
        while wanted:
            run_id = wanted.pop()
            if self.world.store.catalog.get(run_id) is None:
                continue
            found.add(run_id)
            for row in self.world.store.catalog.events(run_id):
                body = from_row(row)
                if isinstance(body, ChildStarted):
                    wanted.append(UUID(bytes=body.child))
                elif isinstance(body, RunContinuedAsNew):
                    wanted.append(UUID(bytes=body.run))
        return found

    def all_ended(self) -> bool:
        if self.world.chaos or self.open:
            return False
        rows = [self.world.store.catalog.get(run_id) for run_id in self.everybody()]
        return len(rows) >= ROOTS and all(row is not None and row.state not in LIVE_STATES for row in rows)


def live_through(seed: int) -> tuple[World, Families]:
    world = World(seed)
    families = Families(world)

    def strike() -> None:
        if world.clock.now < CHAOS_S:
            world.crash(world.random.choice(NAMES))
            world.clock.after(world.random.expovariate(1 / 3.0), strike)
        else:
            world.chaos = False

    world.clock.after(world.random.expovariate(1 / 3.0), strike)
    look_at = 0.0
    while True:
        world.clock.step()
        if not world.chaos and world.clock.now >= look_at:
            if families.all_ended():
                return world, families
            look_at = world.clock.now + 0.5
        if world.clock.now > LIMIT_S:
            rows = [world.store.catalog.get(run_id) for run_id in families.everybody()]
            live = [(row.id, row.state, row.attention) for row in rows if row and row.state in LIVE_STATES]
            pytest.fail(f"seed {seed}: after {LIMIT_S} virtual seconds these runs have not ended: {live}")


def check(world: World, families: Families) -> None:
    for root, parts in families.parts.items():
        row = world.store.catalog.get(root)
        assert row is not None
        while row.continued_to_run_id is not None:
            row = world.store.catalog.get(row.continued_to_run_id)
            assert row is not None
        assert row.state == "completed", f"{root} is {row.state}: {row.error!r}"
        result = payload.decode(row.result or b"")
        assert is_right(parts, result), f"{parts} gave {result}"
    for run_id in families.everybody():
        replay(world, run_id)


def replay(world: World, run_id: UUID) -> None:
    """Walking along the journal gives the same end and nothing new; a run that was cancelled has not got so far."""
    row = world.store.catalog.get(run_id)
    assert row is not None
    events = world.store.catalog.events(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), f"gap in {run_id}"
    begun_us = round((row.begun_at or row.created_at) * 1e6)
    identity = RunIdentity(run_id, row.workflow, row.namespace, begun_us, row.correlation_id)
    machine = Machine(identity, registry.workflow(row.workflow), row.args, Crew(f"{BOOT}:0"))
    machine.begin(events)
    step = machine.take()
    if row.state != "cancelled":
        assert (step.state, step.result, step.events) == (row.state, row.result, []), f"{run_id}"
    if machine.ended:
        machine.close()
    else:
        machine.drop()


@pytest.mark.rule("C1", "C2", "C3", "C6", "N1", "N2", "S5", "R6", "B6")
@pytest.mark.parametrize("block", range(10))
def test_every_family_ends_right_whatever_is_lost_doubled_late_or_killed(block: int) -> None:
    for seed in range(block * SEEDS // 10, (block + 1) * SEEDS // 10):
        world, families = live_through(seed)
        try:
            check(world, families)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
