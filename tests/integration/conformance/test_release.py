"""How a lease is given back: at once, later, or until something wakes the run."""

from __future__ import annotations

import pytest

from continuum.ports.journal import Lease, Release
from tests.integration.conformance.scene import (
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    completed,
    due_timer,
    far_timer,
    names,
    step,
    task,
)


@pytest.mark.rule("L7")
def test_a_run_given_back_as_due_is_claimed_at_once_by_another(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, 0.0)
    row = scene.row(lease.run_id)
    assert (row.state, row.owner) == ("running", None)
    (claimed,) = scene.claim(OTHER)
    assert claimed.run_id == lease.run_id
    assert claimed.token > lease.token


@pytest.mark.rule("L7")
def test_many_leases_are_given_back_in_one_call(scene: Scene) -> None:
    leases = [scene.leased() for _ in range(5)]
    scene.journal.release([Release(lease.run_id, lease.token, 0.0) for lease in leases])
    assert set(scene.claimed_ids(OTHER)) == {lease.run_id for lease in leases}


@pytest.mark.parametrize("due_in_s", [None, HOUR_S])
def test_a_run_given_back_for_later_is_suspended_and_not_claimed(
    scene: Scene, due_in_s: float | None
) -> None:
    lease = scene.leased(timers_set=(far_timer(1),), tasks_set=(task(2),))
    scene.release(lease, due_in_s)
    row = scene.row(lease.run_id)
    assert (row.state, row.owner) == ("suspended", None)
    assert scene.claim(OTHER) == []
    assert scene.timer_keys() == [(lease.run_id, 1)], "timers outlive the lease"


@pytest.mark.parametrize("due_in_s", [None, HOUR_S])
def test_a_run_with_an_unread_signal_is_due_at_once(scene: Scene, due_in_s: float | None) -> None:
    lease = scene.leased()
    scene.signal(lease.run_id, "approved")
    scene.release(lease, due_in_s)
    assert scene.row(lease.run_id).state == "running"
    (claimed,) = scene.claim(OTHER)
    assert names(scene.mail(claimed)) == ["approved"]


def test_a_signal_that_the_owner_has_seen_and_does_not_wait_for_wakes_nobody(scene: Scene) -> None:
    lease = scene.leased()
    scene.signal(lease.run_id, "later")
    (seen,) = scene.mail(lease).signals
    scene.release(lease, None, seen=(seen.id,))
    assert scene.claim(OTHER) == []
    scene.signal(lease.run_id, "now")
    assert scene.claimed_ids(OTHER) == [lease.run_id]


def test_a_run_that_is_given_back_for_a_reason_keeps_its_back_off_whatever_mail_it_has(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1),))
    scene.signal(lease.run_id, "approved")
    scene.release(lease, HOUR_S, "its code is not loaded here")
    assert scene.claim(OTHER) == []


def test_a_run_with_an_unread_outcome_is_due_at_once(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    scene.release(lease, None)
    (claimed,) = scene.claim(OTHER)
    assert scene.mail(claimed).outcomes == (completed(lease, 1),)


def test_a_run_with_a_due_timer_is_due_at_once(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1), far_timer(2)))
    scene.release(lease, None)
    assert scene.claimed_ids(OTHER) == [lease.run_id]


def test_mail_that_was_consumed_before_the_release_wakes_nobody(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),), timers_set=(due_timer(2),))
    scene.signal(lease.run_id, "approved")
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    (signal,) = scene.mail(lease).signals
    scene.commit(step(lease, 0, 2, signals_consumed=(signal.id,), tasks_cleared=(1,), timers_cleared=(2,)))
    scene.release(lease, None)
    assert scene.claim(OTHER) == []


@pytest.mark.rule("L1")
def test_a_stale_release_is_ignored(scene: Scene) -> None:
    stale, bystander = scene.leased(), scene.leased()
    scene.dispatch.retire([OWNER])
    held = {lease.run_id: lease for lease in scene.claim(OTHER)}
    scene.release(stale, None, "too late")
    scene.release(Lease(bystander.run_id, bystander.token + 1000), None, "wrong")
    for run_id, lease in held.items():
        row = scene.row(run_id)
        assert (row.state, row.owner, row.attention) == ("running", OTHER, None)
        assert scene.commit(step(lease, 0, 1)) == {run_id}


def test_a_stale_release_does_not_keep_back_the_good_ones(scene: Scene) -> None:
    good, ended = scene.leased(), scene.leased()
    scene.end(ended)
    scene.journal.release([Release(ended.run_id, ended.token, 0.0), Release(good.run_id, good.token, 0.0)])
    assert scene.claimed_ids(OTHER) == [good.run_id]
    assert scene.row(ended.run_id).state == "completed"


def test_attention_says_why_a_run_was_parked_until_a_release_clears_it(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, 0.0, "its code is not loaded here")
    assert scene.row(lease.run_id).attention == "its code is not loaded here"
    (again,) = scene.claim(OTHER)
    scene.release(again, None)
    assert scene.row(lease.run_id).attention is None


@pytest.mark.rule("S1")
def test_a_signal_wakes_a_parked_run(scene: Scene) -> None:
    run_id = scene.parked()
    assert scene.claim(OTHER) == []
    scene.signal(run_id, "approved")
    (claimed,) = scene.claim(OTHER)
    assert claimed.run_id == run_id
    assert names(scene.mail(claimed)) == ["approved"]
    assert scene.row(run_id).state == "running"


def test_a_signal_makes_a_run_due_that_was_due_later(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, HOUR_S)
    scene.signal(lease.run_id, "approved")
    assert scene.claimed_ids(OTHER) == [lease.run_id]
