"""How a run is continued by another: one transaction that leaves nothing behind."""

from __future__ import annotations

import pytest

from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.ports.catalog import Ending
from continuum.ports.journal import CancelNote, Lease
from tests.integration.conformance.scene import (
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    completed,
    due_timer,
    far_timer,
    names,
    seed,
    step,
    task,
)


@pytest.mark.rule("N1")
def test_a_successor_is_inserted_leased_to_the_same_owner_under_the_same_token(scene: Scene) -> None:
    old = scene.leased()
    successor = seed(workflow="shop.next", args=b"next", version_hash="v2")
    assert scene.commit(step(old, 0, 1, "continued", successor=successor)) == {old.run_id}
    before, after = scene.row(old.run_id), scene.row(successor.id)
    assert (before.state, before.owner, before.continued_to_run_id) == ("continued", None, successor.id)
    assert before.completed_at is not None
    assert (after.state, after.owner, after.continued_from_run_id) == ("running", OWNER, old.run_id)
    assert (after.workflow, after.args, after.version_hash) == ("shop.next", b"next", "v2")
    assert after.started_at is not None
    new = Lease(successor.id, old.token)
    assert scene.seqs(new.run_id) == []
    assert scene.load(new).run.continued_from_run_id == old.run_id
    assert scene.claim(OTHER) == []
    assert scene.commit(step(new, 0, 1)) == {new.run_id}
    assert scene.commit(step(old, 1, 1)) == set()


@pytest.mark.rule("N1")
def test_a_continuation_whose_answer_was_lost_leaves_one_successor(scene: Scene) -> None:
    old, successor = scene.leased(), seed()
    again = step(old, 0, 1, "continued", successor=successor)
    assert scene.commit(again) == {old.run_id}
    assert scene.commit(again) == set()
    assert scene.row(old.run_id).continued_to_run_id == successor.id
    assert len(scene.journal.load([Lease(successor.id, old.token)])) == 1


@pytest.mark.rule("N1")
def test_a_fenced_off_continuation_inserts_no_successor(scene: Scene) -> None:
    old, successor = scene.leased(), seed()
    assert scene.commit(step(old, 3, 1, "continued", successor=successor)) == set()
    assert scene.catalog.get(successor.id) is None
    assert scene.row(old.run_id).state == "running"


@pytest.mark.rule("N1")
def test_a_successor_whose_id_exists_is_an_error_that_changes_nothing(scene: Scene) -> None:
    old, stranger, beside = (scene.leased() for _ in range(3))
    with pytest.raises(JournalError):
        scene.commit(step(beside, 0, 1), step(old, 0, 1, "continued", successor=seed(id=stranger.run_id)))
    assert (scene.row(old.run_id).state, scene.seqs(old.run_id), scene.seqs(beside.run_id)) == (
        "running",
        [],
        [],
    )


@pytest.mark.rule("N1")
def test_a_successor_of_a_dead_owner_is_claimed_by_another(scene: Scene) -> None:
    new = scene.succeed(scene.leased())
    scene.dispatch.retire([OWNER])
    (claimed,) = scene.dispatch.claim(OTHER, 10)
    assert (claimed.run_id, claimed.previous_owner) == (new.run_id, OWNER)


@pytest.mark.rule("N2")
def test_a_chain_keeps_its_root_namespace_attributes_and_parent(scene: Scene) -> None:
    (inserted,) = scene.catalog.insert([seed(namespace="billing", attributes={"n": 1})], owner=OWNER)
    assert inserted.token is not None
    root = scene.child(Lease(inserted.run_id, inserted.token))
    scene.catalog.set_attributes(root.run_id, {"n": 2})
    last = scene.succeed(scene.succeed(root))
    row, run = scene.row(last.run_id), scene.load(last).run
    assert (row.correlation_id, row.parent_run_id) == (root.run_id, inserted.run_id)
    assert (row.namespace, row.attributes, run.depth) == ("billing", {"n": 2}, 1)


@pytest.mark.rule("N2")
def test_a_cancel_that_was_noted_is_inherited(scene: Scene) -> None:
    old = scene.leased()
    scene.catalog.cancel(old.run_id, "why", cleanup_s=60.0)
    note = scene.mail(old).cancel
    new = scene.succeed(old)
    assert note is not None
    assert scene.mail(new).cancel == CancelNote(note.requested_at, 60.0, "why")


@pytest.mark.rule("N1", "S5")
def test_signals_move_to_the_successor_in_their_order(scene: Scene) -> None:
    old = scene.leased()
    scene.signal(old.run_id, "a", "b", "c")
    (read, *_) = scene.mail(old).signals
    new = scene.succeed(old, signals_consumed=(read.id,))
    assert names(scene.mail(new)) == ["b", "c"]
    scene.signal(old.run_id, "d")
    scene.signal(new.run_id, "e")
    assert names(scene.mail(new)) == ["b", "c", "d", "e"]


@pytest.mark.rule("S5", "S6")
def test_a_delivery_is_known_again_after_a_continuation(scene: Scene) -> None:
    old = scene.leased()
    for delivery in ("d1", "d2"):
        scene.catalog.signal(old.run_id, "a", b"", delivery)
    (read, _) = scene.mail(old).signals
    new = scene.succeed(old, signals_consumed=(read.id,))
    answers = [scene.catalog.signal(run.run_id, "a", b"", "d1")[0] for run in (old, new)]
    assert answers == ["duplicate", "duplicate"]
    assert scene.catalog.signal(old.run_id, "a", b"", "d2")[0] == "duplicate"
    assert len(scene.mail(new).signals) == 1


