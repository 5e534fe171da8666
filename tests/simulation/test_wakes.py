"""A node on a quiet day: no message is lost, nobody dies, and nobody ever scans. So every wake has to arrive by itself.

Runs rest between wakes and are given back, and then two wakes come within the milliseconds in which a run is claimed,
loaded or given back: what comes at a bad moment must not wait for somebody to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from uuid import UUID

import pytest

from continuum.core.attempt import activity_info
from continuum.core.definitions import activity, workflow
from continuum.core.effects import sleep, wait_signal
from continuum.model import payload
from continuum.model.retry import Retry
from continuum.model.run import LIVE_STATES, RunSeed
from continuum.runtime import reading, releasing
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.limits import EngineLimits
from continuum.runtime.role import Ports, Role
from continuum.runtime.router import Router
from continuum.runtime.timer import Timer
from tests.simulation.world import Process, World

NEVER_S = 1e6
PARKED_S = 2.0
RUNS = 10
RETRY_S = 6.0  # so long that the next attempt waits in a task row
LATE_S = 1.0  # what was lost is found after PARKED_S at the soonest
LIMIT_S = 120.0


@activity(name="wakes.fails", retry=Retry(max_attempts=5, initial=RETRY_S, backoff=1.0, jitter=0.0))
def fails(times: int) -> None:
    if activity_info().attempt <= times:
        raise ValueError("not yet")


@workflow(name="wakes.hears")
async def hears(signals: int) -> None:
    for _ in range(signals):
        await wait_signal("s")


@workflow(name="wakes.sleeps")
async def sleeps(durations: list[float]) -> None:
    for duration in durations:
        await sleep(duration)


@workflow(name="wakes.waits")
async def waits(duration: float, generations: int) -> None:
    await (waits(duration, generations - 1) if generations else sleep(duration))


@workflow(name="wakes.tries")
async def tries(failures: list[int]) -> None:
    for times in failures:
        await fails(times)


@workflow(name="wakes.tidies")
async def tidies() -> None:
    try:
        while True:
            await wait_signal("s")
    except asyncio.CancelledError:
        await sleep(0)
        raise


class Quiet(World):
    """Nothing is looked for that was not announced."""

    attempt_s = 0.01

    def __init__(self, seed: int) -> None:
        super().__init__(seed, loss=0.0, fault=0.0)
        self.chaos = False

    def role_of(self, process: Process, ports: Ports) -> Role:
        self.limits = EngineLimits(parked_s=PARKED_S)
        store = self.store
        match process.name.partition("-")[0]:
            case "dispatcher":
                return Dispatcher(ports, store.dispatch, store.mailbox, ["default"], poll_s=NEVER_S)
            case "timer":
                return Timer(ports, store.mailbox, refresh_s=NEVER_S, horizon_s=NEVER_S)
            case "router":
                return Router(ports, store.mailbox, scan_s=NEVER_S)
            case _:
                return super().role_of(process, ports)

    def begin(self, at: float, run: UUID, name: str, *args: object) -> None:
        seed = RunSeed(id=run, workflow=name, args=payload.encode([list(args), {}]))
        self._at(at, lambda: self.store.catalog.insert([seed]))

    def signal(self, at: float, run: UUID) -> None:
        self._at(at, lambda: self.store.catalog.signal(run, "s", payload.encode(None), None))

    def cancel(self, at: float, run: UUID) -> None:
        self._at(at, lambda: self.store.catalog.cancel(run, None, 60.0))

    def _at(self, at: float, action: Callable[[], object]) -> None:
        def act() -> None:
            action()

        self.clock.after(at, act)


Plan = Callable[[Quiet, Random, UUID], float]


def bursts_of_signals(world: Quiet, random: Random, run: UUID) -> float:
    at, count = random.uniform(0, 1), 0
    begun = at
    for _ in range(random.randint(1, 4)):
        at += PARKED_S + random.uniform(0, 4)
        for _ in range(random.randint(2, 3)):
            at += random.uniform(0, 0.03)
            world.signal(at, run)
            count += 1
    world.begin(begun, run, "wakes.hears", count)
    return at


def timers(world: Quiet, random: Random, run: UUID) -> float:
    at = random.uniform(0, 1)
    durations = [random.choice([PARKED_S, PARKED_S + 0.5, random.uniform(0, 4)]) for _ in range(4)]
    world.begin(at, run, "wakes.sleeps", durations)
    return at + sum(durations)


def children(world: Quiet, random: Random, run: UUID) -> float:
    at, duration = random.uniform(0, 1), random.choice([0.0, PARKED_S, random.uniform(0, 4)])
    world.begin(at, run, "wakes.waits", duration, 2)
    return at + duration


def retries_in_task_rows(world: Quiet, random: Random, run: UUID) -> float:
    at, failures = random.uniform(0, 1), [random.randint(0, 2) for _ in range(2)]
    world.begin(at, run, "wakes.tries", failures)
    return at + RETRY_S * sum(failures)


def cancels_with_clean_up(world: Quiet, random: Random, run: UUID) -> float:
    at = random.uniform(0, 1)
    world.begin(at, run, "wakes.tidies")
    if random.random() < 0.8:
        at += PARKED_S + random.uniform(0.5, 3)
        world.signal(at, run)
    at += random.uniform(0, 0.015)
    world.cancel(at, run)
    return at


@pytest.mark.rule("B6", "S1", "T1", "C2", "K4", "A12")
@pytest.mark.parametrize(
    ("plan", "seeds"),
    [
        (bursts_of_signals, 15),
        (timers, 10),
        (children, 10),
        (retries_in_task_rows, 10),
        (cancels_with_clean_up, 25),
    ],
)
def test_no_wake_waits_for_a_scan(plan: Plan, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.LeaseScan, "look", lambda scan, newest: None)
    monkeypatch.setattr(releasing, "EVICT_S", 0.5)
    for seed in range(seeds):
        world, random = Quiet(seed), Random(seed + 1)
        due = {run: plan(world, random, run) for run in (UUID(int=number + 1) for number in range(RUNS))}
        while due:
            world.clock.step()
            for run in [run for run in due if _ended(world, run)]:
                late_s = world.clock.now - due.pop(run)
                assert late_s < LATE_S, f"seed {seed}: run {run} has ended {late_s:.2f} s after its last wake"
            assert world.clock.now < LIMIT_S, f"seed {seed}: these runs have not ended: {list(due)}"


def _ended(world: World, run: UUID) -> bool:
    row = world.store.catalog.get(run)
    return row is not None and row.state not in LIVE_STATES
