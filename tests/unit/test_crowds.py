"""Many timers of one instant in one engine, and who comes beside them."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.ports.offload import Lane
from continuum.runtime import commits
from continuum.runtime.commits import GROUPS_MAX
from continuum.runtime.limits import EngineLimits
from continuum.runtime.outgoing import ANNOUNCE_S, ROOM_S
from continuum.wire.messages import EngineReady, TimersFired
from tests.unit.engine_house import House, chain, naps

GROUP = 50
CROWD = 6 * GROUP


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """An engine with a crowd of sleeping runs, whose timers have all come due; no commit is answered."""
    monkeypatch.setattr(commits, "GROUP_RUNS_MAX", GROUP)
    house = House()
    ids = [UUID(int=number) for number in range(1, CROWD + 1)]
    house.stage.store.catalog.insert(
        [RunSeed(id=run_id, workflow=naps.name, args=payload.encode([[], {}])) for run_id in ids]
    )
    while house.engine.runs < CROWD:
        house.assign()
    house.desks.hold = {Lane.COMMIT}
    house.timer.send("engine-1", TimersFired([(run_id.bytes, 1) for run_id in ids]))
    house.settle()
    return house


def commit_one(house: House) -> None:
    """Let the commit that was begun first be done and answered."""
    first, *others = house.desks.held
    house.desks.held, house.desks.hold = [first], set()
    house.desks.pump()
    house.desks.held, house.desks.hold = others, {Lane.COMMIT}
    house.settle()


@pytest.mark.rule("T4")
def test_a_new_run_does_not_wait_for_the_commits_of_a_crowd_of_timers(house: House) -> None:
    new = house.start(chain, 0, number=CROWD + 1)
    for _ in range(GROUPS_MAX + 2):  # those under way, the one that was full already, and its own
        commit_one(house)
    assert house.state(new) == "completed"
    assert house.engine.runs > CROWD / 4, "most of the crowd is still to come"


@pytest.mark.rule("T4")
def test_every_timer_of_a_crowd_fires_without_being_told_again(house: House) -> None:
    house.desks.hold = set()
    house.settle()
    assert house.engine.runs == 0
    assert house.result(UUID(int=CROWD)) == "woken"


@pytest.mark.rule("T4")
def test_an_engine_that_was_full_says_at_once_that_it_has_room_again() -> None:
    house = House(limits=EngineLimits(runs_max=10))
    ids = [UUID(int=number) for number in range(1, 11)]
    house.stage.store.catalog.insert(
        [RunSeed(id=run_id, workflow=naps.name, args=payload.encode([[], {}])) for run_id in ids]
    )
    house.assign()
    house.advance(ANNOUNCE_S + 1.0)
    house.advance(ROOM_S)  # it says nothing twice within that time
    (*_, full) = [said for said in house.dispatcher.take(EngineReady) if isinstance(said, EngineReady)]
    assert full.free == 1, "and that only because one rests too long"
    house.timer.send("engine-1", TimersFired([(run_id.bytes, 1) for run_id in ids]))
    house.settle()  # no time passes
    (room,) = [said for said in house.dispatcher.take(EngineReady) if isinstance(said, EngineReady)]
    assert room.free == 10
