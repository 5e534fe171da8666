"""The life of a task row: queued, claimed, run by a worker, done; and attempts as its fence."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from continuum.model.events import Failure
from continuum.model.run import RunState
from continuum.ports.dispatch import ClaimedTask, Woken
from continuum.ports.journal import Lease, TaskOutcome, TaskRow
from tests.integration.conformance.scene import ENDED, HOUR_S, OTHER, OWNER, Scene, completed, step, task

WORKER, OTHER_WORKER = "n1/worker-1/b1-1", "n1/worker-2/b1-2"


def failures(scene: Scene, lease: Lease) -> list[tuple[int, int, str]]:
    """Return (seq, attempt, type of failure) of the failed attempts in the run's mail."""
    outcomes = scene.mail(lease).outcomes
    assert not any(outcome.ok for outcome in outcomes)
    return [
        (outcome.seq, outcome.attempt, msgspec.msgpack.decode(outcome.payload, type=Failure).type)
        for outcome in outcomes
    ]


@pytest.mark.rule("A12")
def test_a_task_waits_in_the_database_until_somebody_claims_it(scene: Scene) -> None:
    waiting = TaskRow(1, 2, "shop.charge", b"args", "gpu", 0.0, 12.5, "order-1")
    lease = scene.leased(tasks_set=(waiting,))
    (claimed,) = scene.dispatch.claim_tasks(OTHER, ["gpu"], 10)
    assert claimed == ClaimedTask(
        *(lease.run_id, 1, 2, "shop.charge", b"args", "gpu", 12.5, "order-1"), owner=OWNER
    )
    assert scene.dispatch.claim_tasks(OTHER, ["gpu"], 10) == []


@pytest.mark.rule("K3", "A15")
def test_what_a_claimer_has_is_what_nobody_has_withdrawn(scene: Scene) -> None:
    cancelled = scene.leased(tasks_set=(task(1),))
    lease = scene.leased(tasks_set=(task(1), task(2), task(3)))
    assert len(scene.dispatch.claim_tasks(OTHER, ["default"], 10)) == 4
    scene.catalog.cancel(cancelled.run_id, None)
    assert scene.commit(step(lease, 0, 0, tasks_cleared=(2,)))
    assert scene.dispatch.claimed([OTHER, OWNER]) == {(lease.run_id, 1, 1), (lease.run_id, 3, 1)}
    assert scene.dispatch.claimed([OWNER]) == set()


def test_only_tasks_of_the_queues_asked_for_are_claimed(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2, queue="gpu"), task(3, queue="mail")))
    assert scene.dispatch.claim_tasks(OTHER, [], 10) == []
    claimed = scene.dispatch.claim_tasks(OTHER, ["default", "mail"], 10)
    assert sorted(row.seq for row in claimed) == [1, 3]
    assert scene.tasks(queue="gpu") == [(lease.run_id, 2, 1)]


def test_a_claim_of_tasks_takes_no_more_than_its_limit_oldest_due_first(scene: Scene) -> None:
    leases = [scene.leased(tasks_set=(task(1),)) for _ in range(3)]
    assert [row[0] for row in scene.tasks(limit=2)] == [lease.run_id for lease in leases[:2]]
    assert [row[0] for row in scene.tasks(limit=2)] == [leases[2].run_id]


def test_a_task_is_not_claimed_before_its_delay(scene: Scene) -> None:
    scene.leased(tasks_set=(task(1, delay_s=60.0),))
    assert scene.tasks() == []
    task_in_s = scene.dispatch.next_due(["default"]).task_in_s
    assert task_in_s is not None
    assert 50.0 < task_in_s <= 60.0


def test_the_next_task_counts_only_in_its_queue_and_while_it_is_queued(scene: Scene) -> None:
    scene.leased(tasks_set=(task(1),))
    assert scene.dispatch.next_due(["gpu"]).task_in_s is None
    task_in_s = scene.dispatch.next_due(["gpu", "default"]).task_in_s
    assert task_in_s is not None
    assert task_in_s <= 0.0
    scene.claim_task()
    assert scene.dispatch.next_due(["default"]).task_in_s is None


def test_no_task_is_claimed_for_an_owner_that_is_not_live(scene: Scene) -> None:
    scene.leased(tasks_set=(task(1),))
    scene.dispatch.retire([OTHER])
    assert scene.tasks(OTHER) == []
    assert len(scene.tasks(OWNER)) == 1


