"""Timers and unread mail, as the timer and the router read them."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from continuum.model.retry import FAR_S
from continuum.ports.dispatch import Woken
from continuum.ports.journal import Mail, TimerRow
from continuum.ports.mailbox import DueTimer
from tests.integration.conformance.scene import (
    FAR_AWAY,
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    completed,
    due_timer,
    far_timer,
    step,
    task,
    until,
)


def test_timers_come_soonest_first_overdue_ones_too(scene: Scene) -> None:
    lease = scene.leased(
        timers_set=(
            TimerRow(1, delay_s=20.0),
            TimerRow(2, delay_s=10.0),
            due_timer(3),
            TimerRow(4, delay_s=HOUR_S),
        )
    )
    timers = scene.mailbox.timers_within(60.0, 10)
    assert [(timer.run_id, timer.seq) for timer in timers] == [(lease.run_id, seq) for seq in (3, 2, 1)]
    assert timers[0].in_s < 0 < timers[1].in_s <= 10.0 < timers[2].in_s <= 20.0


def test_no_more_timers_come_than_the_limit(scene: Scene) -> None:
    scene.leased(timers_set=tuple(TimerRow(seq, delay_s=float(seq)) for seq in range(1, 6)))
    assert [timer.seq for timer in scene.mailbox.timers_within(60.0, 3)] == [1, 2, 3]


@pytest.mark.rule("T1")
def test_a_timer_until_a_moment_is_due_at_that_moment(scene: Scene) -> None:
    lease = scene.leased(timers_set=(TimerRow(1, until=FAR_AWAY), due_timer(2)))
    beat = scene.dispatch.heartbeat(OWNER, 30.0)
    far = next(timer for timer in scene.mailbox.timers_within(1e10, 10) if timer.seq == 1)
    assert beat is not None
    assert far.in_s == pytest.approx(FAR_AWAY / 1e6 - beat.now, abs=60.0)
    assert scene.mail(lease).due_timers == (2,)


@pytest.mark.rule("T1")
def test_a_timer_is_as_far_as_a_duration_can_be(scene: Scene) -> None:
    last = 253_402_300_799_999_999  # the last microsecond of year 9999
    lease = scene.leased(timers_set=(TimerRow(1, delay_s=FAR_S), TimerRow(2, until=last), due_timer(3)))
    far = scene.mailbox.timers_within(1e12, 10)
    assert [timer.seq for timer in far[:2]] == [3, 1]
    assert far[1].in_s == pytest.approx(FAR_S, rel=1e-6)
    assert scene.mail(lease).due_timers == (3,)
    due, near = scene.mailbox.due_timers([(lease.run_id, 1), (lease.run_id, 2)])
    assert due == [] and {timer.seq for timer in near} == {1, 2}


@pytest.mark.rule("T1")
def test_what_begins_or_ends_as_late_as_can_be_waits_until_then(scene: Scene) -> None:
    run_id, lease = scene.insert(delay_s=FAR_S), scene.leased(tasks_set=(task(1, delay_s=FAR_S),))
    asked = scene.leased()
    scene.release(scene.leased(), FAR_S)
    scene.catalog.cancel(asked.run_id, None, cleanup_s=FAR_S)
    assert scene.claim() == [] and scene.tasks() == [] and scene.dispatch.end_overdue_cancels() == []
    due = scene.dispatch.next_due(["default"])
    for wait_s in (due.run_in_s, due.task_in_s, due.cancel_in_s):
        assert wait_s == pytest.approx(FAR_S, rel=1e-6)
    assert scene.row(run_id).state == "running" and scene.row(lease.run_id).state == "running"


@pytest.mark.rule("T1")
def test_a_timer_with_no_delay_is_due_after_its_commit(scene: Scene) -> None:
    lease = scene.leased(timers_set=(TimerRow(1, delay_s=0.0),))
    assert scene.mailbox.due_timers([(lease.run_id, 1)])[0] == [DueTimer(lease.run_id, 1, OWNER)]
    assert scene.mail(lease).due_timers == (1,)


def test_a_timer_that_is_set_again_has_the_new_time(scene: Scene) -> None:
    lease = scene.leased(timers_set=(far_timer(1),))
    scene.commit(step(lease, timers_set=(due_timer(1),)))
    assert scene.mail(lease).due_timers == (1,)
    assert len(scene.timers()) == 1


def test_due_timers_are_told_from_those_that_wait_and_those_that_are_gone(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1), far_timer(2), due_timer(3)))
    scene.commit(step(lease, timers_cleared=(3,)))
    due, near = scene.mailbox.due_timers([(lease.run_id, seq) for seq in (1, 2, 3, 4)] + [(uuid4(), 1)])
    assert due == [DueTimer(lease.run_id, 1, OWNER)]
    assert [(timer.run_id, timer.seq) for timer in near] == [(lease.run_id, 2)]
    assert HOUR_S - 60 < near[0].in_s <= HOUR_S


def test_only_the_timers_asked_for_are_returned(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1), due_timer(2)))
    assert [timer.seq for timer in scene.mailbox.due_timers([(lease.run_id, 2)])[0]] == [2]
    assert scene.mailbox.due_timers([]) == ([], [])


@pytest.mark.rule("L3")
def test_an_application_clock_that_is_wrong_fires_no_timer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + 2 * HOUR_S)
    lease = scene.leased(timers_set=(TimerRow(1, delay_s=60.0), due_timer(2)))
    monkeypatch.setattr(time, "time", lambda: wall() - 2 * HOUR_S)
    due, near = scene.mailbox.due_timers([(lease.run_id, 1), (lease.run_id, 2)])
    assert [timer.seq for timer in due] == [2]
    assert 30.0 < near[0].in_s <= 60.0


@pytest.mark.rule("T1")
def test_a_timer_wakes_a_parked_run_when_it_is_due_and_not_before(scene: Scene) -> None:
    run_id = scene.parked(timers_set=(TimerRow(1, delay_s=0.2), far_timer(2)))
    assert scene.claim(OTHER) == []
    due = until(lambda: scene.mailbox.due_timers([(run_id, 1), (run_id, 2)])[0])
    assert due == [DueTimer(run_id, 1, None)]
    (claimed,) = scene.claim(OTHER)
    assert scene.mail(claimed) == Mail(run_id, due_timers=(1,))


def test_a_timer_that_waits_wakes_nobody(scene: Scene) -> None:
    run_id = scene.parked(timers_set=(far_timer(1),))
    scene.mailbox.due_timers([(run_id, 1)])
    assert scene.claim(OTHER) == []


def test_a_due_timer_of_a_run_of_a_dead_owner_has_no_owner(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1),))
    scene.dispatch.retire([OWNER])
    assert scene.mailbox.due_timers([(lease.run_id, 1)])[0] == [DueTimer(lease.run_id, 1, None)]
    assert scene.claimed_ids(OTHER) == [lease.run_id]


@pytest.mark.rule("T3")
def test_a_timer_found_just_before_a_cancel_appends_nothing(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1),))
    assert len(scene.mailbox.due_timers([(lease.run_id, 1)])[0]) == 1
    scene.catalog.cancel(lease.run_id, None)
    assert scene.commit(step(lease, 0, 1, timers_cleared=(1,))) == set()
    assert scene.seqs(lease.run_id) == []
    assert scene.timers() == []
    assert scene.mailbox.due_timers([(lease.run_id, 1)]) == ([], [])


def test_unread_finds_the_runs_of_these_owners_that_have_mail(scene: Scene) -> None:
    signalled, answered, quiet = scene.leased(), scene.leased(tasks_set=(task(1),)), scene.leased()
    foreign = scene.leased(owner=OTHER)
    scene.signal(signalled.run_id, "a", "b")
    scene.signal(foreign.run_id, "a")
    scene.dispatch.offer_outcomes([completed(answered, 1)])
    found = scene.mailbox.unread([OWNER], 10)
    assert sorted(woken.run_id for woken in found) == sorted([signalled.run_id, answered.run_id])
    assert {woken.owner for woken in found} == {OWNER}
    assert quiet.run_id not in {woken.run_id for woken in found}
    assert len(scene.mailbox.unread([OWNER, OTHER], 10)) == 3
    assert len(scene.mailbox.unread([OWNER, OTHER], 2)) == 2
    assert scene.mailbox.unread([], 10) == []


def test_a_run_whose_mail_was_consumed_is_not_unread(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2)))
    scene.signal(lease.run_id, "a")
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    (signal,) = scene.mail(lease).signals
    scene.commit(step(lease, 0, 2, signals_consumed=(signal.id,), tasks_cleared=(1,)))
    assert scene.mailbox.unread([OWNER], 10) == []


def test_announcing_changes_no_row(scene: Scene) -> None:
    lease, parked = scene.leased(), scene.parked()
    scene.mailbox.announce_ended([lease.run_id, uuid4()])
    scene.mailbox.announce_mail([Woken(lease.run_id, OWNER), Woken(parked, None)])
    scene.mailbox.announce_ended([])
    scene.mailbox.announce_mail([])
    assert scene.row(lease.run_id).state == "running"
    assert scene.claim(OTHER) == []
