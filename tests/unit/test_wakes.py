"""No wake waits for a scan: whatever a role is doing when it comes, as long as no message is lost."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.core.definitions import workflow
from continuum.core.effects import sleep, wait_signal
from continuum.model import payload
from continuum.model.ids import child_run_id
from continuum.model.run import RunSeed
from continuum.ports.offload import Lane
from continuum.runtime.limits import EngineLimits
from continuum.runtime.outgoing import AGAIN_S
from continuum.runtime.releasing import EVICT_S
from continuum.wire.messages import Assign, TimersFired, TimersSet, Wake
from tests.unit.engine_house import OWNER, RUN, House, chain
from tests.unit.test_engine_family import ask_to_clean_up, parent

CHILD = child_run_id(RUN, 1, None)


@workflow(name="wakes.two")
async def two() -> list[object]:
    return [await wait_signal("go"), await wait_signal("go")]


@workflow(name="wakes.nap")
async def nap() -> str:
    await sleep(20)
    return "woken"


@pytest.fixture
def house() -> House:
    """An engine that soon gives back what rests."""
    return House(limits=EngineLimits(parked_s=1.0))


def rest(house: House) -> None:
    """Let the run be given back."""
    house.advance(EVICT_S + 1)
    row = house.stage.store.catalog.get(RUN)
    assert row is not None and row.owner is None


def signal(house: House, name: str, value: object) -> None:
    house.stage.store.catalog.signal(RUN, name, payload.encode(value), None)


def begin_to_load(house: House) -> None:
    """Let the engine have the run, and read what there is of it: the answer is on its way."""
    house.desks.late = {Lane.READ}
    house.assign()


def end_loading(house: House) -> None:
    house.desks.late = set()
    house.desks.answer()
    house.settle()


@pytest.mark.rule("S1", "B6")
def test_a_signal_that_comes_while_its_run_is_loaded_is_read(house: House) -> None:
    house.start(two)
    rest(house)
    signal(house, "go", 1)
    begin_to_load(house)
    signal(house, "go", 2)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()
    end_loading(house)
    assert house.result() == [1, 2]


@pytest.mark.rule("T2")
def test_a_timer_that_fires_while_its_run_is_loaded_fires(house: House) -> None:
    house.start(nap)
    rest(house)
    signal(house, "unheard", 1)
    begin_to_load(house)
    house.stage.clock.now += 20
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    end_loading(house)
    assert house.result() == "woken"


@pytest.mark.rule("C2")
def test_the_end_of_a_child_that_comes_while_its_parent_is_loaded_is_read(house: House) -> None:
    house.start(parent, 5)
    house.assign()
    (task,) = house.executes()
    rest(house)
    signal(house, "unheard", 1)
    begin_to_load(house)
    house.finish(task, 10)
    assert house.state(CHILD) == "completed"
    end_loading(house)
    assert house.result() == 10


@pytest.mark.rule("K4", "B5")
def test_a_cancel_that_is_heard_of_before_the_new_run_that_it_is_for_is_read() -> None:
    house = House()
    seed = RunSeed(id=RUN, workflow=chain.name, args=payload.encode([[2], {}]))
    house.stage.store.catalog.insert([seed])
    claimed = house.stage.store.dispatch.claim(OWNER, 1)
    ask_to_clean_up(house, RUN)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()
    house.dispatcher.send("engine-1", Assign(OWNER, claimed))
    house.settle()
    assert "cancel_requested" in house.types()


@pytest.mark.rule("T2")
def test_a_timer_that_fires_for_a_run_that_is_being_given_back_is_asked_about_again(house: House) -> None:
    house.start(nap)
    house.desks.hold = {Lane.LEASE}
    house.advance(EVICT_S + 1)
    house.timer.take()
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    assert house.timer.take(TimersSet) == [TimersSet([(RUN.bytes, 1, AGAIN_S)])]


def test_a_wake_is_remembered_for_a_run_that_never_comes_and_costs_nothing(house: House) -> None:
    house.router.send("engine-1", Wake([UUID(int=1).bytes]))
    house.settle()
    assert house.desks.held == []
