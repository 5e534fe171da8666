"""Whom the dispatcher gives tasks, and that none stays with the dead, is run twice or is lost in an outage."""

from __future__ import annotations

import pytest

from continuum.model.ids import Owner
from continuum.ports.journal import Lease
from continuum.ports.mailbox import Notice
from continuum.runtime.tasks import return_unbegun
from continuum.wire.messages import Settled, Wake
from tests.unit.dispatcher_scene import CLAIMER, Scene, assigned, executed, finish
from tests.unit.stage import INSTANCE


@pytest.fixture
def scene() -> Scene:
    return Scene()


def another(scene: Scene) -> Lease:
    """One more run with a queued task."""
    owner = scene.stage.owner(node="elsewhere")
    scene.stage.insert(2)
    (lease,) = scene.stage.claim(owner)
    scene.stage.set_task(lease)
    return lease


@pytest.mark.rule("A12")
def test_no_more_tasks_are_taken_than_the_workers_have_credit_for(scene: Scene) -> None:
    scene.tasks(8)
    worker = scene.worker(window=5)
    tasks = executed(worker)
    assert len(tasks) == 5
    finish(scene, worker, *tasks[:2])
    assert len(executed(worker)) == 2
    other = scene.stage.owner("dispatcher", node="other")
    assert len(scene.store.dispatch.claim_tasks(other, ["default"], 10)) == 1


def test_a_result_is_stored_then_settled_and_its_owner_told(scene: Scene) -> None:
    notices: list[Notice] = []
    scene.store.subscribe(notices.append)
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    (task,) = executed(worker)
    finish(scene, worker, task)
    assert scene.outcomes(lease) == [True]
    assert worker.take(Settled) == [Settled([task.key])]
    owner = str(Owner("elsewhere", INSTANCE, "engine-1", "b-1"))
    assert Notice("mail", lease.run_id, owner) in notices


def test_the_owner_of_this_node_is_woken_directly(scene: Scene) -> None:
    engine = scene.engine(free=0)
    scene.stage.insert()
    (lease,) = scene.stage.claim(scene.stage.owner())
    scene.stage.set_task(lease)
    worker = scene.worker()
    executed(worker)
    scene.stage.kill("worker-1")
    scene.stage.settle()
    assert scene.outcomes(lease) == [False]
    assert engine.take(Wake) == [Wake([lease.run_id.bytes])]