def test_a_returned_task_is_queued_again_with_the_same_attempt(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1, attempt=2),))
    key = scene.claim_task(OTHER)
    scene.dispatch.return_tasks(OTHER, [key])
    assert scene.tasks(OWNER) == [key] == [(lease.run_id, 1, 2)]


@pytest.mark.rule("A7")
def test_only_its_claimer_returns_a_task_and_only_this_attempt(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1, attempt=2),))
    scene.claim_task(OTHER)
    scene.dispatch.return_tasks(OWNER, [(lease.run_id, 1, 2)])
    scene.dispatch.return_tasks(OTHER, [(lease.run_id, 1, 1), (lease.run_id, 1, 3), (uuid4(), 1, 1)])
    assert scene.tasks() == []


def test_a_task_that_is_done_is_not_returned(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    key = scene.claim_task(OTHER)
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    scene.dispatch.return_tasks(OTHER, [key])
    assert scene.tasks() == []
    assert scene.mail(lease).outcomes == (completed(lease, 1),)


def test_an_outcome_lies_in_the_mail_until_a_step_clears_its_task(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.claim_task(OTHER)
    failed = TaskOutcome(lease.run_id, 1, 1, False, b"failure", True)
    assert scene.dispatch.offer_outcomes([failed]) == [Woken(lease.run_id, OWNER)]
    assert scene.mail(lease).outcomes == scene.load(lease).mail.outcomes == (failed,)
    assert scene.load(lease).open_tasks == ()
    scene.commit(step(lease, 0, 1, tasks_cleared=(1,)))
    assert scene.mail(lease).outcomes == ()


def test_an_outcome_without_a_task_makes_its_row(scene: Scene) -> None:
    lease = scene.leased()
    scene.dispatch.offer_outcomes([completed(lease, 7, attempt=3)])
    assert scene.mail(lease).outcomes == (completed(lease, 7, attempt=3),)
    assert scene.tasks() == []
    assert scene.dispatch.next_due(["default", ""]).task_in_s is None


@pytest.mark.rule("A7")
def test_a_zombie_of_attempt_1_changes_nothing_while_attempt_2_runs(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    zombie = scene.claim_task(OTHER)
    scene.commit(step(lease, 0, 1, tasks_set=(task(1, attempt=2),)))
    assert scene.claim_task(OTHER) == (lease.run_id, 1, 2)
    assert scene.dispatch.offer_outcomes([completed(lease, 1, attempt=1)]) == []
    scene.dispatch.return_tasks(OTHER, [zombie])
    assert scene.mail(lease).outcomes == ()
    assert scene.tasks() == []
    scene.dispatch.offer_outcomes([completed(lease, 1, attempt=2)])
    assert scene.mail(lease).outcomes == (completed(lease, 1, attempt=2),)


def test_the_outcome_of_a_later_attempt_replaces_the_row(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.dispatch.offer_outcomes([completed(lease, 1, attempt=2)])
    assert scene.mail(lease).outcomes == (completed(lease, 1, attempt=2),)
    assert scene.tasks() == []


@pytest.mark.rule("A8")
@pytest.mark.parametrize("state", ENDED)
def test_an_outcome_for_an_ended_run_is_ignored(scene: Scene, state: RunState) -> None:
    ended, live = scene.leased(tasks_set=(task(1),)), scene.leased()
    scene.claim_task(OTHER)
    scene.end(ended, state)
    outcomes = [completed(ended, 1), completed(Lease(uuid4(), 1), 1), completed(live, 1)]
    assert scene.dispatch.offer_outcomes(outcomes) == [Woken(live.run_id, OWNER)]
    assert scene.row(ended.run_id).state == state


@pytest.mark.rule("A8")
def test_an_outcome_for_a_run_that_was_leased_again_waits_for_its_new_owner(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.claim_task(OTHER)
    scene.release(lease, 0.0)
    (again,) = scene.claim(OTHER)
    assert scene.dispatch.offer_outcomes([completed(lease, 1)]) == [Woken(lease.run_id, OTHER)]
    assert scene.mail(again).outcomes == (completed(lease, 1),)


def test_an_outcome_makes_a_parked_run_due(scene: Scene) -> None:
    run_id = scene.parked(tasks_set=(task(1),))
    assert scene.dispatch.offer_outcomes([completed(Lease(run_id, 0), 1)]) == [Woken(run_id, None)]
    assert scene.claimed_ids(OTHER) == [run_id]


def test_two_outcomes_of_one_run_wake_it_once(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2)))
    assert scene.dispatch.offer_outcomes([completed(lease, 1), completed(lease, 2)]) == [
        Woken(lease.run_id, OWNER)
    ]


def test_an_outcome_offered_twice_is_in_the_mail_once(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    for _ in range(2):
        scene.dispatch.offer_outcomes([completed(lease, 1)])
    assert scene.mail(lease).outcomes == (completed(lease, 1),)


@pytest.mark.rule("A4")
def test_the_tasks_of_a_dead_worker_end_as_failed_attempts(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1, attempt=2), task(2)))
    scene.tasks(OTHER)
    scene.dispatch.assign_task(OTHER, [(lease.run_id, 1, 2)], WORKER)
    scene.dispatch.assign_task(OTHER, [(lease.run_id, 2, 1)], OTHER_WORKER)
    assert scene.dispatch.lose_tasks(OTHER, WORKER) == [Woken(lease.run_id, OWNER)]
    assert failures(scene, lease) == [(1, 2, "continuum.WorkerDied")]
    assert scene.load(lease).open_tasks == (2,)
    assert scene.dispatch.lose_tasks(OTHER, WORKER) == []


def test_a_claimer_loses_all_its_tasks_and_no_other_claimers(scene: Scene) -> None:
    one, two = (scene.leased(tasks_set=(task(1),)) for _ in range(2))
    assert scene.tasks(OTHER, limit=1) == [(one.run_id, 1, 1)]
    assert scene.tasks(OWNER) == [(two.run_id, 1, 1)]
    scene.dispatch.assign_task(OTHER, [(one.run_id, 1, 1)], WORKER)
    assert scene.dispatch.lose_tasks(OTHER, None) == [Woken(one.run_id, OWNER)]
    assert failures(scene, one) == [(1, 1, "continuum.WorkerDied")]
    assert scene.mail(two).outcomes == ()


def test_a_lost_task_makes_a_parked_run_due(scene: Scene) -> None:
    run_id = scene.parked(tasks_set=(task(1),))
    scene.claim_task(OTHER)
    assert scene.dispatch.lose_tasks(OTHER, None) == [Woken(run_id, None)]
    assert scene.claimed_ids(OTHER) == [run_id]


@pytest.mark.rule("A7")
def test_a_task_is_assigned_only_by_its_claimer_and_for_its_attempt(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1, attempt=2),))
    scene.claim_task(OTHER)
    scene.dispatch.assign_task(OWNER, [(lease.run_id, 1, 2)], WORKER)
    scene.dispatch.assign_task(OTHER, [(lease.run_id, 1, 1)], WORKER)
    assert scene.dispatch.lose_tasks(OTHER, WORKER) == []
    assert scene.load(lease).open_tasks == (1,)


