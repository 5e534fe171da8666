"""The engine and the attempts of its activities: what follows a failure, a death, or a result that nobody awaits."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from continuum.core.definitions import workflow
from continuum.core.failure import encode_failure
from continuum.model import payload
from continuum.model.events import Failure
from continuum.model.retry import NODE_DRAINED
from continuum.ports.journal import TaskOutcome
from continuum.ports.offload import Lane
from continuum.wire.messages import (
    Abandon,
    Disowned,
    Finished,
    LastWord,
    Recover,
    Recovered,
    Settled,
    Wake,
    WorkerReady,
)
from tests.unit.engine_house import House, careful, chain, step


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("A14", "A8")
def test_a_worker_keeps_its_result_until_the_commit_that_consumes_it(house: House) -> None:
    house.start(chain, 2)
    (first,) = house.executes()
    house.desks.hold = {Lane.COMMIT}
    house.finish(first)
    assert house.worker.take(Settled) == []
    house.desks.hold = set()
    house.settle()
    assert house.worker.take(Settled) == [Settled([first.key])]
    assert house.types() == ["activity_scheduled", "activity_completed", "activity_scheduled"]


@pytest.mark.rule("A3", "A4")
def test_a_failed_attempt_is_followed_by_the_next_after_its_back_off(house: House) -> None:
    house.start(chain, 1)
    for attempt, pause in ((1, 1.0), (2, 2.0)):
        (task,) = house.executes()
        assert task.attempt == attempt
        house.fail(task, Failure("ValueError", "no"))
        house.advance(pause - 0.01)
        assert house.executes() == []
        house.advance(0.02)
    (last,) = house.executes()
    house.fail(last, Failure("ValueError", "no"))
    assert house.types()[-1] == "activity_failed"
    assert house.state() == "failed"


@pytest.mark.rule("A4", "A2")
@pytest.mark.parametrize("name", ["KeyError", "shop.MissingError"])
def test_a_type_that_is_not_retryable_fails_at_once_and_so_do_its_subclasses(house: House, name: str) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    house.fail(task, Failure(name, "gone", bases=("KeyError",)))
    assert house.types() == ["activity_scheduled", "activity_failed"]


@pytest.mark.rule("A5")
def test_the_death_of_a_worker_takes_the_only_attempt_of_what_it_had(house: House) -> None:
    house.start(careful)
    assert len(house.executes()) == 1
    house.stage.kill("worker-1")
    house.settle()
    assert house.result() == ["attempts_exhausted", 1]


@pytest.mark.rule("A5")
def test_after_the_death_of_a_worker_the_next_attempt_goes_to_another(house: House) -> None:
    house.start(chain, 1)
    assert [task.attempt for task in house.executes()] == [1]
    house.stage.kill("worker-1")
    house.worker = house.stage.extra("worker-2")
    house.says_ready(house.worker, 10)
    house.advance(1.01)
    (task,) = house.executes()
    assert task.attempt == 2
    house.finish(task, 9)
    assert house.result() == 9


@pytest.mark.rule("O5", "A5")
def test_an_attempt_that_a_drain_has_ended_does_not_count(house: House) -> None:
    house.start(careful)
    for attempt in (1, 2, 3):
        (task,) = house.executes()
        assert task.attempt == attempt
        house.fail(task, Failure(NODE_DRAINED, "stopped by the drain of node n after 5 s"))
    (task,) = house.executes()
    house.fail(task, Failure("ValueError", "no"))
    assert house.result() == ["ValueError", 4]


@pytest.mark.rule("O5", "A3")
def test_the_policy_counts_past_drains_also_after_a_replay(house: House) -> None:
    run_id = house.start(chain, 1)
    (task,) = house.executes()
    house.fail(task, Failure(NODE_DRAINED, "stopped by the drain of node n after 5 s"))
    house.engine._reload(house.engine._runs[run_id.bytes])
    house.settle()
    for attempt, pause in ((2, 1.0), (3, 2.0)):
        (task,) = house.executes()
        assert task.attempt == attempt
        house.fail(task, Failure("ValueError", "no"))
        house.advance(pause - 0.01)
        assert house.executes() == []
        house.advance(0.02)
    (task,) = house.executes()
    house.fail(task, Failure("ValueError", "no"))
    assert house.types()[-1] == "activity_failed"


@pytest.mark.rule("O5", "A11")
def test_the_details_of_an_attempt_that_a_drain_has_ended_are_kept(house: House) -> None:
    house.start(careful)
    for details in (b"half", b""):
        (task,) = house.executes()
        failure = Failure(NODE_DRAINED, "stopped by the drain of node n after 5 s")
        done = Finished(*task.key, False, encode_failure(failure), details=details)
        house.worker.send("engine-1", done)
        house.settle()
    (task,) = house.executes()
    assert task.last_heartbeat == b"half"


@pytest.mark.rule("A8")
def test_a_result_for_a_run_that_is_not_here_goes_back_to_its_worker(house: House) -> None:
    house.worker.send("engine-1", Finished(b"x" * 16, 1, 1, True, payload.encode(1)))
    house.settle()
    assert house.worker.take(Disowned) == [Disowned([(b"x" * 16, 1, 1)])]


@pytest.mark.rule("A8", "A7")
def test_the_result_of_an_older_attempt_is_dropped(house: House) -> None:
    house.start(chain, 1)
    (first,) = house.executes()
    house.fail(first, Failure("ValueError", "no"))
    house.worker.take()
    house.finish(first, 5)
    assert house.worker.take(Settled) == [Settled([first.key])]
    assert house.types() == ["activity_scheduled", "activity_retried"]


@pytest.mark.rule("A12")
def test_work_beyond_the_credit_goes_to_the_database_after_a_moment() -> None:
    house = House(window=1)
    for number in (1, 2):
        house.start(chain, 1, number=number)
    assert len(house.executes()) == 1
    house.advance(1.0)
    claimer = house.stage.owner("dispatcher")
    (task,) = house.stage.store.dispatch.claim_tasks(claimer, ["default"], 10)
    assert (task.run_id, task.seq, task.attempt) == (UUID(int=2), 1, 1)
    outcome = TaskOutcome(task.run_id, 1, 1, True, payload.encode(7))
    house.stage.store.dispatch.offer_outcomes([outcome])
    house.router.send("engine-1", Wake([task.run_id.bytes]))
    house.settle()
    assert house.result(task.run_id) == 7


def test_a_result_that_comes_before_the_word_that_its_attempt_is_held_leaves_nothing_out(
    house: House,
) -> None:
    house.stage.break_database("commit:after")
    house.start(chain, 1)
    house.stage.mend_database()
    house.advance(10)
    (question,) = house.worker.take(Recover)
    assert isinstance(question, Recover)
    done = [Finished(*key, True, payload.encode(3)) for key in question.keys]
    house.worker.send("engine-1", *done, Recovered(question.keys, [], []))
    house.settle()
    assert house.result() == 3
    house.worker.post.hint("engine-1", WorkerReady(("default",), 0, 0, stopping=True))
    house.settle()
    assert house.worker.take(LastWord) == [LastWord([])]


@pytest.mark.rule("A8")
def test_an_activity_of_an_ended_run_is_abandoned(house: House) -> None:
    @workflow(name="engine.leaves")
    async def leaves() -> str:
        task = asyncio.ensure_future(step(1))
        await asyncio.sleep(0)
        return "gone" if not task.done() else "done"

    house.start(leaves)
    assert house.result() == "gone"
    assert house.executes() == [], "what nobody awaits is not let out"
    assert house.worker.take(Abandon) == []
