"""Laws of replay: a cut anywhere, any order of arrivals, and a cost that grows with the history alone."""

from __future__ import annotations

import sys
from random import Random
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.core.attempt import ActivityInfo, perform
from continuum.core.definitions import activity, workflow
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.snapshot import compact, expand
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.events import KIND_OF, ActivityCompleted, ActivityScheduled, EventRow, to_row
from tests.simulation.programs import draw, program, signals_of

RUN = UUID(int=9)


def machine_of(target: Any, *args: object) -> Machine:
    identity = RunIdentity(RUN, target.name, "default", 0, RUN)
    return Machine(identity, target, payload.encode([list(args), {}]), Crew("b:0"))


def live(
    machine: Machine, history: list[EventRow], order: st.DataObject, signals: list[tuple[str, int]]
) -> list[int]:
    """Answer what the run waits for in an order drawn by hypothesis, until it ends; return where its commits end."""
    commits: list[int] = []
    at = len(history)
    timers: set[int] = set()
    for number in range(500):
        step = machine.take()
        history += step.events
        commits.append(len(history))
        if machine.ended:
            return commits
        timers = (timers | {timer.seq for timer in step.out.timers_set}) - set(step.out.timers_cleared)
        attempts = machine.attempts()
        choices: list[Any] = [("done", a.dispatch) for a in attempts] + [
            ("fire", seq) for seq in sorted(timers)
        ]
        choices += [("signal", index) for index in range(len(signals))][:1]
        kind, what = order.draw(st.sampled_from(choices))
        at += 1
        match kind:
            case "done":
                answer(machine, what, order.draw(st.booleans()), at)
            case "fire":
                machine.fire(what, at)
            case "signal":
                name, value = signals.pop(what)
                machine.signal(1000 + number, name, payload.encode(value), at)
    raise AssertionError("the program does not end")


def answer(machine: Machine, dispatch: Any, again: bool, at: int) -> None:
    info = ActivityInfo(run_id=RUN, activity=dispatch.call.name, attempt=dispatch.attempt)
    outcome = perform(dispatch.call.target, dispatch.args, lambda: info)
    for _ in range(1 + again):  # every completion may be delivered twice
        if outcome.ok:
            machine.complete(dispatch.seq, dispatch.attempt, outcome.payload, at)
        else:
            machine.fail(dispatch.seq, dispatch.attempt, decode_failure(outcome.payload), False, at)


@pytest.mark.rule("R4", "R5")
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.data())
def test_a_crash_after_any_commit_replays_to_the_same_history_and_the_same_end(
    seed: int, order: st.DataObject
) -> None:
    steps = [step for step in draw(Random(seed)) if step[0] != "flaky"]
    whole: list[EventRow] = []
    first = machine_of(program, steps)
    first.begin()
    commits = live(first, whole, order, signals_of(steps))
    end = first.take()
    again = machine_of(program, steps)
    again.begin(whole)
    step = again.take()
    assert (step.events, step.state, step.result, step.error) == ([], end.state, end.result, end.error)
    prefix = whole[: order.draw(st.sampled_from(commits))]
    resumed = machine_of(program, steps)
    resumed.begin(prefix)
    assert resumed.take().events == [], "a crash between two commits leaves a history that stands for itself"
    cut = order.draw(st.integers(0, len(whole)))
    snapped = machine_of(program, steps)
    snapped.begin(expand(compact(whole[:cut], RUN), RUN).followed_by(whole[cut:]))
    step = snapped.take()
    assert (step.events, step.state, step.result, step.error) == ([], end.state, end.result, end.error)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.data())
@pytest.mark.rule("P1")
def test_a_snapshot_of_a_snapshot_and_what_came_after_it_is_the_snapshot_of_all(
    seed: int, order: st.DataObject
) -> None:
    steps = [step for step in draw(Random(seed)) if step[0] != "flaky"]
    whole: list[EventRow] = []
    first = machine_of(program, steps)
    first.begin()
    live(first, whole, order, signals_of(steps))
    cut = order.draw(st.integers(0, len(whole)))
    again = expand(compact(expand(compact(whole[:cut], RUN), RUN).followed_by(whole[cut:]), RUN), RUN)
    assert [(row.seq, row.kind) for row in again.rows()] == [(row.seq, row.kind) for row in whole]
    arrivals = [row for row in whole if row.kind != KIND_OF[ActivityScheduled]]
    assert [row for row in again.rows() if row.seq in {a.seq for a in arrivals}] == arrivals


@activity(name="laws.unit")
def unit(value: int) -> int:
    return value


@workflow(name="laws.long")
async def long_chain(count: int) -> int:
    value = 0
    for _ in range(count):
        value = await unit(value)
    return value


def calls_of_replay(events: int) -> int:
    """How many Python calls the replay of so many events makes: a cost that no busy machine changes."""
    args = payload.encode([[0], {}])
    bodies = [
        ActivityScheduled("laws.unit", args)
        if seq % 2
        else ActivityCompleted(seq - 1, payload.encode(0), seq)
        for seq in range(1, events + 1)
    ]
    history = [to_row(seq, body) for seq, body in enumerate(bodies, 1)]
    machine = machine_of(long_chain, events // 2)
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        machine.begin(history)
    finally:
        sys.setprofile(None)
    assert machine.ended
    return count


@pytest.mark.rule("R9")
def test_the_cost_of_a_replay_grows_linearly_with_its_history() -> None:
    small, large = calls_of_replay(1_000), calls_of_replay(10_000)
    assert large < 11 * small
