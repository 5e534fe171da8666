"""Activities that run for longer than a lease lives: their engine goes on renewing it, whatever the database does."""

from __future__ import annotations

import pytest

from continuum import activity, workflow
from continuum.runtime.ownership import TTL_S
from tests.unit.engine_house import OWNER, RUN, House


@activity(name="long.work")
def work() -> str:
    return "done"


@workflow(name="long.works")
async def works() -> str:
    return await work()


def others_may_take_it(house: House) -> bool:
    """Whether another node could claim the run now."""
    other = house.stage.owner("engine-1", node="elsewhere")
    return bool(house.stage.store.dispatch.claim(other, 10))


@pytest.mark.rule("A6")
def test_an_activity_that_runs_for_longer_than_the_lease_lives_completes() -> None:
    house = House()
    house.start(works)
    (task,) = house.executes()
    for _ in range(10):
        house.advance(TTL_S)
        assert not others_may_take_it(house)
    house.finish(task, "late")
    assert house.result() == "late"


@pytest.mark.rule("A6", "L2")
@pytest.mark.parametrize("operation", ["heartbeat", "heartbeat:after"])
def test_a_transient_error_of_the_database_does_not_end_the_renewal(operation: str) -> None:
    house = House()
    house.start(works)
    (task,) = house.executes()
    for _ in range(5):
        house.advance(5.0)
        house.stage.break_database(operation)
        house.advance(TTL_S / 2)
        house.stage.mend_database()
        house.advance(TTL_S)
        assert not others_may_take_it(house)
    assert not house.engine.lost
    house.finish(task, "late")
    assert house.result() == "late"


@pytest.mark.rule("A6", "L4")
def test_an_engine_that_is_gone_renews_nothing() -> None:
    house = House()
    house.start(works)
    house.stage.clock.now += TTL_S + 1
    assert others_may_take_it(house), f"{RUN} was held by {OWNER} for as long as it was renewed"