@pytest.mark.rule("S5")
def test_a_signal_to_any_run_of_a_chain_reaches_the_last(scene: Scene) -> None:
    chain = [scene.leased()]
    for _ in range(3):
        chain.append(scene.succeed(chain[-1]))
    for n, lease in enumerate(chain):
        scene.signal(lease.run_id, str(n))
    assert names(scene.mail(chain[-1])) == ["0", "1", "2", "3"]
    scene.end(chain[-1])
    assert scene.catalog.signal(chain[0].run_id, "late", b"", None) == ("terminal", "completed")


@pytest.mark.rule("N1")
def test_timers_and_tasks_of_the_old_run_are_gone(scene: Scene) -> None:
    old = scene.leased(timers_set=(due_timer(1), far_timer(2)), tasks_set=(task(3), task(4)))
    scene.dispatch.offer_outcomes([completed(old, 3)])
    new = scene.succeed(old)
    assert (scene.timers(), scene.tasks(), scene.mail(new).outcomes) == ([], [], ())


@pytest.mark.rule("W1")
def test_the_ending_of_any_run_of_a_chain_is_that_of_the_last(scene: Scene) -> None:
    first = scene.leased()
    last = scene.succeed(scene.succeed(first))
    assert scene.catalog.endings([first.run_id])[first.run_id].state == "running"
    assert scene.commit(step(last, 0, 0, "completed", result=b"42"))
    assert scene.catalog.endings([first.run_id]) == {
        first.run_id: Ending(last.run_id, "completed", b"42", None)
    }


@pytest.mark.rule("C3")
def test_a_parent_hears_of_the_end_of_the_chain_and_of_nothing_before(scene: Scene) -> None:
    parent = scene.leased()
    first = scene.child(parent, OTHER)
    second = scene.succeed(first)
    assert scene.ends(parent) == []
    scene.release(parent, None)
    assert scene.claim() == []
    assert scene.commit(step(second, 0, 0, "completed", result=b"42"))
    again = scene.take(parent.run_id)
    assert scene.ends(again) == [(second.run_id, 1, "completed", b"42")]
    assert scene.commit(step(again, 1, 1, children_consumed=(second.run_id,)))
    assert scene.ends(again) == []


@pytest.mark.rule("N1")
def test_living_children_move_to_the_successor(scene: Scene) -> None:
    old = scene.leased()
    living, unread, read = (scene.child(old, OTHER) for _ in range(3))
    for child in (unread, read):
        scene.end(child)
    scene.commit(step(old, 3, 1, children_consumed=(read.run_id,)))
    new = scene.succeed(old)
    parents = [scene.row(child.run_id).parent_run_id for child in (living, unread, read)]
    assert parents == [new.run_id, new.run_id, old.run_id]
    scene.end(living)
    assert scene.ends(new) == [], "the successor's journal does not know them"
    assert scene.mailbox.unread([OWNER], 10) == []


@pytest.mark.rule("N1", "K5")
def test_what_moved_to_a_successor_is_cancelled_with_it(scene: Scene) -> None:
    old = scene.leased()
    child = scene.child(old)
    ended = scene.child(old)
    left_behind = scene.child(ended)
    scene.end(ended)
    scene.commit(step(old, 2, 1, children_consumed=(ended.run_id,)))
    new = scene.succeed(scene.succeed(old))
    assert scene.catalog.cancel(old.run_id, None).outcome == "cancelled"
    states = [scene.row(run.run_id).state for run in (new, child, left_behind)]
    assert states == ["cancelled", "cancelled", "cancelled"]


@pytest.mark.rule("N1")
def test_a_child_that_is_started_with_the_continuation_moves_too(scene: Scene) -> None:
    old = scene.leased()
    started = seed(parent_run_id=old.run_id, parent_command=1)
    new = scene.succeed(old, children_started=(started,))
    assert scene.row(started.id).parent_run_id == new.run_id
    scene.catalog.cancel(new.run_id, None)
    assert scene.row(started.id).state == "cancelled"


def test_the_commands_of_the_old_journal_are_not_those_of_the_new(scene: Scene) -> None:
    old = scene.leased()
    moved = scene.child(old)
    new = scene.succeed(old)
    assert scene.commit(step(new, 0, 1, children_cancelled=(1,)))
    assert scene.row(moved.run_id).state == "running"


@pytest.mark.rule("N1")
def test_a_parent_and_its_child_may_be_continued_in_one_batch(scene: Scene) -> None:
    parent = scene.leased()
    child = scene.child(parent)
    next_parent, next_child = seed(), seed()
    batch = [
        step(parent, 1, 1, "continued", successor=next_parent),
        step(child, 0, 1, "continued", successor=next_child),
    ]
    assert scene.commit(*batch) == {parent.run_id, child.run_id}
    assert scene.row(next_child.id).parent_run_id == next_parent.id
    assert scene.catalog.cancel(parent.run_id, None).run_ids == (next_parent.id, next_child.id)


def test_events_stay_with_the_run_that_they_are_of(scene: Scene) -> None:
    old = scene.leased()
    scene.commit(step(old, 0, 2))
    new = scene.succeed(old)
    assert (scene.seqs(old.run_id), scene.seqs(new.run_id)) == ([1, 2, 3], [])
    assert all(isinstance(event, EventRow) for event in scene.catalog.events(old.run_id))


@pytest.mark.rule("N2", "L3")
def test_a_delay_of_a_seed_does_not_delay_a_successor(scene: Scene) -> None:
    old, successor = scene.leased(), seed(delay_s=HOUR_S)
    scene.commit(step(old, 0, 1, "continued", successor=successor))
    scene.dispatch.retire([OWNER])
    assert scene.claimed_ids(OTHER) == [successor.id]
