"""Steps that rest on a signal which is not there: a crash of the database forgets what was not on disk yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from continuum.model.run import RunState
from continuum.ports.journal import Lease, RunCommit
from tests.integration.conformance.scene import Scene, child_of, far_timer, seed, step

Make = Callable[[Lease], RunCommit]


def ending(lease: Lease, count: int, state: RunState) -> RunCommit:
    return step(lease, 0, count, state, result=b"done" if state == "completed" else None)


def starting_a_child(lease: Lease) -> RunCommit:
    return step(lease, 0, 1, children_started=(child_of(lease),))


def continuing(lease: Lease) -> RunCommit:
    return step(lease, 0, 1, "continued", successor=seed())


STEPS: dict[str, Make] = {
    "plain": lambda lease: step(lease, 0, 1),
    "with a timer": lambda lease: step(lease, 0, 1, timers_set=(far_timer(1),)),
    "the last one": partial(ending, count=1, state="completed"),
    "the last one, of many events": partial(ending, count=5, state="failed"),
    "of a family": starting_a_child,
    "continuing": continuing,
}


def signalled(scene: Scene, lease: Lease) -> int:
    scene.catalog.signal(lease.run_id, "go", b"1", None)
    (mail,) = scene.journal.mail([lease])
    return mail.signals[-1].id


@pytest.mark.rule("S1", "R8")
@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
@pytest.mark.parametrize("beside", [0, 1])
def test_a_step_that_has_consumed_a_signal_which_is_not_there_is_left_out(
    scene: Scene, make: Make, beside: int
) -> None:
    lease, other = scene.leased(), scene.leased()
    there = signalled(scene, lease)
    forgotten, neighbours = make(lease), [step(other, 0, 1)][:beside]
    forgotten.signals_consumed = (there, there + 1000)
    assert scene.commit(forgotten, *neighbours) == {other.run_id for _ in neighbours}
    assert scene.seqs(lease.run_id) == [] and scene.row(lease.run_id).state == "running"
    (mail,) = scene.journal.mail([lease])
    assert [signal.id for signal in mail.signals] == [there]
    again = make(lease)
    again.signals_consumed = (there,)
    assert scene.commit(again) == {lease.run_id}


@pytest.mark.rule("S1")
@pytest.mark.parametrize("delivery", [None, "once"])
@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
def test_a_signal_is_consumed_once(scene: Scene, make: Make, delivery: str | None) -> None:
    lease = scene.leased()
    scene.catalog.signal(lease.run_id, "go", b"1", delivery)
    (mail,) = scene.journal.mail([lease])
    ids = [signal.id for signal in mail.signals]
    assert scene.commit(step(lease, 0, 0, signals_consumed=tuple(ids)))
    again = make(lease)
    again.signals_consumed = ids
    assert scene.commit(again) == set()


@pytest.mark.rule("S1")
@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
def test_a_signal_of_another_run_is_not_there(scene: Scene, make: Make) -> None:
    lease, other = scene.leased(), scene.leased()
    taken = make(lease)
    taken.signals_consumed = (signalled(scene, other),)
    assert scene.commit(taken) == set()
    assert len(scene.journal.mail([other])[0].signals) == 1
