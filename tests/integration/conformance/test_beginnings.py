"""Runs that have not begun: they begin when they were to begin, and what came before is there for their first step."""

from __future__ import annotations

import pytest

from continuum.model.run import RunSeed
from continuum.ports.catalog import Cancelled
from continuum.ports.journal import Lease, Release, RunCommit
from tests.integration.conformance.scene import (
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    cancel_event,
    child_of,
    completed,
    names,
    seed,
    step,
    until,
)


def cleaning_up(parent: Lease, started: RunSeed) -> RunCommit:
    """Return the step in which the parent hears that it is cancelled, and starts a child."""
    heard = step(parent, children_started=(started,))
    heard.events = (cancel_event(1),)
    return heard


@pytest.mark.rule("S2")
def test_a_signal_does_not_begin_a_delayed_run(scene: Scene) -> None:
    run_id = scene.insert(delay_s=HOUR_S)
    scene.signal(run_id, "a", "b")
    assert scene.claim() == []
    due_in_s = scene.dispatch.next_due([]).run_in_s
    assert due_in_s is not None and HOUR_S - 60 < due_in_s <= HOUR_S


@pytest.mark.rule("S2", "S1")
def test_a_run_that_has_signals_before_it_begins_is_no_fresh_one(scene: Scene) -> None:
    run_id, alone = scene.insert(), scene.insert()
    scene.signal(run_id, "a", "b")
    claimed = {run.run_id: run for run in scene.dispatch.claim(OWNER, 10)}
    assert (claimed[run_id].fresh, claimed[alone].fresh) == (False, True)
    assert names(scene.load(Lease(run_id, claimed[run_id].token)).mail) == ["a", "b"]


@pytest.mark.rule("S2")
def test_a_notice_of_new_runs_tells_them_from_those_that_have_signals(scene: Scene) -> None:
    run_id = scene.insert()
    scene.signal(run_id, "a")
    (claimed,) = scene.dispatch.claim_due(OWNER, 10)
    assert (claimed.run_id, claimed.fresh) == (run_id, False)


def test_an_outcome_or_attributes_do_not_begin_a_delayed_run(scene: Scene) -> None:
    run_id = scene.insert(delay_s=HOUR_S)
    scene.dispatch.offer_outcomes([completed(Lease(run_id, 0), 1)])
    assert scene.catalog.set_attributes(run_id, {"a": 1})
    assert scene.claim() == []


def test_starting_it_again_does_not_begin_a_delayed_run(scene: Scene) -> None:
    run_id = scene.insert(delay_s=HOUR_S)
    scene.catalog.insert([seed(id=run_id)])
    assert scene.claim() == []


@pytest.mark.rule("B5", "K4")
@pytest.mark.parametrize("delay_s", [0.0, HOUR_S])
def test_a_run_that_has_not_begun_has_nothing_to_clean_up(scene: Scene, delay_s: float) -> None:
    run_id = scene.insert(delay_s=delay_s)
    assert scene.catalog.cancel(run_id, "why", 30.0) == Cancelled("cancelled", "cancelled", (run_id,))
    assert scene.row(run_id).state == "cancelled" and scene.claim() == []


@pytest.mark.rule("B5", "K2", "K4")
def test_of_a_family_that_is_to_clean_up_those_end_that_have_not_begun(scene: Scene) -> None:
    root = scene.leased()
    begun = scene.child(root)
    scene.commit(step(begun, 0, 1))
    waiting = scene.child(root, owner=None, delay_s=HOUR_S).run_id
    asked = scene.catalog.cancel(root.run_id, "why", 30.0)
    assert (asked.outcome, set(asked.run_ids)) == ("requested", {root.run_id, begun.run_id, waiting})
    assert [scene.row(run_id).state for run_id in (begun.run_id, waiting)] == ["running", "cancelled"]
    assert [end[0] for end in scene.ends(root)] == [waiting]


@pytest.mark.rule("B5", "K4")
def test_a_run_that_was_given_back_before_its_first_step_has_not_begun(scene: Scene) -> None:
    lease = scene.take(scene.insert())
    scene.journal.release([Release(lease.run_id, lease.token, 60.0, "no code", lacks_code=True)])
    assert scene.catalog.cancel(lease.run_id, None, 30.0).outcome == "cancelled"