def test_queued_and_finished_tasks_are_not_lost(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2, delay_s=HOUR_S)))
    scene.claim_task(OTHER)
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    scene.dispatch.retire([OTHER])
    assert scene.dispatch.lose_tasks(OTHER, None) == scene.dispatch.lose_orphans() == []
    assert scene.mail(lease).outcomes == (completed(lease, 1),)


@pytest.mark.rule("A4")
@pytest.mark.parametrize("why", ["expired", "retired"])
def test_the_tasks_of_a_claimer_that_is_not_live_become_lost(scene: Scene, why: str) -> None:
    orphaned, held = scene.leased(tasks_set=(task(1),)), scene.leased(tasks_set=(task(1),))
    scene.tasks(OTHER, limit=1)
    scene.tasks(OWNER, limit=1)
    assert scene.dispatch.lose_orphans() == []
    assert not scene.dispatch.next_due([]).lost
    if why == "expired":
        scene.expire(OTHER)
    else:
        scene.dispatch.retire([OTHER])
    assert scene.dispatch.next_due([]).lost
    scene.dispatch.lose_orphans()
    assert not scene.dispatch.next_due([]).lost
    assert failures(scene, orphaned) == [(1, 1, "continuum.WorkerDied")]
    assert scene.mail(held).outcomes == ()


def test_the_tasks_of_an_ended_run_are_neither_claimed_nor_lost(scene: Scene) -> None:
    running, queued = scene.leased(tasks_set=(task(1),)), scene.leased(tasks_set=(task(1),))
    scene.tasks(OTHER, limit=1)
    for lease in (running, queued):
        scene.catalog.cancel(lease.run_id, None)
    assert scene.dispatch.lose_tasks(OTHER, None) == []
    assert scene.tasks() == []
