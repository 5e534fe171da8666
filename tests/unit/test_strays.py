"""What becomes of attempts whose run an engine has lost."""

from __future__ import annotations

import asyncio

import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import wait_signal
from continuum.model import payload
from continuum.runtime.worker import outcome_of
from continuum.wire.messages import Abandon, Disowned, Finished, Settled, Wake
from tests.unit.engine_house import OWNER, RUN, House, chain


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("K3")
def test_a_run_that_was_cancelled_from_outside_is_dropped_and_its_activity_is_stopped_at_once(
    house: House,
) -> None:
    house.start(chain, 2)
    (task,) = house.executes()
    house.stage.store.catalog.cancel(RUN, "enough")
    house.router.post.hint("engine-1", Wake([RUN.bytes]))
    house.settle()
    assert house.engine.runs == 0
    assert house.worker.take(Abandon) == [Abandon([task.key])]
    assert house.state() == "cancelled"


@pytest.mark.rule("K3")
def test_a_cancel_that_a_commit_meets_stops_what_else_the_run_has_out(house: House) -> None:
    house.start(both)
    first, second = house.executes()
    house.stage.store.catalog.cancel(RUN, "enough")
    house.finish(first)
    assert house.engine.runs == 0
    (stopped,) = [m for m in house.worker.take(Abandon) if isinstance(m, Abandon)]
    assert second.key in stopped.keys


@pytest.mark.rule("A8")
def test_a_result_that_was_taken_and_never_committed_is_no_longer_the_worker_s_to_keep(house: House) -> None:
    house.start(both)
    first, _ = house.executes()
    house.stage.store.catalog.cancel(RUN, "enough")
    house.worker.take()
    house.finish(first)
    assert house.engine.runs == 0
    let_go = [message for message in house.worker.take() if isinstance(message, Disowned | Settled)]
    assert first.key in [key for message in let_go for key in message.keys]


@pytest.mark.rule("A8", "K3")
def test_the_activity_of_a_run_that_has_another_owner_goes_on(house: House) -> None:
    house.start(chain, 1)
    assert len(house.executes()) == 1
    dispatch = house.stage.store.dispatch
    dispatch.retire([OWNER])
    assert len(dispatch.claim(house.stage.owner("engine-2"), 1)) == 1
    house.router.post.hint("engine-1", Wake([RUN.bytes]))
    house.settle()
    assert house.engine.runs == 0
    assert house.worker.take(Abandon) == []


@pytest.mark.rule("A8", "A12", "A14")
def test_a_result_that_travelled_is_committed_as_a_worker_s_and_its_row_goes(house: House) -> None:
    house.says_ready(house.worker, 0)
    house.start(chain, 1)
    house.advance(1)
    store = house.stage.store
    claimer = house.stage.owner("dispatcher", node="elsewhere")
    (task,) = store.dispatch.claim_tasks(claimer, ["default"], 1)
    assert task.owner == OWNER
    group = house.stage.extra("group")
    group.send("engine-1", Finished(RUN.bytes, task.seq, task.attempt, True, payload.encode(7)))
    house.settle()
    assert (house.state(), house.result()) == ("completed", 7)
    assert group.take(Settled) == [Settled([(RUN.bytes, task.seq, task.attempt)])]


@pytest.mark.rule("A8", "A14")
def test_the_commit_that_takes_a_travelled_result_removes_its_task(house: House) -> None:
    house.says_ready(house.worker, 0)
    house.start(then_waits)
    house.advance(1)
    dispatch = house.stage.store.dispatch
    claimer = house.stage.owner("dispatcher", node="elsewhere")
    (task,) = dispatch.claim_tasks(claimer, ["default"], 1)
    assert len(dispatch.claimed([claimer])) == 1
    group = house.stage.extra("group")
    group.send("engine-1", Finished(RUN.bytes, task.seq, task.attempt, True, payload.encode(7)))
    house.settle()
    assert house.types()[-1] == "signal_awaited"
    assert dispatch.claimed([claimer]) == set()


@pytest.mark.rule("A7", "A8")
def test_a_travelled_result_that_comes_by_both_ways_counts_once(house: House) -> None:
    house.says_ready(house.worker, 0)
    house.start(then_waits)
    house.advance(1)
    dispatch = house.stage.store.dispatch
    (task,) = dispatch.claim_tasks(house.stage.owner("dispatcher", node="elsewhere"), ["default"], 1)
    group = house.stage.extra("group")
    result = Finished(RUN.bytes, task.seq, task.attempt, True, payload.encode(7))
    group.send("engine-1", result)
    house.settle()
    dispatch.offer_outcomes([outcome_of(result)])
    house.router.post.hint("engine-1", Wake([RUN.bytes]))
    house.advance(1)
    assert house.types() == ["activity_scheduled", "activity_completed", "signal_awaited"]
    assert house.stage.store.mailbox.unread([OWNER], 10) == [], "its row is gone again"


@activity(name="strays.step")
def step(value: int) -> int:
    return value


@workflow(name="strays.both")
async def both() -> int:
    one, other = await asyncio.gather(step(1), step(2))
    return one + other


@workflow(name="strays.then-waits")
async def then_waits() -> object:
    await step(1)
    return await wait_signal("go")
