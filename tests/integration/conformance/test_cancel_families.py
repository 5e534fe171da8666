"""Cancelling whole families of runs, at once or after time to clean up."""

from __future__ import annotations

import msgspec
import pytest

from continuum.model.events import Failure
from continuum.ports.catalog import Cancelled
from continuum.ports.journal import Lease
from tests.integration.conformance.scene import (
    OTHER,
    OWNER,
    Scene,
    cancel_event,
    child_of,
    far_timer,
    step,
    task,
    until,
)

LONG_OVER_S = -60.0  # a time for clean-up that was over before the cancel came


def states(scene: Scene, *leases: Lease) -> set[str]:
    return {scene.row(lease.run_id).state for lease in leases}


@pytest.mark.rule("K1", "K5")
def test_a_cancel_ends_every_generation(scene: Scene) -> None:
    root = scene.leased()
    children = [scene.child(root, OTHER) for _ in range(2)]
    below = [scene.child(child, None) for child in children for _ in range(2)]
    bystander = scene.leased()
    answer = scene.catalog.cancel(root.run_id, "enough")
    first = sorted(child.run_id for child in children)
    second = sorted(child.run_id for child in below)
    assert answer == Cancelled("cancelled", "cancelled", (root.run_id, *first, *second))
    assert states(scene, root, *children, *below) == {"cancelled"}
    assert scene.row(bystander.run_id).state == "running"
    error = scene.row(below[0].run_id).error
    assert error is not None
    assert msgspec.msgpack.decode(error, type=Failure).message == "enough"


@pytest.mark.rule("K1")
def test_descendants_lose_leases_timers_tasks_and_signals(scene: Scene) -> None:
    root = scene.leased()
    child = scene.child(root, OTHER)
    scene.commit(step(child, 0, 0, timers_set=(far_timer(1),), tasks_set=(task(2),)))
    scene.signal(child.run_id, "a")
    scene.catalog.cancel(root.run_id, None)
    assert scene.row(child.run_id).owner is None
    assert (scene.timers(), scene.tasks(), scene.mailbox.unread([OTHER], 10)) == ([], [], [])
    assert scene.commit(step(child, 0, 1)) == set()
    assert scene.claim() == []


@pytest.mark.rule("K5")
def test_a_descendant_below_a_run_that_has_ended_is_cancelled(scene: Scene) -> None:
    root = scene.leased()
    child = scene.child(root)
    grandchild = scene.child(child)
    scene.end(child)
    scene.commit(step(root, 1, 1, children_consumed=(child.run_id,)))
    assert scene.catalog.cancel(root.run_id, None).run_ids == (root.run_id, grandchild.run_id)
    assert (states(scene, child), states(scene, grandchild)) == ({"completed"}, {"cancelled"})


@pytest.mark.rule("K5")
def test_a_cancel_follows_the_chains_of_descendants(scene: Scene) -> None:
    root = scene.leased()
    child = scene.succeed(scene.child(root))
    grandchild = scene.succeed(scene.child(child))
    last = scene.succeed(root)
    answer = scene.catalog.cancel(root.run_id, None)
    assert answer.run_ids == (last.run_id, child.run_id, grandchild.run_id)


@pytest.mark.rule("N5")
def test_a_cancelled_run_starts_no_child_and_has_no_successor(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, None)
    started = child_of(parent)
    assert scene.commit(step(parent, 0, 1, children_started=(started,))) == set()
    assert scene.commit(step(parent, 0, 1, "continued", successor=started)) == set()
    assert scene.catalog.get(started.id) is None


def test_a_cancel_of_a_child_spares_its_parent_and_its_siblings(scene: Scene) -> None:
    parent = scene.leased()
    one, two = scene.child(parent), scene.child(parent)
    assert scene.catalog.cancel(one.run_id, None).run_ids == (one.run_id,)
    assert states(scene, parent, two) == {"running"}


