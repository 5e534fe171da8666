"""How children are started, what they inherit, and how their ends reach their parent."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from continuum.model.events import Failure
from continuum.model.run import RunState
from continuum.ports.dispatch import Told, Woken
from continuum.ports.journal import Lease, Mail
from tests.integration.conformance.scene import (
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    child_of,
    seed,
    step,
)


@pytest.mark.rule("C1")
def test_a_child_is_inserted_due_with_the_commit_that_starts_it(scene: Scene) -> None:
    parent = scene.leased()
    started = child_of(parent, 1, workflow="shop.refund", args=b"its args", key="refund", version_hash="v1")
    assert scene.commit(step(parent, 0, 1, children_started=(started,))) == {parent.run_id}
    row = scene.row(started.id)
    assert (row.workflow, row.args, row.key, row.version_hash) == ("shop.refund", b"its args", "refund", "v1")
    assert (row.parent_run_id, row.correlation_id, row.state, row.owner) == (
        parent.run_id,
        started.id,
        "running",
        None,
    )
    (claimed,) = scene.dispatch.claim(OTHER, 10)
    assert (claimed.run_id, claimed.fresh, claimed.parent_run_id, claimed.depth) == (
        started.id,
        True,
        parent.run_id,
        1,
    )


@pytest.mark.rule("C1")
def test_a_commit_that_is_fenced_off_starts_no_child(scene: Scene) -> None:
    parent = scene.leased()
    for stale in (step(Lease(parent.run_id, parent.token + 1), 0, 1), step(parent, 5, 1)):
        stale.children_started = (child_of(parent),)
        assert scene.commit(stale) == set()
    assert scene.claim() == []


@pytest.mark.rule("C1")
def test_a_child_that_exists_is_not_started_again(scene: Scene) -> None:
    parent = scene.leased()
    first = child_of(parent, 1, args=b"first")
    assert scene.commit(step(parent, 0, 1, children_started=(first,)))
    child = scene.take(first.id)
    again = child_of(parent, 1, id=first.id, args=b"second")
    assert scene.commit(step(parent, 1, 1, children_started=(again,)))
    assert scene.row(first.id).args == b"first"
    assert scene.claim() == []
    scene.end(child)
    assert [end[0] for end in scene.ends(parent)] == [first.id]


@pytest.mark.rule("C1")
def test_a_run_of_somebody_else_with_the_id_of_a_child_is_left_alone(scene: Scene) -> None:
    parent, stranger = scene.leased(), scene.leased(OTHER)
    assert scene.commit(step(parent, 0, 1, children_started=(child_of(parent, 1, id=stranger.run_id),)))
    assert scene.row(stranger.run_id).parent_run_id is None
    scene.end(stranger)
    assert scene.ends(parent) == []


def test_a_child_starts_after_its_delay(scene: Scene) -> None:
    parent = scene.leased()
    scene.child(parent, None, delay_s=HOUR_S)
    assert scene.claim() == []
    run_in_s = scene.dispatch.next_due([]).run_in_s
    assert run_in_s is not None
    assert HOUR_S - 60 < run_in_s <= HOUR_S


@pytest.mark.rule("C3")
def test_a_child_inherits_namespace_and_attributes_as_they_are_at_its_start(scene: Scene) -> None:
    (inserted,) = scene.catalog.insert([seed(namespace="billing", attributes={"plan": "pro"})], owner=OWNER)
    assert inserted.token is not None
    parent = Lease(inserted.run_id, inserted.token)
    scene.catalog.set_attributes(parent.run_id, {"plan": "free", "tags": ["a"]})
    child = scene.child(parent, namespace="ignored", attributes={"plan": "none"})
    row = scene.row(child.run_id)
    assert (row.namespace, row.attributes) == ("billing", {"plan": "free", "tags": ["a"]})
    scene.catalog.set_attributes(parent.run_id, {"plan": "late"})
    assert scene.row(child.run_id).attributes["plan"] == "free"
    assert scene.row(scene.child(child).run_id).namespace == "billing"


@pytest.mark.rule("C4")
def test_an_owner_is_told_the_depth_of_a_run(scene: Scene) -> None:
    lease = scene.leased()
    for depth in range(1, 4):
        scene.child(lease, None)
        (claimed,) = scene.dispatch.claim(OWNER, 10)
        lease = Lease(claimed.run_id, claimed.token)
        assert claimed.depth == depth
        assert scene.load(lease).run.depth == depth


def test_a_child_may_have_a_correlation_id_of_its_own(scene: Scene) -> None:
    correlation = uuid4()
    child = scene.child(scene.leased(), correlation_id=correlation)
    assert scene.row(child.run_id).correlation_id == correlation


@pytest.mark.rule("C2")
def test_the_end_of_a_child_is_mail_for_its_parent(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent, OTHER)
    assert scene.mail(parent) == Mail(parent.run_id)
    assert scene.commit(step(child, 0, 1, "completed", result=b"42"))
    assert scene.ends(parent) == [(child.run_id, 1, "completed", b"42")]
    assert scene.load(parent).mail == scene.mail(parent)


@pytest.mark.rule("C2", "M2")
@pytest.mark.parametrize("reached", [True, False])
def test_the_owner_of_a_parent_that_is_reached_by_message_is_left_to_the_caller(
    scene: Scene, reached: bool
) -> None:
    parent = scene.leased()
    child = scene.child(parent, OTHER)
    told = Told(lambda owner: reached and owner == OWNER)
    assert scene.journal.commit([step(child, 0, 1, "completed", result=b"42")], False, told)
    assert told.woken == ([Woken(parent.run_id, OWNER)] if reached else [])
    assert len(scene.ends(parent)) == 1, "the database has it in any case"


@pytest.mark.rule("K3")
def test_the_journal_says_which_runs_have_ended_whoever_ended_them(scene: Scene) -> None:
    cancelled, done, live = scene.leased(), scene.leased(), scene.leased()
    scene.catalog.cancel(cancelled.run_id, None)
    scene.end(done)
    asked = [cancelled.run_id, done.run_id, live.run_id, uuid4()]
    assert scene.journal.ended(asked) == {cancelled.run_id, done.run_id}
    assert scene.journal.ended([]) == set()


@pytest.mark.rule("C5")
@pytest.mark.parametrize("type_name", ["CancelledError", "continuum.Cancelled", "asyncio.CancelledError"])
def test_a_child_that_failed_is_failed_whatever_its_error_is_called(scene: Scene, type_name: str) -> None:
    parent = scene.leased()
    child, error = scene.child(parent), msgspec.msgpack.encode(Failure(type_name, "its own"))
    assert scene.commit(step(child, 0, 0, "failed", error=error))
    assert scene.ends(parent) == [(child.run_id, 1, "failed", error)]


@pytest.mark.rule("C5")
def test_a_child_that_was_cancelled_is_cancelled(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.catalog.cancel(child.run_id, "enough")
    assert scene.ends(parent) == [(child.run_id, 1, "cancelled", b"")]


def test_ends_come_in_the_order_in_which_the_children_ended(scene: Scene) -> None:
    parent = scene.leased()
    children = [scene.child(parent) for _ in range(4)]
    order = [children[n] for n in (2, 0, 3, 1)]
    for child in order:
        scene.end(child)
    assert [end[0] for end in scene.ends(parent)] == [child.run_id for child in order]


@pytest.mark.rule("C2")
@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "by a client"])
def test_the_end_of_a_child_makes_a_parked_parent_due(scene: Scene, how: RunState | str) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.release(parent, None)
    assert scene.claim() == []
    if how == "by a client":
        scene.catalog.cancel(child.run_id, None)
    else:
        scene.end(child, how)  # type: ignore[arg-type]
    again = scene.take(parent.run_id, OTHER)
    assert [end[0] for end in scene.ends(again)] == [child.run_id]


@pytest.mark.rule("C2")
def test_a_parent_that_is_due_later_is_due_at_once_when_a_child_ends(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.release(parent, HOUR_S)
    scene.end(child)
    assert scene.claimed_ids() == [parent.run_id]


@pytest.mark.rule("C2")
def test_a_parent_that_is_given_back_with_an_unread_end_is_due_at_once(scene: Scene) -> None:
    parent = scene.leased()
    scene.end(scene.child(parent))
    scene.release(parent, None)
    assert scene.claimed_ids() == [parent.run_id]


def test_a_parent_that_has_seen_an_end_and_does_not_wait_for_it_stays_parked(scene: Scene) -> None:
    parent = scene.leased()
    one, two = scene.child(parent), scene.child(parent)
    scene.end(one)
    scene.release(parent, None, seen_children=(one.run_id,))
    assert scene.claim() == []
    scene.end(two)
    again = scene.take(parent.run_id)
    scene.release(again, None, seen_children=(one.run_id,))
    assert scene.claimed_ids() == [parent.run_id]


@pytest.mark.rule("C2", "B6")
def test_the_scan_finds_a_parent_with_an_unread_end(scene: Scene) -> None:
    parent, _ = scene.leased(), scene.leased()
    scene.end(scene.child(parent, OTHER))
    assert [run.run_id for run in scene.mailbox.unread([OWNER], 10)] == [parent.run_id]
    assert scene.mailbox.unread([OTHER], 10) == []


@pytest.mark.rule("C2")
def test_a_consumed_end_is_gone(scene: Scene) -> None:
    parent = scene.leased()
    one, two = scene.child(parent), scene.child(parent)
    for child in (one, two):
        scene.end(child)
    assert scene.commit(step(parent, 2, 1, children_consumed=(one.run_id,)))
    assert [end[0] for end in scene.ends(parent)] == [two.run_id]
    assert scene.commit(step(parent, 3, 1, children_consumed=(two.run_id, uuid4())))
    assert scene.mailbox.unread([OWNER], 10) == []
    scene.release(parent, None)
    assert scene.claim() == []


def test_a_stale_commit_consumes_no_end(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.end(child)
    assert scene.commit(step(parent, 9, 1, children_consumed=(child.run_id,))) == set()
    assert len(scene.ends(parent)) == 1


def test_nobody_consumes_the_end_of_another_parents_child(scene: Scene) -> None:
    parent, other = scene.leased(), scene.leased()
    child = scene.child(parent)
    scene.end(child)
    assert scene.commit(step(other, 0, 1, children_consumed=(child.run_id,)))
    assert len(scene.ends(parent)) == 1


@pytest.mark.rule("C2")
def test_children_run_on_when_their_parents_owner_dies_and_when_the_parent_ends(scene: Scene) -> None:
    parent = scene.leased()
    one, two = scene.child(parent, OTHER), scene.child(parent, OTHER)
    scene.dispatch.retire([OWNER])
    assert scene.commit(step(one, 0, 1)) == {one.run_id}
    again = scene.take(parent.run_id, OTHER)
    scene.end(one)
    scene.end(again)
    assert scene.commit(step(two, 0, 1)) == {two.run_id}
    scene.end(two)
    assert scene.row(two.run_id).state == "completed"
    assert scene.claim(OTHER) == []


def test_a_parent_and_its_child_may_end_in_one_batch(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    assert scene.commit(step(parent, 1, 1, "completed"), step(child, 0, 1, "completed")) == {
        parent.run_id,
        child.run_id,
    }
    assert scene.claim() == []


def test_a_run_that_ends_may_start_a_child_with_its_last_step(scene: Scene) -> None:
    parent = scene.leased()
    started = child_of(parent)
    assert scene.commit(step(parent, 0, 1, "completed", children_started=(started,)))
    child = scene.take(started.id)
    scene.end(child)
    assert scene.row(started.id).state == "completed"


@pytest.mark.rule("C6")
def test_a_commit_cancels_the_children_of_these_commands_and_below(scene: Scene) -> None:
    parent = scene.leased()
    doomed, spared = scene.child(parent, OTHER), scene.child(parent, OTHER)
    below = scene.child(doomed, None)
    assert scene.commit(step(parent, 2, 1, children_cancelled=(1,)))
    states = [scene.row(run.run_id).state for run in (parent, doomed, below, spared)]
    assert states == ["running", "cancelled", "cancelled", "running"]
    assert scene.ends(parent) == []
    assert scene.mailbox.unread([OWNER], 10) == []
    assert scene.commit(step(doomed, 1, 1)) == set()


@pytest.mark.rule("C6")
def test_a_child_may_be_started_and_cancelled_by_one_step(scene: Scene) -> None:
    parent = scene.leased()
    started = child_of(parent)
    assert scene.commit(step(parent, 0, 2, children_started=(started,), children_cancelled=(1,)))
    assert scene.row(started.id).state == "cancelled"
    assert (scene.claim(), scene.ends(parent)) == ([], [])


@pytest.mark.rule("C6")
def test_a_child_that_has_ended_is_not_cancelled_by_its_parent(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    scene.end(child)
    assert scene.commit(step(parent, 1, 1, children_cancelled=(1,)))
    assert scene.row(child.run_id).state == "completed"
    assert scene.ends(parent) == []


def test_a_stale_commit_cancels_no_child(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    assert scene.commit(step(parent, 9, 1, children_cancelled=(1,))) == set()
    assert scene.row(child.run_id).state == "running"


def test_steps_of_parents_and_of_their_children_share_a_batch(scene: Scene) -> None:
    one, two = scene.leased(), scene.leased()
    ended, doomed = scene.child(one), scene.child(two)
    batch = [
        step(two, 1, 1, children_cancelled=(1,)),
        step(ended, 0, 1, "completed", result=b"1"),
        step(doomed, 0, 1),
        step(one, 1, 1, children_started=(child_of(one, 2),)),
    ]
    assert scene.commit(*batch) == {run.run_id for run in (one, two, ended, doomed)}
    assert scene.ends(one) == [(ended.run_id, 1, "completed", b"1")]
    assert scene.row(doomed.run_id).state == "cancelled"
    assert scene.seqs(doomed.run_id) == [1]
