"""What people are told of a whole instance."""

from __future__ import annotations

from continuum.ports.overview import STUCK_MAX
from tests.integration.conformance.scene import HOUR_S, OTHER, OWNER, Scene, task


def test_an_instance_in_which_nothing_happens_has_its_owners_only(scene: Scene) -> None:
    seen = scene.catalog.overview()
    assert [(view.owner, view.node, view.address, view.runs, view.tasks) for view in seen.owners] == [
        (OWNER, "n1", "ipc://n1", 0, 0),
        (OTHER, "n2", "ipc://n2", 0, 0),
    ]
    assert all(0 < view.expires_in_s <= 30 for view in seen.owners)
    assert (seen.queues, seen.due, seen.oldest_s, seen.sleeping, seen.stuck) == ([], 0, None, 0, [])


def test_runs_are_counted_where_they_are(scene: Scene) -> None:
    for _ in range(3):
        scene.leased(OTHER)
    scene.insert()
    scene.insert(delay_s=HOUR_S)
    scene.parked()
    seen = scene.catalog.overview()
    assert {view.owner: view.runs for view in seen.owners} == {OWNER: 0, OTHER: 3}
    assert (seen.due, seen.sleeping) == (1, 1)
    assert seen.oldest_s is not None and 0 <= seen.oldest_s < HOUR_S


def test_a_dead_owner_is_listed_for_as_long_as_it_owns_something(scene: Scene) -> None:
    lease = scene.leased(OWNER)
    scene.expire(OWNER)
    scene.expire(OTHER)
    (dead,) = scene.catalog.overview().owners
    assert (dead.owner, dead.runs) == (OWNER, 1)
    assert dead.expires_in_s < 0
    scene.dispatch.register(OTHER, "n2", "", 30.0)
    assert scene.take(lease.run_id, OTHER).run_id == lease.run_id
    assert [view.owner for view in scene.catalog.overview().owners] == [OTHER]


def test_queues_say_what_waits_in_them_and_for_how_long(scene: Scene) -> None:
    scene.leased(tasks_set=(task(1), task(2), task(3, delay_s=HOUR_S), task(4, queue="gpu")))
    assert len(scene.dispatch.claim_tasks(OWNER, ["default"], 1)) == 1
    default, gpu = scene.catalog.overview().queues
    assert (default.queue, default.queued, default.due, default.running) == ("default", 2, 1, 1)
    assert default.oldest_s is not None and default.oldest_s >= 0
    assert (gpu.queue, gpu.queued, gpu.due, gpu.running) == ("gpu", 1, 1, 0)
    assert {view.owner: view.tasks for view in scene.catalog.overview().owners} == {OWNER: 1, OTHER: 0}


def test_all_runs_that_wait_for_a_person_are_counted_and_the_first_are_listed(scene: Scene) -> None:
    for _ in range(STUCK_MAX + 3):
        scene.release(scene.leased(), None, "its code has changed")
    seen = scene.catalog.overview()
    assert (len(seen.stuck), seen.stuck_count) == (STUCK_MAX, STUCK_MAX + 3)


def test_a_run_that_waits_for_a_person_is_stuck_until_it_ends(scene: Scene) -> None:
    lease, other = scene.leased(), scene.leased()
    scene.release(lease, HOUR_S, "its code has changed")
    scene.release(other, None, "it kills its engine")
    first, second = scene.catalog.overview().stuck
    assert (first.id, first.workflow, first.attention) == (
        lease.run_id,
        "shop.checkout",
        "its code has changed",
    )
    assert first.due_in_s is not None and 0 < first.due_in_s <= HOUR_S
    assert (second.id, second.due_in_s) == (other.run_id, None)
    assert scene.catalog.cancel(lease.run_id, None).outcome == "cancelled"
    assert [run.id for run in scene.catalog.overview().stuck] == [other.run_id]
