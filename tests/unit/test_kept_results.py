"""Results that are kept by idempotency key: looked up before an attempt, kept before the run takes them (A10)."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.core.definitions import activity, workflow
from continuum.errors import ActivityError
from continuum.model import payload
from continuum.model.events import ActivityScheduled, Failure, to_row
from continuum.model.retry import Retry
from continuum.model.run import RunSeed
from continuum.ports.journal import KeptResult, ResultKey, RunCommit, TaskOutcome
from continuum.ports.offload import Lane
from continuum.wire.messages import Execute, Settled, Wake
from tests.unit.engine_house import House

FIRST, SECOND = UUID(int=1), UUID(int=2)


@activity(
    name="keyed.charge",
    retry=Retry(max_attempts=3, initial=1.0, jitter=0.0),
    idempotency_key=lambda order: f"order-{order}",
)
def charge(order: int) -> str:
    return "charged"


@workflow(name="keyed.pays")
async def pays(order: int) -> str:
    return await charge(order)


@workflow(name="keyed.by_call")
async def by_call(order: int) -> str:
    return await charge(order).options(idempotency_key="the only one", retry=Retry())


@workflow(name="keyed.careful")
async def careful(order: int) -> list[object]:
    try:
        return [await charge(order).options(retry=Retry())]
    except ActivityError as error:
        return [error.type]


@pytest.fixture
def house() -> House:
    return House()


def kept(house: House, key: str) -> object:
    name = ResultKey(charge.name, key)
    found = house.stage.store.dispatch.results([name])
    return payload.decode(found[name]) if found else None


def the_task(house: House) -> Execute:
    (task,) = house.executes()
    return task


@pytest.mark.rule("A10")
def test_a_kept_result_is_used_by_another_run_without_running_the_body(house: House) -> None:
    house.start(pays, 7, number=1)
    house.finish(the_task(house), "first")
    assert kept(house, "order-7") == "first"
    house.start(pays, 7, number=2)
    assert house.executes() == []
    assert (house.result(FIRST), house.result(SECOND)) == ("first", "first")
    assert house.types(SECOND) == ["activity_scheduled", "activity_completed"]


@pytest.mark.rule("A10")
def test_another_key_runs_the_body(house: House) -> None:
    house.start(pays, 7, number=1)
    house.finish(the_task(house), "first")
    house.start(pays, 8, number=2)
    house.finish(the_task(house), "second")
    assert house.result(SECOND) == "second"


@pytest.mark.rule("A10", "A2")
def test_the_key_of_a_call_is_over_that_of_the_decorator(house: House) -> None:
    for number in (1, 2):
        house.start(by_call, number, number=number)
        for task in house.executes():
            house.finish(task, f"run {number}")
    assert house.result(SECOND) == "run 1"
    assert kept(house, "the only one") == "run 1"


@pytest.mark.rule("A10")
def test_the_loser_of_a_race_takes_the_winners_result(house: House) -> None:
    house.start(pays, 7, number=1)
    house.start(pays, 7, number=2)
    first, second = house.executes()
    house.finish(second, "winner")
    house.finish(first, "loser")
    assert (house.result(FIRST), house.result(SECOND)) == ("winner", "winner")
    assert house.worker.take(Settled) == [Settled([second.key]), Settled([first.key])]


@pytest.mark.rule("A10")
def test_of_two_results_in_one_moment_both_runs_take_the_same(house: House) -> None:
    house.start(pays, 7, number=1)
    house.start(pays, 7, number=2)
    house.desks.hold = {Lane.COMMIT}
    for n, task in enumerate(house.executes()):
        house.finish(task, f"value {n}")
    house.desks.hold = set()
    house.settle()
    assert (house.result(FIRST), house.result(SECOND)) == ("value 0", "value 0")


@pytest.mark.rule("A10")
def test_a_failure_is_not_kept(house: House) -> None:
    house.start(pays, 7, number=1)
    house.fail(the_task(house), Failure("ValueError", "no"))
    house.advance(1.5)
    retried = the_task(house)
    assert (retried.attempt, kept(house, "order-7")) == (2, None)
    house.finish(retried, "at last")
    assert house.result(FIRST) == "at last"


@pytest.mark.rule("A10")
def test_a_retry_is_looked_up_too(house: House) -> None:
    house.start(pays, 7, number=1)
    house.start(pays, 7, number=2)
    first, second = house.executes()
    house.fail(first, Failure("ValueError", "no"))
    house.finish(second, "meanwhile")
    house.advance(1.5)
    assert house.executes() == []
    assert house.result(FIRST) == "meanwhile"


@pytest.mark.rule("A10", "A8")
def test_a_result_that_comes_by_the_database_takes_what_is_kept() -> None:
    house = House(window=1)
    house.start(pays, 7, number=1)
    house.start(pays, 7, number=2)
    (first,) = house.executes()
    house.advance(1.0)
    dispatch = house.stage.store.dispatch
    (row,) = dispatch.claim_tasks(house.stage.owner("dispatcher"), ["default"], 10)
    house.finish(first, "winner")
    dispatch.offer_outcomes([TaskOutcome(row.run_id, row.seq, 1, True, payload.encode("loser"))])
    house.router.send("engine-1", Wake([row.run_id.bytes]))
    house.settle()
    assert house.result(row.run_id) == "winner"


@pytest.mark.rule("A10", "R6")
@pytest.mark.parametrize("operation", ["keep", "keep:after", "results", "results:after"])
def test_an_outage_while_results_are_looked_up_or_kept_changes_nothing(operation: str) -> None:
    house = House()
    house.stage.break_database(operation)
    house.start(pays, 7, number=1)
    if operation.startswith("results"):
        assert house.executes() == []
        house.stage.mend_database()
        house.advance(1.0)
    house.finish(the_task(house), "first")
    house.stage.mend_database()
    house.advance(1.0)
    assert house.result(FIRST) == "first"
    assert house.types(FIRST) == ["activity_scheduled", "activity_completed"]


@pytest.mark.rule("A10", "A5")
@pytest.mark.parametrize(("is_kept", "result"), [(True, ["kept"]), (False, ["attempts_exhausted"])])
def test_a_result_kept_just_before_a_crash_is_taken_although_no_attempt_is_left(
    house: House, is_kept: bool, result: list[str]
) -> None:
    store, args = house.stage.store, payload.encode([[7], {}])
    store.catalog.insert([RunSeed(id=FIRST, workflow=careful.name, args=args)])
    dead = house.stage.owner("engine-9")
    (lease,) = house.stage.claim(dead)
    begun = to_row(1, ActivityScheduled(charge.name, args, crew="another life:0"))
    assert store.journal.commit([RunCommit(FIRST, lease.token, 0, [begun], "running")])
    if is_kept:
        name = ResultKey(charge.name, "order-7")
        store.journal.keep([KeptResult(FIRST, lease.token, 1, name, payload.encode("kept"))])
    store.dispatch.retire([dead])
    house.assign()
    assert house.result(FIRST) == result


@pytest.mark.rule("A10", "L1")
def test_a_stale_owner_keeps_nothing(house: House) -> None:
    house.start(pays, 7, number=1)
    task = the_task(house)
    store = house.stage.store
    store.dispatch.retire(["n/default/engine-1/b-1"])
    assert store.dispatch.claim(house.stage.owner("engine-2"), 1)
    house.finish(task, "stale")
    assert kept(house, "order-7") is None
    assert house.engine.runs == 0


@pytest.mark.rule("A10")
@pytest.mark.parametrize("key", ["", "a\x00b", "k" * 1001])
def test_a_key_that_cannot_be_stored_fails_the_call_not_the_engine(house: House, key: str) -> None:
    @activity(name="keyed.odd", idempotency_key=lambda: key)
    def odd() -> None: ...

    @workflow(name="keyed.oddly")
    async def oddly() -> str:
        try:
            await odd()
        except (TypeError, ValueError) as error:
            return type(error).__name__
        return "no error"

    house.start(oddly, number=1)
    assert house.result(FIRST) in ("TypeError", "ValueError")