@pytest.mark.rule("B5")
def test_a_child_that_is_started_beside_a_cancel_is_claimed_with_it(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, None, 30.0)
    started = child_of(parent)
    scene.commit(step(parent, 0, 1, children_started=(started,)))
    (claimed,) = scene.dispatch.claim(OTHER, 10)
    assert (claimed.run_id, claimed.fresh) == (started.id, False)
    assert scene.mail(Lease(started.id, claimed.token)).cancel is not None


@pytest.mark.rule("K4", "K5")
def test_what_is_started_in_a_clean_up_hears_nothing_and_ends_with_it(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, "why", 0.2)
    started = child_of(parent, 2)
    scene.commit(cleaning_up(parent, started))
    child = scene.take(started.id, OTHER)
    grandchild = scene.child(child)
    for lease in (child, grandchild):
        assert scene.mail(lease).cancel is None
    assert scene.mailbox.unread([OTHER, OWNER], 10) == []
    scene.end(parent, "cancelled")
    ended = until(scene.dispatch.end_overdue_cancels)
    assert set(ended) == {child.run_id, grandchild.run_id}


@pytest.mark.rule("K4")
def test_what_is_started_in_a_clean_up_may_be_asked_to_end_by_itself(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, "why", 30.0)
    started = child_of(parent, 2)
    scene.commit(cleaning_up(parent, started))
    child = scene.take(started.id)
    scene.commit(step(child, 0, 1))
    scene.catalog.cancel(child.run_id, "also", 60.0)
    note = scene.mail(child).cancel
    assert note is not None and note.cleanup_s == 30.0, "an earlier end stays"
    assert [run.run_id for run in scene.mailbox.unread([OWNER], 10)] == [child.run_id]


@pytest.mark.rule("K4", "N2")
def test_a_continuation_of_what_was_started_in_a_clean_up_hears_nothing_either(scene: Scene) -> None:
    parent = scene.leased()
    scene.catalog.cancel(parent.run_id, None, -1.0)
    started = child_of(parent, 2)
    scene.commit(cleaning_up(parent, started))
    new = scene.succeed(scene.take(started.id))
    assert scene.mail(new).cancel is None
    assert new.run_id in scene.dispatch.end_overdue_cancels()


@pytest.mark.rule("R11")
def test_a_run_begins_with_the_last_claim_before_its_first_event(scene: Scene) -> None:
    run_id = scene.insert()
    (first,) = scene.dispatch.claim(OWNER, 10)
    scene.release(Lease(run_id, first.token), 0.0)
    (second,) = scene.dispatch.claim(OTHER, 10)
    assert scene.row(run_id).created_at < first.begun_at < second.begun_at
    lease = Lease(run_id, second.token)
    assert scene.load(lease).run.begun_at == second.begun_at == scene.row(run_id).begun_at
    scene.commit(step(lease, 0, 1))
    scene.release(lease, 0.0)
    (third,) = scene.dispatch.claim_due(OWNER, 10)
    assert third.begun_at == second.begun_at == scene.load(Lease(run_id, third.token)).run.begun_at


@pytest.mark.rule("R11")
def test_a_run_that_is_leased_as_it_is_inserted_begins_then(scene: Scene) -> None:
    lease = scene.leased()
    assert scene.load(lease).run.begun_at == scene.row(lease.run_id).created_at


@pytest.mark.rule("D4")
@pytest.mark.parametrize("lacks_code", [False, True])
def test_no_signal_ends_the_pause_of_a_run_that_was_given_back_for_a_reason(
    scene: Scene, lacks_code: bool
) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 1))
    scene.journal.release([Release(lease.run_id, lease.token, HOUR_S, "drift", lacks_code=lacks_code)])
    scene.signal(lease.run_id, "a")
    scene.catalog.cancel(lease.run_id, None, 30.0)
    assert scene.claim() == [] and scene.dispatch.claim_due(OWNER, 10) == []


def test_a_run_that_paused_for_a_reason_is_claimed_by_anybody_afterwards(scene: Scene) -> None:
    lease = scene.leased()
    scene.journal.release([Release(lease.run_id, lease.token, 0.0, "drift")])
    assert scene.claimed_ids(OTHER) == [lease.run_id]
    assert scene.row(lease.run_id).attention == "drift"
