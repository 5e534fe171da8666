"""A node in a world of faults: every run ends right, whatever the seed does to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest

from continuum.core.definitions import registry
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import JournalError
from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityRetried,
    CompensationCompleted,
    CompensationFailed,
    CompensationScheduled,
    from_row,
)
from continuum.model.retry import WORKER_DIED
from continuum.model.run import LIVE_STATES, RunSeed
from continuum.ports.journal import TaskOutcome
from tests.simulation.programs import draw, is_right, signals_of, undone
from tests.simulation.world import BOOT, NAMES, World

RUNS = 6
CHAOS_S = 45.0
LIMIT_S = 900.0
SEEDS = int(os.environ.get("CONTINUUM_SEEDS", "200"))


class Clients:
    """Start runs, signal them and cancel some, at random moments, trying again like a client does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = Random(world.seed + 1)
        self.programs: dict[UUID, list[Any]] = {}
        self.cancelled: set[UUID] = set()
        self.delays: dict[UUID, float] = {}
        self.open = 0
        for number in range(RUNS):
            self._plan(UUID(int=number + 1))

    def _plan(self, run_id: UUID) -> None:
        steps = self.programs[run_id] = draw(self.random)
        begin = self.random.uniform(0, CHAOS_S / 3)
        apart = Random(f"{self.world.seed} {run_id}")  # what it draws changes nothing else of the world
        delay_s = self.delays[run_id] = apart.choice([0.0, 0.0, 0.0, 4.0, 20.0])
        seed = RunSeed(id=run_id, workflow="sim.program", args=payload.encode([[steps], {}]), delay_s=delay_s)
        self._at(begin, partial(self.world.store.catalog.insert, [seed]))
        self._signal_in_turn(begin, run_id, signals_of(steps))
        if self.random.random() < 0.5:
            self._signal(begin + self.random.uniform(0, 30), run_id, "u", "hello", "du")
        if self.random.random() < 0.1:
            self._at(
                begin + self.random.uniform(0, 30),
                partial(self._cancel, run_id, apart.choice([None, 0.5, 6.0])),
            )

    def _signal_in_turn(self, moment: float, run_id: UUID, signals: list[tuple[str, int]]) -> None:
        """One client, that sends the next signal when the one before is delivered: only so is there an order."""
        if signals:
            (name, value), rest = signals[0], signals[1:]
            data, delivery = payload.encode(value), f"{name}{value}"
            self._at(
                moment + self.random.expovariate(1 / 8.0),
                lambda: self._deliver(run_id, name, data, delivery),
                lambda: self._signal_in_turn(self.world.clock.now, run_id, rest),
            )

    def _signal(self, moment: float, run_id: UUID, name: str, value: object, delivery: str) -> None:
        data = payload.encode(value)
        self._at(moment, lambda: self._deliver(run_id, name, data, delivery))

    def _deliver(self, run_id: UUID, name: str, data: bytes, delivery: str) -> None:
        answer, _ = self.world.store.catalog.signal(run_id, name, data, delivery)
        if answer == "not_found":
            raise JournalError("signal", "not inserted yet")

    def _cancel(self, run_id: UUID, cleanup_s: float | None) -> None:
        answer, *_ = self.world.store.catalog.cancel(run_id, None, cleanup_s)
        if answer == "not_found":
            raise JournalError("cancel", "not inserted yet")
        self.cancelled.add(run_id)

    def _at(
        self, moment: float, action: Callable[[], object], then: Callable[[], None] | None = None
    ) -> None:
        self.open += 1
        self.world.clock.after(moment - self.world.clock.now, lambda: self._try(action, then))

    def _try(self, action: Callable[[], object], then: Callable[[], None] | None) -> None:
        try:
            action()
        except JournalError:
            self.world.clock.after(0.3, lambda: self._try(action, then))
            return
        self.open -= 1
        if then is not None:
            then()


def live_through(seed: int, *, always_replay: bool = False) -> tuple[World, Clients]:
    """Run a world until all its runs have ended."""
    world = World(seed, always_replay=always_replay)
    clients = Clients(world)

    def strike() -> None:
        if world.clock.now < CHAOS_S:
            strike_one = partial(world.crash, world.random.choice(NAMES))
            strikes: list[Callable[[], None]] = [strike_one, world.crash_together, world.crash_node]
            world.random.choices(strikes, [8, 3, 1])[0]()
            world.clock.after(world.random.expovariate(1 / 3.0), strike)
        else:
            world.chaos = False

    world.clock.after(world.random.expovariate(1 / 3.0), strike)
    world.clock.after(1.0, partial(haunt, world, list(clients.programs), Random(seed + 2)))
    while clients.open or not _all_ended(world, clients):
        world.clock.step()
        if world.clock.now > LIMIT_S:
            rows = {run: world.store.catalog.get(run) for run in clients.programs}
            live = [
                (row.id, row.state, row.attention)
                for row in rows.values()
                if row and row.state in LIVE_STATES
            ]
            pytest.fail(f"seed {seed}: after {LIMIT_S} virtual seconds these runs have not ended: {live}")
    return world, clients


def haunt(world: World, runs: Sequence[UUID], random: Random) -> None:
    """Zombies of earlier attempts, cut off from everybody, store their late results (A7)."""
    travelled = {run_id for run_id, _, _ in world.rowed}
    older = [
        TaskOutcome(run_id, seq, attempt - 1, True, payload.encode("zombie"))
        for run_id in runs
        if run_id in travelled  # else its engine, or a successor, would have to be dead
        for seq, attempt in retried(world, run_id).items()
    ]
    if older and world.chaos and random.random() < 0.5:
        with suppress(JournalError):
            world.store.dispatch.offer_outcomes(older)
    if world.chaos:
        world.clock.after(random.expovariate(1 / 0.5), partial(haunt, world, runs, random))


