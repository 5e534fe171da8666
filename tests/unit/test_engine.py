"""The engine: what it commits, what it lets out and when, and what it does when a commit or a replay fails."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import Workflow, registry, workflow
from continuum.core.effects import now, wait_signal
from continuum.model import payload
from continuum.model.events import ChildStarted, to_row
from continuum.model.ids import Owner
from continuum.model.run import RunSeed
from continuum.ports.journal import Release, RunCommit
from continuum.ports.offload import Lane
from continuum.runtime.engine import Engine
from continuum.wire.messages import Assign, Recover, Recovered, RunsEnded, TimersFired, TimersSet, Wake
from tests.unit.engine_house import OWNER, RUN, Desks, House, chain, naps, once, waits
from tests.unit.stage import BOOT, INSTANCE, NODE


@workflow(name="engine.dated")
async def dated() -> float:
    began = now().timestamp()
    await wait_signal("go")
    return began


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("A1", "R8")
def test_an_activity_is_let_out_only_after_the_commit_of_its_event(house: House) -> None:
    house.desks.hold = {Lane.COMMIT}
    house.start(chain, 1)
    house.advance(0.1)
    assert house.executes() == [] and house.types() == []
    house.desks.hold = set()
    house.settle()
    assert [task.seq for task in house.executes()] == [1]
    assert house.types() == ["activity_scheduled"]


@pytest.mark.rule("R8", "W2")
def test_a_lonely_end_is_announced_by_its_own_commit(house: House) -> None:
    announced: list[tuple[UUID, ...]] = []
    house.stage.store.subscribe_ended(announced.append)
    house.desks.hold = {Lane.COMMIT}
    house.start(chain, 0)
    assert announced == []
    house.desks.hold = set()
    house.settle()
    assert announced == [(RUN,)]
    assert house.router.take(RunsEnded) == [], "nobody has to tell it again"


@pytest.mark.rule("R8", "W2")
def test_the_ends_of_a_crowd_are_announced_by_the_router_after_their_commit(house: House) -> None:
    ids = [UUID(int=number) for number in range(1, 21)]
    seeds = [RunSeed(id=run_id, workflow=chain.name, args=payload.encode([[0], {}])) for run_id in ids]
    house.stage.store.catalog.insert(seeds)
    house.desks.hold = {Lane.COMMIT}
    house.assign()
    assert house.router.take(RunsEnded) == []
    house.desks.hold = set()
    house.settle()
    told = [message for message in house.router.take(RunsEnded) if isinstance(message, RunsEnded)]
    assert [run for message in told for run in message.runs] == [run_id.bytes for run_id in ids]


@pytest.mark.rule("T3", "R7")
def test_a_timer_that_fires_just_before_a_cancel_commits_appends_nothing(house: House) -> None:
    house.start(naps)
    house.desks.hold = {Lane.COMMIT}
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    house.stage.store.catalog.cancel(RUN, "enough")
    house.desks.hold = set()
    house.settle()
    assert (house.state(), house.types()) == ("cancelled", ["timer_started"])
    assert house.engine.runs == 0


@pytest.mark.rule("B6")
@pytest.mark.parametrize(("target", "in_s"), [(naps, 5.0), (waits, 30.0)])
def test_an_engine_that_takes_a_run_over_tells_of_its_timers(
    house: House, target: Workflow[..., Any], in_s: float
) -> None:
    house.start(target)
    house.timer.take(TimersSet)
    house.stage.advance(2.0)
    house.stage.store.journal.release([Release(RUN, 1, 0.0)])
    house.assign()
    (told,) = house.timer.take(TimersSet)
    assert isinstance(told, TimersSet)
    ((run, seq, left_s),) = told.timers
    assert (run, seq) == (RUN.bytes, 1) and left_s == pytest.approx(in_s - 2.0)


@pytest.mark.rule("R6")
@pytest.mark.parametrize("operation", ["commit", "commit:after"])
def test_a_commit_that_fails_or_whose_answer_is_lost_ends_right(house: House, operation: str) -> None:
    house.stage.break_database(operation)
    house.start(chain, 1)
    assert house.state() == "running"
    house.stage.mend_database()
    house.advance(10)
    tasks = house.executes()
    if not tasks:  # written before the answer was lost: the reloaded run asks who has the attempt
        (question,) = house.worker.take(Recover)
        assert isinstance(question, Recover)
        house.worker.send("engine-1", Recovered([], question.keys, []))
        house.settle()
        tasks = house.executes()
    (task,) = tasks
    house.finish(task, 3)
    assert house.result() == 3
    assert house.types() == ["activity_scheduled", "activity_completed"]


@pytest.mark.rule("S2", "S3")
def test_signals_before_and_after_the_claim_arrive_and_late_timers_do_not(house: House) -> None:
    store = house.stage.store
    run_id = house.start(waits)
    (hint,) = house.timer.take(TimersSet)
    assert hint == TimersSet([(RUN.bytes, 1, 30.0)])
    store.catalog.signal(run_id, "go", payload.encode("now"), None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    assert house.types() in (["signal_awaited", "signal_received"], ["signal_awaited", "timer_fired"])
    early = UUID(int=43)
    seed = RunSeed(id=early, workflow=waits.name, args=payload.encode([[], {}]))
    store.catalog.insert([seed])
    store.catalog.signal(early, "go", payload.encode("before"), None)
    house.assign()
    assert house.result(early) == "before"


def test_a_run_without_loaded_code_is_parked_and_says_why(house: House) -> None:
    seed = RunSeed(id=RUN, workflow="nobody.knows", args=payload.encode([[], {}]))
    house.stage.store.catalog.insert([seed])
    house.assign()
    row = house.stage.store.catalog.get(RUN)
    assert row is not None and row.attention is not None
    assert (row.state, row.owner) == ("suspended", None)
    assert "nobody.knows" in row.attention
    assert house.stage.store.dispatch.claim(OWNER, 1) == []
    house.advance(6)
    assert len(house.stage.store.dispatch.claim(OWNER, 1)) == 1


@pytest.mark.rule("R3")
def test_a_run_that_drifts_is_parked_with_both_sides_and_resumes_after_the_fix(house: House) -> None:
    run_id = house.start(chain, 2)
    house.stage.store.dispatch.retire([OWNER])
    original = registry.workflows[chain.name]
    other = House.__new__(House)  # a second engine on the same stage
    other.stage, other.dispatcher, other.worker = house.stage, house.dispatcher, house.worker

    async def changed(count: int) -> object:
        return await once(count)

    drifting: Workflow[..., Any] = Workflow(changed, chain.name)
    drifting.version_hash = chain.version_hash  # what the hash does not see, such as a library, has changed
    registry.workflows[chain.name] = drifting
    try:
        owner = str(Owner(NODE, INSTANCE, "engine-2", f"{BOOT}-1"))
        other.desks = Desks(house.stage)
        other.engine = other.desks.engine = Engine(
            house.stage.ports("engine-2"), other.desks, registry.workflow
        )
        house.stage.play("engine-2", other.engine)
        other.settle()
        claimed = house.stage.store.dispatch.claim(owner, 1)
        house.dispatcher.send("engine-2", Assign(owner, claimed))
        other.settle()
        row = house.stage.store.catalog.get(run_id)
        assert row is not None and row.attention is not None
        assert "engine.step #1" in row.attention and "engine.once #1" in row.attention
        assert house.types() == ["activity_scheduled"], "a drift writes nothing"
        registry.workflows[chain.name] = original
        other.advance(61)
        claimed = house.stage.store.dispatch.claim(owner, 1)
        house.dispatcher.send("engine-2", Assign(owner, claimed))
        other.settle()
        assert other.engine.runs == 1
    finally:
        registry.workflows[chain.name] = original


@pytest.mark.rule("S2")
def test_a_signal_that_is_there_before_a_run_begins_is_one_event(house: House) -> None:
    seed = RunSeed(id=RUN, workflow=waits.name, args=payload.encode([[], {}]))
    house.stage.store.catalog.insert([seed])
    house.stage.store.catalog.signal(RUN, "go", payload.encode("on"), None)
    house.assign()
    assert (house.state(), house.types(), house.result()) == ("completed", ["signal_received"], "on")


@pytest.mark.rule("B5", "K4")
def test_a_child_that_is_cancelled_before_it_begins_runs_no_code(house: House) -> None:
    house.stage.insert()
    (lease,) = house.stage.claim(house.stage.owner(node="elsewhere"))
    house.stage.store.catalog.cancel(lease.run_id, "enough", 30.0)
    child = RunSeed(
        id=RUN,
        workflow=chain.name,
        args=payload.encode([[1], {}]),
        parent_run_id=lease.run_id,
        parent_command=1,
    )
    event = to_row(1, ChildStarted(chain.name, RUN.bytes, "", attached=False))
    begun = RunCommit(lease.run_id, lease.token, 0, [event], "running", children_started=[child])
    assert house.stage.store.journal.commit([begun]) == {lease.run_id}
    house.assign()
    assert (house.state(), house.types()) == ("cancelled", [])


@pytest.mark.rule("R11")
def test_the_first_step_sees_the_moment_of_the_first_start_in_every_replay(house: House) -> None:
    began = house.stage.clock.now + 3600.0 + 1_700_000_000.0
    seed = RunSeed(id=RUN, workflow=dated.name, args=payload.encode([[], {}]), delay_s=3600.0)
    house.stage.store.catalog.insert([seed])
    house.advance(3600.0)
    house.assign()
    house.advance(120.0)
    assert house.engine.runs == 0, "it was given back"
    house.stage.store.catalog.signal(RUN, "go", payload.encode(None), None)
    house.assign()
    assert house.result() == pytest.approx(began, abs=1.5)
