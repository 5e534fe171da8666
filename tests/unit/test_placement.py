"""How long an attempt waits in its engine for a worker of the node before others may have it."""

from __future__ import annotations

import pytest

from continuum.runtime.placement import SPILL_AFTER_S, Placement
from continuum.wire.messages import Execute
from continuum.wire.post import Peer, Post
from tests.unit.stage import Datagrams, HandClock

WORKER = Peer("worker-1", "b-1")


@pytest.fixture
def placement() -> Placement:
    return Placement(Post("engine-1", "b-1", HandClock(), Datagrams()))


def spilled(placement: Placement, now: float) -> list[int]:
    """Those that go into task rows now; the engine wakes for the next ones in time, and for nothing else."""
    if placement.place_at() <= now:
        found = [waiting.execute.seq for waiting in placement.place(now)]
        assert found
    else:
        found = [waiting.execute.seq for waiting in placement.place(now)]
        assert not found
    assert placement.place_at() > now
    return found


def add(placement: Placement, seq: int, now: float = 0.0, queue: str = "default") -> None:
    placement.add(Execute(b"r" * 16, seq, 1, "a", b""), queue, now)


@pytest.mark.rule("A12")
def test_what_no_worker_of_the_node_takes_goes_to_others_at_once(placement: Placement) -> None:
    add(placement, 1)
    assert spilled(placement, 0.0) == [1]
    placement.worker_says(WORKER, ("default",), 0, stopping=False)
    add(placement, 2)
    add(placement, 3, queue="gpu")
    assert spilled(placement, 0.0) == [3]


@pytest.mark.rule("A12")
def test_what_a_worker_of_the_node_takes_waits_a_moment_for_room(placement: Placement) -> None:
    placement.worker_says(WORKER, ("default",), 0, stopping=False)
    add(placement, 1)
    add(placement, 2, now=0.2)
    assert spilled(placement, SPILL_AFTER_S - 0.01) == []
    assert spilled(placement, SPILL_AFTER_S) == [1]
    assert spilled(placement, SPILL_AFTER_S + 0.2) == [2]


def test_a_worker_that_has_not_said_yet_what_it_takes_is_waited_for(placement: Placement) -> None:
    placement.worker_up(WORKER)
    add(placement, 1)
    assert spilled(placement, 0.0) == []
    placement.worker_says(WORKER, ("gpu",), 10, stopping=False)
    assert spilled(placement, 0.0) == [1]


def test_the_successor_of_a_worker_that_died_is_waited_for(placement: Placement) -> None:
    placement.worker_says(WORKER, ("default",), 0, stopping=False)
    placement.worker_down(WORKER)
    add(placement, 1)
    placement.place(0.0)
    assert spilled(placement, SPILL_AFTER_S - 0.01) == []
    assert spilled(placement, SPILL_AFTER_S) == [1]
    add(placement, 2, now=SPILL_AFTER_S)
    assert spilled(placement, SPILL_AFTER_S) == [2], "nobody has come"


def test_a_worker_that_stops_is_not_waited_for_nor_its_successor(placement: Placement) -> None:
    placement.worker_says(WORKER, ("default",), 10, stopping=True)
    add(placement, 1)
    assert spilled(placement, 0.0) == [1]
    placement.worker_down(WORKER)
    add(placement, 2)
    assert spilled(placement, 0.0) == [2]
