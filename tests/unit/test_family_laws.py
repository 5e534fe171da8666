"""Laws of replay for families: children, continuation and clean-up in any order of arrivals, cut anywhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.core.commands.child import PendingChild
from continuum.core.definitions import activity, workflow
from continuum.core.effects import continue_as_new, sleep, start_child
from continuum.core.failure import encode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ChildError
from continuum.model import payload
from continuum.model.events import EventRow, Failure

RUN = UUID(int=11)
Part = list[Any]


@activity(name="family.work")
def work(value: int) -> int:
    return value


@workflow(name="family.child")
async def child(value: int) -> int:
    return await work(value)


@workflow(name="family.program")
async def program(parts: list[Part], generation: int) -> list[object]:
    out: list[object] = []
    try:
        out.append(await _run(parts, out))
    except asyncio.CancelledError:
        out.append(await work(-1))
        if generation % 2:
            raise
    return out


async def _run(parts: list[Part], out: list[object]) -> list[object]:
    for kind, *rest in parts:
        match kind:
            case "child":
                out.append(await _outcome(child(rest[0])))
            case "ref":
                ref = await start_child(child(rest[0]))
                await sleep(rest[0])
                out.append(await _outcome(ref))
            case "forget":
                await start_child(child(rest[0]), id=f"n{len(out)}-{rest[0]}")
            case "limit":
                with suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        out.append(await _outcome(child(rest[0])))
            case "side by side":
                out.append(await asyncio.gather(*(_run(branch, []) for branch in rest[0])))
            case "again":
                continue_as_new(program(parts, 1))
            case _:
                out.append(await work(rest[0]))
    return out


async def _outcome(what: Any) -> object:
    try:
        return await what
    except ChildError as error:
        return error.state


def draw(random: Random, depth: int = 0) -> list[Part]:
    parts: list[Part] = []
    for n in range(random.randint(1, 5 - 2 * depth)):
        kinds = ["child", "ref", "limit", "work"] + ["side by side", "forget"] * (depth == 0)
        kinds += ["again"] * (random.random() < 0.2)
        kind = random.choice(kinds)
        inside: Any = [draw(random, 1) for _ in range(2)] if kind == "side by side" else n
        parts.append([kind, inside])
    return parts


def machine_of(parts: list[Part], generation: int) -> Machine:
    identity = RunIdentity(RUN, program.name, "default", 0, RUN)
    return Machine(identity, program, payload.encode([[parts, generation], {}]), Crew("b:0"))


class Life:
    """A run whose arrivals hypothesis chooses, with the world that it has brought about."""

    def __init__(self, machine: Machine, choices: st.DataObject) -> None:
        self.machine, self.choices = machine, choices
        self.history: list[EventRow] = []
        self.commits: list[int] = [0]
        self.timers: set[int] = set()
        self.started: set[int] = set()
        self.given_up: set[int] = set()
        self.cancelled = False

    def live(self) -> Any:
        self.machine.begin()
        for _ in range(300):
            step = self.machine.take()
            self.commit(step)
            if self.machine.ended:
                return step
            self.arrive(self.choices.draw(st.sampled_from(self.possible())))
        raise AssertionError("the program does not end")

    def commit(self, step: Any) -> None:
        self.history += step.events
        self.commits.append(len(self.history))
        out = step.out
        self.timers = (self.timers | {timer.seq for timer in out.timers_set}) - set(out.timers_cleared)
        started = {seed.parent_command for seed in out.children_started}
        assert not started & self.started, "a child is started once"
        self.started |= started
        assert set(out.children_cancelled) <= self.started - self.given_up, (
            "what lives is cancelled, and once"
        )
        self.given_up |= set(out.children_cancelled)

    def possible(self) -> list[tuple[Any, ...]]:
        children = [seq for seq, entry in self.machine.pending.items() if type(entry) is PendingChild]
        found: list[tuple[Any, ...]] = [("done", pending.dispatch.seq) for pending in self.machine.attempts()]
        found += [("fire", seq) for seq in sorted(self.timers)]
        found += [("end", seq, state) for seq in children for state in ("completed", "failed", "cancelled")]
        return found + ([] if self.cancelled else [("cancel",)])

    def arrive(self, what: tuple[Any, ...]) -> None:
        machine, at = self.machine, len(self.history) + 1
        match what:
            case ("done", seq):
                machine.complete(seq, 1, payload.encode(seq), at)
            case ("fire", seq):
                machine.fire(seq, at)
            case ("end", seq, state):
                data = (
                    encode_failure(Failure("ValueError", "no")) if state == "failed" else payload.encode(seq)
                )
                for _ in range(2):  # every arrival may come twice
                    machine.child_ended(UUID(int=seq), seq, state, data, at)
            case _:
                self.cancelled = machine.cancel("law", 30.0, at)


@pytest.mark.rule("C1", "C6", "K4", "N1", "R4", "R5")
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), generation=st.integers(0, 1), choices=st.data())
def test_a_crash_after_any_commit_replays_to_the_same_history_and_the_same_end(
    seed: int, generation: int, choices: st.DataObject
) -> None:
    parts = draw(Random(seed))
    life = Life(machine_of(parts, generation), choices)
    end = life.live()
    again = machine_of(parts, generation)
    again.begin(life.history)
    step = again.take()
    assert (step.events, step.state, step.result, step.error) == ([], end.state, end.result, end.error)
    assert (step.out.children_started, step.out.successor) == ([], None)
    assert (end.state == "continued") == (end.out.successor is not None)
    cut = choices.draw(st.sampled_from(life.commits))
    resumed = machine_of(parts, generation)
    resumed.begin(life.history[:cut])
    step = resumed.take()
    assert [row for row in step.events if cut] == []
    assert step.out.children_started == [] or cut == 0
    for machine in (life.machine, again, resumed):
        machine.close() if machine.ended else machine.drop()