def test_a_run_that_has_ended_does_not_pass_a_cancel_on(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.end(parent)
    assert scene.catalog.cancel(parent.run_id, None) == Cancelled("terminal", "completed")
    assert scene.row(child.run_id).state == "running"


@pytest.mark.rule("K4")
def test_a_cancel_with_cleanup_is_mail_for_the_run_and_its_descendants(scene: Scene) -> None:
    root = scene.leased()
    child, ended = scene.child(root, OTHER), scene.child(root)
    scene.end(ended)
    beat = scene.dispatch.heartbeat(OWNER, 30.0)
    answer = scene.catalog.cancel(root.run_id, "late", cleanup_s=30.0)
    assert answer == Cancelled("requested", "running", (root.run_id, child.run_id))
    assert states(scene, root, child) == {"running"}
    note = scene.mail(root).cancel
    assert note is not None
    assert beat is not None
    assert (note.cleanup_s, note.reason) == (30.0, "late")
    assert beat.now <= note.requested_at < beat.now + 60.0
    assert scene.load(child).mail.cancel == note


@pytest.mark.rule("K4", "B6")
def test_a_noted_cancel_wakes_parked_runs(scene: Scene) -> None:
    root = scene.leased()
    child = scene.child(root)
    scene.commit(step(child, 0, 1))
    for lease in (root, child):
        scene.release(lease, None)
    assert scene.claim() == []
    scene.catalog.cancel(root.run_id, None, 30.0)
    assert sorted(scene.claimed_ids()) == sorted([root.run_id, child.run_id])


@pytest.mark.rule("K4", "B6")
def test_a_noted_cancel_is_found_by_the_scan_and_by_a_release_until_the_journal_has_it(scene: Scene) -> None:
    lease = scene.leased()
    scene.catalog.cancel(lease.run_id, None, 30.0)
    assert [run.run_id for run in scene.mailbox.unread([OWNER], 10)] == [lease.run_id]
    scene.release(lease, None)
    again = scene.take(lease.run_id)
    seen = step(again, 0, 1)
    seen.events = (cancel_event(1),)
    assert scene.commit(seen)
    assert scene.mailbox.unread([OWNER], 10) == []
    scene.release(again, None)
    assert scene.claim() == []


@pytest.mark.rule("K4")
@pytest.mark.parametrize(("first", "second", "kept"), [(10.0, 60.0, 10.0), (60.0, 10.0, 10.0)])
def test_of_two_notes_the_one_that_is_over_first_counts(
    scene: Scene, first: float, second: float, kept: float
) -> None:
    lease = scene.leased()
    for cleanup_s in (first, second):
        assert scene.catalog.cancel(lease.run_id, None, cleanup_s).outcome == "requested"
    note = scene.mail(lease).cancel
    assert note is not None
    assert note.cleanup_s == kept


@pytest.mark.rule("K5")
def test_a_child_that_is_started_before_the_parent_has_seen_the_cancel_gets_it_too(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, "why", 30.0)
    early = scene.child(parent)
    assert scene.mail(early).cancel == scene.mail(parent).cancel
    seen = step(parent, 1, 1)
    seen.events = (cancel_event(2),)
    assert scene.commit(seen)
    late = scene.child(parent)
    assert scene.mail(late).cancel is None


@pytest.mark.rule("K4", "K5")
def test_who_does_not_clean_up_in_time_is_cancelled_for_good_with_all_below(scene: Scene) -> None:
    root, spared = scene.leased(), scene.leased()
    child = scene.child(root, OTHER)
    scene.catalog.cancel(root.run_id, "late", LONG_OVER_S)
    unasked = scene.child(child)
    scene.catalog.cancel(spared.run_id, None, 60.0)
    assert (scene.dispatch.next_due([]).cancel_in_s or 0.0) < 0.0
    ended = scene.dispatch.end_overdue_cancels()
    assert set(ended) == {root.run_id, child.run_id, unasked.run_id}
    assert states(scene, root, child, unasked) == {"cancelled"}
    assert scene.row(spared.run_id).state == "running"
    error = scene.row(child.run_id).error
    assert error is not None
    assert msgspec.msgpack.decode(error, type=Failure).message == "late"
    assert scene.dispatch.end_overdue_cancels() == []


@pytest.mark.rule("K4")
def test_the_time_for_clean_up_has_no_margin(scene: Scene) -> None:
    over, lease = scene.leased(), scene.leased()
    scene.catalog.cancel(over.run_id, None, 0.0)
    scene.catalog.cancel(lease.run_id, None, 10.0)
    assert until(scene.dispatch.end_overdue_cancels) == [over.run_id]
    wait_s = scene.dispatch.next_due([]).cancel_in_s
    assert wait_s is not None
    assert 9.0 < wait_s <= 10.0


@pytest.mark.rule("K4", "N2")
def test_continuing_does_not_escape_the_end_of_the_time(scene: Scene) -> None:
    old = scene.leased()
    scene.catalog.cancel(old.run_id, None, LONG_OVER_S)
    new = scene.succeed(old)
    assert scene.dispatch.end_overdue_cancels() == [new.run_id]


def test_a_run_that_ended_by_itself_is_not_overdue(scene: Scene) -> None:
    lease = scene.leased()
    scene.catalog.cancel(lease.run_id, None, LONG_OVER_S)
    scene.end(lease, "cancelled")
    assert scene.dispatch.end_overdue_cancels() == []


def test_a_run_that_has_ended_is_not_asked_to_clean_up(scene: Scene) -> None:
    lease = scene.leased()
    scene.end(lease)
    assert scene.catalog.cancel(lease.run_id, None, 5.0) == Cancelled("terminal", "completed")


@pytest.mark.rule("C2", "K2")
def test_the_cancel_of_a_child_with_its_family_wakes_the_parent_once(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.child(child)
    scene.release(parent, None)
    scene.catalog.cancel(child.run_id, None)
    again = scene.take(parent.run_id)
    assert scene.ends(again) == [(child.run_id, 1, "cancelled", b"")]