def test_a_result_waits_through_an_outage_and_is_settled_after_it(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    tasks = executed(worker)
    scene.stage.break_database()
    finish(scene, worker, *tasks)
    scene.stage.advance(120)
    assert worker.take(Settled) == []
    scene.stage.mend_database()
    scene.stage.advance(6)
    assert scene.outcomes(lease) == [True]
    assert len(worker.take(Settled)) == 1


@pytest.mark.rule("A4", "A5")
def test_the_tasks_of_a_dead_worker_are_failed_attempts_and_are_not_sent_again(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    worker = scene.worker("worker-1")
    assert len(executed(worker)) == 1
    other = scene.worker("worker-2")
    scene.stage.kill("worker-1")
    scene.stage.advance(6)
    assert scene.outcomes(lease) == [False]
    assert executed(other) == []


@pytest.mark.rule("A16", "A5")
def test_of_the_tasks_of_a_dead_worker_those_that_had_not_begun_are_done_by_another(scene: Scene) -> None:
    begun, queued = scene.tasks(2)
    worker = scene.worker("worker-1")
    first, second = sorted(executed(worker), key=lambda task: task.run != begun.run_id.bytes)
    other = scene.worker("worker-2", incarnation="b-5")
    scene.stage.beginnings.of["b-1"] = {first.key}
    scene.stage.kill("worker-1")
    scene.stage.advance(6)
    assert scene.outcomes(begun) == [False]
    assert executed(other) == [second]
    finish(scene, other, second)
    assert scene.outcomes(queued) == [True]


@pytest.mark.rule("A16", "A5")
def test_what_a_dead_node_of_this_host_had_claimed_and_not_begun_is_queued_again(scene: Scene) -> None:
    begun, queued = scene.tasks(2)
    foreign = scene.stage.owner("dispatcher", "c-1", node="other")
    claimed = scene.store.dispatch.claim_tasks(foreign, ["default"], 2)
    assert len(claimed) == 2
    return_unbegun(scene.store.dispatch, scene.stage.beginnings, foreign)
    assert len(scene.store.dispatch.claimed([foreign])) == 2, "nobody can know"
    scene.stage.beginnings.of["c"] = {(begun.run_id.bytes, 1, 1)}
    return_unbegun(scene.store.dispatch, scene.stage.beginnings, foreign)
    assert scene.store.dispatch.claimed([foreign]) == {(begun.run_id, 1, 1)}
    (task,) = executed(scene.worker())
    assert task.run == queued.run_id.bytes


def test_a_result_that_came_before_its_worker_died_counts(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    tasks = executed(worker)
    scene.stage.break_database()
    finish(scene, worker, *tasks)
    scene.stage.kill("worker-1")
    scene.stage.mend_database()
    scene.stage.advance(6)
    assert scene.outcomes(lease) == [True]


@pytest.mark.parametrize("operation", ["claim_tasks", "assign_task", "assign_task:after"])
def test_a_task_is_run_once_although_the_database_failed_on_the_way(scene: Scene, operation: str) -> None:
    (lease,) = scene.tasks(1)
    scene.stage.break_database(operation)
    worker = scene.worker()
    scene.stage.advance(1)
    assert executed(worker) == []
    scene.stage.mend_database()
    scene.stage.advance(6)
    tasks = executed(worker)
    assert len(tasks) == 1
    finish(scene, worker, *tasks)
    assert scene.outcomes(lease) == [True]


@pytest.mark.rule("A5")
def test_a_task_that_was_given_back_is_not_sent_by_who_gave_it_back(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    scene.stage.break_database("assign_task", "return_tasks:after")
    worker = scene.worker()
    scene.stage.advance(0.15)
    other = scene.stage.owner("dispatcher", node="other")
    assert len(scene.store.dispatch.claim_tasks(other, ["default"], 1)) == 1
    scene.stage.mend_database()
    scene.stage.advance(20)
    assert executed(worker) == []
    assert scene.outcomes(lease) == []


def test_a_task_whose_claim_was_never_answered_does_not_stay_claimed(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    scene.stage.break_database("claim_tasks:after")
    worker = scene.worker()
    scene.stage.mend_database()
    scene.stage.advance(1)
    assert executed(worker) == []
    assert scene.outcomes(lease) == [False]


def test_a_task_whose_claim_was_never_answered_comes_back_also_while_others_run(scene: Scene) -> None:
    worker = scene.worker()
    scene.tasks(1)
    scene.look(tasks=True)
    (long,) = executed(worker)
    lost = another(scene)
    scene.stage.break_database("claim_tasks:after")
    scene.look(tasks=True)
    scene.stage.mend_database()
    scene.stage.advance(60)
    assert scene.outcomes(lost) == [], "what runs keeps the name alive"
    finish(scene, worker, long)
    scene.stage.advance(1)
    assert scene.outcomes(lost) == [False]


def test_what_a_dead_dispatcher_never_sent_is_lost_when_its_name_expires(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    scene.stage.break_database("assign_task", "return_tasks")
    scene.worker()
    scene.stage.kill("dispatcher")
    scene.stage.mend_database()
    scene.put_on("b-2")
    scene.stage.advance(45)
    assert scene.outcomes(lease) == [False]


def test_a_claim_lapsed_by_an_outage_is_renewed_before_anything_is_taken_for_lost(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    (task,) = executed(worker)
    scene.stage.break_database()
    scene.stage.advance(120)
    scene.stage.mend_database()
    scene.stage.advance(30)
    assert scene.outcomes(lease) == []
    finish(scene, worker, task)
    assert scene.outcomes(lease) == [True]


def test_a_drained_dispatcher_claims_nothing_and_leaves_no_claimer(scene: Scene) -> None:
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    (task,) = executed(worker)
    scene.dispatcher.drain()
    engine = scene.engine()
    scene.stage.insert(2)
    scene.look(runs=True, tasks=True)
    assert assigned(engine) == []
    assert not scene.dispatcher.drained
    finish(scene, worker, task)
    assert scene.dispatcher.drained
    assert scene.outcomes(lease) == [True]
    assert scene.store.dispatch.heartbeat(CLAIMER, 30) is None


def test_a_task_that_was_never_sent_goes_back_when_the_dispatcher_drains(scene: Scene) -> None:
    scene.tasks(1)
    scene.stage.break_database("assign_task", "return_tasks")
    scene.worker()
    scene.dispatcher.drain()
    scene.stage.advance(1)
    assert not scene.dispatcher.drained
    scene.stage.mend_database()
    scene.stage.advance(1)
    assert scene.dispatcher.drained
    other = scene.stage.owner("dispatcher", node="other")
    assert len(scene.store.dispatch.claim_tasks(other, ["default"], 10)) == 1