def retried(world: World, run_id: UUID) -> dict[int, int]:
    """The activities that are in a later attempt than the first, and in which."""
    found: dict[int, int] = {}
    for body in map(from_row, world.store.catalog.events(run_id)):
        if isinstance(body, ActivityRetried):
            found[body.command] = body.attempt
        elif isinstance(
            body, ActivityCompleted | ActivityFailed | CompensationCompleted | CompensationFailed
        ):
            found.pop(body.command, None)
    return found


def check_lost(world: World, run_id: UUID) -> None:
    """What counts as lost had begun, as far as its engine could know (A16)."""
    for body in map(from_row, world.store.catalog.events(run_id)):
        if isinstance(body, ActivityRetried) and body.failure.type == WORKER_DIED:
            lost = (run_id, body.command, body.attempt - 1)
        elif isinstance(body, ActivityFailed | CompensationFailed) and body.failure.cause == WORKER_DIED:
            lost = (run_id, body.command, body.attempts)
        else:
            continue
        begun = world.starts[lost[0].bytes, lost[1], lost[2]]
        assert begun or lost in world.rowed, f"seed {world.seed}: {lost} was lost and had never begun"


def _all_ended(world: World, clients: Clients) -> bool:
    if world.chaos:
        return False
    rows = [world.store.catalog.get(run) for run in clients.programs]
    return all(row is not None and row.state not in LIVE_STATES for row in rows)


def check(world: World, clients: Clients) -> None:
    for run_id, steps in clients.programs.items():
        row = world.store.catalog.get(run_id)
        assert row is not None
        begun_at, due_at = row.begun_at, row.created_at + clients.delays[run_id]
        assert begun_at is None or begun_at >= due_at, f"seed {world.seed}: run {run_id} began too early"
        if row.state == "cancelled":
            assert run_id in clients.cancelled, f"seed {world.seed}: run {run_id} was cancelled by nobody"
            continue
        assert row.state == "completed", f"seed {world.seed}: run {run_id} is {row.state}: {row.error!r}"
        result = payload.decode(row.result or b"")
        assert isinstance(result, list)
        assert is_right(steps, result), f"seed {world.seed}: {steps} gave {result}"
        check_undone(world, run_id, undone(steps, result))
        check_lost(world, run_id)
        replay(world, run_id)


def check_undone(world: World, run_id: UUID, expected: list[list[int]]) -> None:
    """What should be undone was, once, the last first; and each of it came to an end."""
    bodies = [from_row(row) for row in world.store.catalog.events(run_id)]
    scheduled: list[list[int]] = [
        cast("list[list[int]]", payload.decode(body.args))[0]
        for body in bodies
        if isinstance(body, CompensationScheduled)
    ]
    assert sorted(scheduled) == sorted(expected), f"seed {world.seed}: {run_id} undid {scheduled}"
    for tag in {tag for tag, _ in scheduled}:
        order = [index for each, index in scheduled if each == tag]
        assert order == sorted(order, reverse=True), f"seed {world.seed}: {run_id} undid {order} of {tag}"
    ends = [body.command for body in bodies if isinstance(body, CompensationCompleted | CompensationFailed)]
    begins = [seq for seq, body in enumerate(bodies, 1) if isinstance(body, CompensationScheduled)]
    assert sorted(ends) == begins, f"seed {world.seed}: {run_id} left a compensation open"


def replay(world: World, run_id: UUID) -> None:
    """The journal has no gap, and walking along it gives the same end and nothing new."""
    row = world.store.catalog.get(run_id)
    assert row is not None
    events = world.store.catalog.events(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), (
        f"seed {world.seed}: gap in {run_id}"
    )
    identity = RunIdentity(
        run_id,
        row.workflow,
        row.namespace,
        round((row.begun_at or row.created_at) * 1e6),
        row.correlation_id,
    )
    machine = Machine(identity, registry.workflow(row.workflow), row.args, Crew(f"{BOOT}:0"))
    machine.begin(events)
    step = machine.take()
    assert (step.state, step.result, step.events) == (row.state, row.result, []), (
        f"seed {world.seed}: {run_id}"
    )


@pytest.mark.rule(
    "R4",
    "R6",
    "R7",
    "R8",
    "L1",
    "L6",
    "B3",
    "B6",
    "A1",
    "A4",
    "A5",
    "A7",
    "A8",
    "A16",
    "S1",
    "S3",
    "T2",
    "G1",
    "G3",
)
@pytest.mark.parametrize("block", range(20))
def test_every_run_ends_right_whatever_is_lost_doubled_late_or_killed(block: int) -> None:
    for seed in range(block * SEEDS // 20, (block + 1) * SEEDS // 20):
        world, clients = live_through(seed)
        try:
            check(world, clients)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")


@pytest.mark.rule("R4", "X8", "B3")
@pytest.mark.parametrize("block", range(5))
def test_every_run_ends_right_when_every_wake_replays(block: int) -> None:
    for seed in range(block * SEEDS // 20, (block + 1) * SEEDS // 20):
        world, clients = live_through(seed, always_replay=True)
        try:
            check(world, clients)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")


def test_the_same_seed_is_the_same_world() -> None:
    ends = []
    for _ in range(2):
        world, _ = live_through(4)
        ends.append((world.clock.now, world.crashes, world.starts))
    assert ends[0] == ends[1]


def test_in_some_worlds_engines_hear_by_themselves_and_in_others_dispatchers_claim_every_run() -> None:
    told = [live_through(seed)[0].told for seed in range(8)]
    assert {bool(kinds["leased"]) for kinds in told} == {True, False}
    assert {bool(kinds["signal"]) for kinds in told} == {True, False}
