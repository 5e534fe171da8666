"""The engine in the middle of a roll-back: what dies there is tried again, or given up without harm to the rest."""

from __future__ import annotations

import pytest

from continuum import Retry, activity, compensate_all, saga, workflow
from continuum.core.failure import decode_failure
from continuum.model import payload
from continuum.model.events import CompensationFailed, Failure, from_row
from continuum.wire.messages import Execute, Recover, Recovered
from tests.unit.engine_house import RUN, House


@activity(name="engine.book")
def book(what: str) -> str:
    return what


@activity(
    name="engine.cancel",
    retry=Retry(max_attempts=3, initial=1.0, jitter=0.0),
    timeout=9.0,
    idempotency_key=lambda what: f"cancel {what}",
)
def cancel(what: str) -> None: ...


@activity(name="engine.cancel-once")
def cancel_once(what: str) -> None: ...


@workflow(name="engine.trip")
async def trip(once: bool, parallel: bool) -> None:
    async with saga() as undo:
        undo.parallel = parallel
        undo.push(cancel(await book("inn")))
        undo.push((cancel_once if once else cancel)(await book("car")))
        raise ValueError("no boat")


@workflow(name="engine.trip-by-options")
async def trip_by_options() -> str:
    await book("inn").options(compensate=cancel)
    await compensate_all()
    return "undone"


@pytest.fixture
def house() -> House:
    return House()


def book_all(house: House) -> None:
    for what in ("inn", "car"):
        (task,) = house.executes()
        house.finish(task, what)


def argument(task: Execute) -> object:
    args = payload.decode(task.args)
    assert isinstance(args, list)
    return args[0][0]


def error_of(house: House) -> Failure:
    row = house.stage.store.catalog.get(RUN)
    assert row is not None and row.error is not None
    assert row.state == "failed"
    return decode_failure(row.error)


def another_worker(house: House) -> None:
    """Kill the worker; a new one comes."""
    house.stage.kill("worker-1")
    house.worker = house.stage.extra("worker-2")
    house.says_ready(house.worker, 10)


@pytest.mark.rule("G1", "A1", "R8")
def test_a_compensation_has_the_policy_of_an_activity_and_is_let_out_after_its_commit(house: House) -> None:
    house.start(trip, False, False)
    book_all(house)
    (task,) = house.executes()
    assert (task.activity, argument(task), task.timeout_s, task.idempotency_key) == (
        "engine.cancel",
        "car",
        9.0,
        "cancel car",
    )
    assert house.types()[-1] == "compensation_scheduled"


@pytest.mark.rule("G1", "A5")
def test_a_worker_that_dies_in_the_middle_of_a_roll_back_costs_an_attempt(house: House) -> None:
    house.start(trip, False, False)
    book_all(house)
    (first,) = house.executes()
    another_worker(house)
    assert house.types()[-1] == "activity_retried"
    house.advance(1.01)
    (second,) = house.executes()
    assert (second.seq, second.attempt, second.idempotency_key) == (first.seq, 2, "cancel car")
    house.finish(first)
    assert house.executes() == [], "attempt 1 is over, whoever says what of it"
    house.finish(second)
    (last,) = house.executes()
    assert argument(last) == "inn"
    house.finish(last)
    assert error_of(house).message == "no boat"


@pytest.mark.rule("G3", "A5")
@pytest.mark.parametrize("parallel", [False, True])
def test_a_compensation_without_attempts_left_is_given_up_and_the_others_run(
    house: House, parallel: bool
) -> None:
    house.start(trip, True, parallel)
    book_all(house)
    house.executes()
    another_worker(house)
    house.advance(1.01)
    (task,) = house.executes()
    assert (argument(task), task.attempt) == ("inn", 2 if parallel else 1)
    house.finish(task)
    bodies = [from_row(row) for row in house.stage.store.catalog.events(RUN)]
    (failed,) = [body for body in bodies if isinstance(body, CompensationFailed)]
    assert (failed.failure.type, failed.attempts) == ("attempts_exhausted", 1)
    assert (error_of(house).type, error_of(house).message) == ("ValueError", "no boat")


@pytest.mark.rule("G2", "R8")
def test_in_parallel_all_compensations_are_let_out_by_one_commit(house: House) -> None:
    house.start(trip, False, True)
    book_all(house)
    tasks = house.executes()
    assert [argument(task) for task in tasks] == ["car", "inn"]
    assert house.types()[-2:] == ["compensation_scheduled"] * 2
    for task in tasks:
        house.finish(task)
    assert error_of(house).message == "no boat"


@pytest.mark.rule("G1", "R6")
def test_a_run_that_is_loaded_anew_in_the_middle_of_a_roll_back_undoes_nothing_twice(house: House) -> None:
    house.start(trip_by_options)
    (task,) = house.executes()
    house.stage.break_database("commit:after")  # written, but the engine cannot know
    house.finish(task, "inn")
    house.stage.mend_database()
    house.advance(10)
    (question,) = house.worker.take(Recover)
    assert isinstance(question, Recover)
    assert [key[1] for key in question.keys] == [3], "it asks who has the compensation"
    house.worker.send("engine-1", Recovered([], question.keys, []))
    house.settle()
    (undo,) = house.executes()
    assert (undo.seq, undo.attempt, argument(undo)) == (3, 1, "inn")
    house.finish(undo)
    assert house.result() == "undone"
    assert house.types().count("compensation_scheduled") == 1
