"""Attempts in task rows: their kept results and heartbeats, as the dispatcher handles them (A10, A11)."""

from __future__ import annotations

import pytest

from continuum.model import payload
from continuum.model.events import ActivityScheduled, to_row
from continuum.ports.journal import KeptResult, Lease, ResultKey, RunCommit, TaskRow
from continuum.wire.messages import Finished, Heartbeat
from tests.unit.dispatcher_scene import Scene, executed

NAME = ResultKey("a", "order-1")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def queued(scene: Scene) -> Lease:
    """A run of another node with one task that has an idempotency key."""
    scene.stage.insert()
    (lease,) = scene.stage.claim(scene.stage.owner(node="elsewhere"))
    row = TaskRow(1, 1, "a", payload.encode([[], {}]), "default", 0.0, None, "order-1", 9.0, b"before")
    event = to_row(1, ActivityScheduled("a", b""))
    commit = RunCommit(lease.run_id, lease.token, 0, [event], "running", tasks_set=[row])
    assert scene.store.journal.commit([commit])
    return lease


@pytest.mark.rule("A10")
def test_a_task_whose_result_is_kept_already_reaches_no_worker(scene: Scene) -> None:
    lease = queued(scene)
    scene.store.journal.keep([KeptResult(lease.run_id, lease.token, 1, NAME, b"kept")])
    worker = scene.worker()
    assert executed(worker) == []
    (mail,) = scene.store.journal.mail([lease])
    assert [(outcome.ok, outcome.payload) for outcome in mail.outcomes] == [(True, b"kept")]


@pytest.mark.rule("A10", "A12")
@pytest.mark.parametrize("operation", ["results", "results:after", "offer_outcomes", "offer_outcomes:after"])
def test_an_outage_between_claim_and_look_up_loses_no_task(scene: Scene, operation: str) -> None:
    lease = queued(scene)
    scene.store.journal.keep([KeptResult(lease.run_id, lease.token, 1, NAME, b"kept")])
    scene.stage.break_database(operation)
    worker = scene.worker()
    scene.stage.mend_database()
    scene.stage.advance(10)
    assert executed(worker) == []
    (mail,) = scene.store.journal.mail([lease])
    assert [outcome.payload for outcome in mail.outcomes] == [b"kept"]


@pytest.mark.rule("A11", "A4")
def test_what_a_lost_task_said_last_is_in_its_outcome(scene: Scene) -> None:
    lease = queued(scene)
    worker = scene.worker()
    (task,) = executed(worker)
    assert (task.heartbeat_timeout_s, task.last_heartbeat) == (9.0, b"before")
    worker.send("dispatcher", Heartbeat([(task.key, b"near")]))
    worker.send("dispatcher", Heartbeat([(task.key, b"far"), ((b"x" * 16, 1, 1), b"not ours")]))
    scene.stage.settle()
    scene.stage.kill("worker-1")
    scene.stage.settle()
    (mail,) = scene.store.journal.mail([lease])
    assert [(outcome.ok, outcome.details) for outcome in mail.outcomes] == [(False, b"far")]


@pytest.mark.rule("A11")
def test_the_details_of_a_failed_task_are_in_its_outcome(scene: Scene) -> None:
    lease = queued(scene)
    worker = scene.worker()
    (task,) = executed(worker)
    worker.send("dispatcher", Finished(*task.key, False, b"failure", details=b"far"))
    scene.stage.settle()
    (mail,) = scene.store.journal.mail([lease])
    assert [outcome.details for outcome in mail.outcomes] == [b"far"]
