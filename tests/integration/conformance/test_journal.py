"""What a commit writes, what fences it, and what an owner reads of its runs."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from continuum.model.run import RunState
from continuum.ports.journal import Lease, Mail, SignalRow, TimerRow
from tests.integration.conformance.scene import (
    ENDED,
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    completed,
    due_timer,
    events,
    far_timer,
    ids,
    step,
    task,
)


def test_a_commit_appends_its_events_in_order(scene: Scene) -> None:
    lease = scene.leased()
    assert scene.commit(step(lease, 0, 2)) == {lease.run_id}
    assert scene.commit(step(lease, 2, 3)) == {lease.run_id}
    stored = scene.catalog.events(lease.run_id)
    assert [(row.seq, row.kind, row.payload) for row in stored] == [
        (row.seq, row.kind, row.payload) for row in events(1, 5)
    ]


@pytest.mark.rule("L3")
def test_an_event_carries_the_time_of_the_database(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + HOUR_S)
    lease = scene.leased()
    before = scene.dispatch.heartbeat(OWNER, 30.0)
    scene.commit(step(lease, 0, 1))
    after = scene.dispatch.heartbeat(OWNER, 30.0)
    (event,) = scene.catalog.events(lease.run_id)
    assert before is not None
    assert after is not None
    assert before.now <= event.inserted_at <= after.now


def test_a_batch_writes_many_runs_at_once(scene: Scene) -> None:
    leases = [scene.leased() for _ in range(5)]
    steps = [step(lease, 0, n) for n, lease in enumerate(leases)]
    assert scene.commit(*steps) == {lease.run_id for lease in leases}
    assert [scene.seqs(lease.run_id) for lease in leases] == [list(range(1, n + 1)) for n in range(5)]


def test_an_empty_batch_writes_nothing(scene: Scene) -> None:
    assert scene.commit() == set()


@pytest.mark.rule("L1")
def test_a_commit_with_another_token_is_left_out(scene: Scene) -> None:
    lease = scene.leased()
    for token in (lease.token - 1, lease.token + 1):
        assert scene.commit(step(Lease(lease.run_id, token), 0, 1)) == set()
    assert scene.seqs(lease.run_id) == []


@pytest.mark.rule("L1")
def test_an_owner_whose_run_was_claimed_by_another_is_fenced(scene: Scene) -> None:
    stale = scene.leased()
    scene.dispatch.retire([OWNER])
    (lease,) = scene.claim(OTHER)
    assert lease.run_id == stale.run_id
    assert lease.token > stale.token
    assert scene.commit(step(stale, 0, 1)) == set()
    assert scene.commit(step(lease, 0, 1)) == {lease.run_id}


@pytest.mark.rule("L1")
def test_a_lease_that_was_given_back_is_fenced(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, None)
    assert scene.commit(step(lease, 0, 1)) == set()
    assert scene.seqs(lease.run_id) == []


@pytest.mark.rule("L1")
def test_an_unknown_run_is_left_out(scene: Scene) -> None:
    assert scene.commit(step(Lease(uuid4(), 1), 0, 1)) == set()


@pytest.mark.rule("L1")
def test_a_commit_asked_for_twice_is_written_once(scene: Scene) -> None:
    lease = scene.leased()
    again = step(lease, 0, 2, timers_set=(far_timer(2),))
    assert scene.commit(again) == {lease.run_id}
    scene.commit(step(lease, 2, 1, timers_cleared=(2,)))
    assert scene.commit(again) == set()
    assert scene.seqs(lease.run_id) == [1, 2, 3]
    assert scene.timers() == []


@pytest.mark.rule("L1")
def test_a_commit_that_skips_events_is_left_out(scene: Scene) -> None:
    lease = scene.leased()
    assert scene.commit(step(lease, 3, 1)) == set()
    assert scene.seqs(lease.run_id) == []


@pytest.mark.rule("L1")
def test_a_stale_step_changes_nothing_at_all_beside_a_good_one(scene: Scene) -> None:
    good, stale = scene.leased(), scene.leased(tasks_set=(task(2),), timers_set=(far_timer(3),))
    scene.signal(stale.run_id, "approved")
    (signal,) = scene.mail(stale).signals
    rows = {
        "timers_set": (due_timer(1),),
        "timers_cleared": (3,),
        "signals_consumed": (signal.id,),
        "tasks_set": (task(4),),
        "tasks_cleared": (2,),
    }
    old = step(Lease(stale.run_id, stale.token - 1), 0, 1, "completed", result=b"wrong", **rows)  # type: ignore[arg-type]
    missing = step(Lease(uuid4(), good.token), 0, 1)
    assert scene.commit(old, step(good, 0, 1), missing) == {good.run_id}
    assert scene.seqs(good.run_id) == [1]
    assert scene.seqs(stale.run_id) == []
    assert scene.timer_keys() == [(stale.run_id, 3)]
    assert scene.tasks() == [(stale.run_id, 2, 1)]
    assert scene.mail(stale) == Mail(stale.run_id, signals=(signal,))
    assert (scene.row(stale.run_id).state, scene.row(stale.run_id).result) == ("running", None)


@pytest.mark.rule("R7")
@pytest.mark.parametrize("state", ENDED)
def test_an_ended_run_takes_no_other_state(scene: Scene, state: RunState) -> None:
    lease = scene.leased()
    scene.end(lease, state)
    for late in ("failed", "suspended", "running"):
        assert scene.commit(step(lease, 0, 1, late, error=b"late")) == set()
    scene.release(lease, 0.0)
    row = scene.row(lease.run_id)
    assert (row.state, row.error) == (state, None)


@pytest.mark.rule("R7")
def test_a_commit_after_a_cancel_changes_nothing(scene: Scene) -> None:
    lease = scene.leased()
    scene.catalog.cancel(lease.run_id, None)
    assert scene.commit(step(lease, 0, 1, "completed", result=b"late", timers_set=(far_timer(1),))) == set()
    assert (scene.row(lease.run_id).state, scene.row(lease.run_id).result) == ("cancelled", None)
    assert scene.seqs(lease.run_id) == []
    assert scene.timers() == []


def test_a_completed_run_has_its_result_and_its_last_events(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 2, "completed", result=b"42"))
    row = scene.row(lease.run_id)
    assert (row.state, row.result, row.error) == ("completed", b"42", None)
    assert row.completed_at is not None
    assert row.completed_at >= row.created_at
    assert scene.seqs(lease.run_id) == [1, 2]


def test_a_failed_run_has_its_error(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, state="failed", error=b"why"))
    assert (scene.row(lease.run_id).state, scene.row(lease.run_id).error) == ("failed", b"why")


@pytest.mark.parametrize("state", ENDED)
def test_the_end_of_a_run_clears_its_lease_timers_tasks_and_mail(scene: Scene, state: RunState) -> None:
    lease = scene.leased(
        timers_set=(due_timer(1), far_timer(2)), tasks_set=(task(3), task(4, delay_s=HOUR_S))
    )
    other = scene.leased(timers_set=(far_timer(1),))
    scene.signal(lease.run_id, "approved")
    scene.dispatch.offer_outcomes([completed(lease, 3)])
    scene.end(lease, state)
    assert scene.row(lease.run_id).owner is None
    assert scene.timer_keys() == [(other.run_id, 1)]
    assert scene.dispatch.next_due(["default"]).task_in_s is None
    assert scene.mailbox.unread([OWNER], 10) == []
    assert scene.journal.mail([lease]) == []
    assert scene.journal.load([lease]) == []
    assert scene.claim(OTHER) == []


def test_a_last_step_that_sets_timers_and_tasks_leaves_none(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 1, "failed", error=b"why", timers_set=(far_timer(1),), tasks_set=(task(1),)))
    assert scene.timers() == []
    assert scene.tasks() == []


def test_a_step_clears_only_the_timers_it_names(scene: Scene) -> None:
    one, two = (scene.leased(timers_set=(far_timer(1), far_timer(2))) for _ in range(2))
    scene.commit(step(one, timers_cleared=(1, 7)))
    assert sorted(scene.timer_keys()) == sorted([(one.run_id, 2), (two.run_id, 1), (two.run_id, 2)])


@pytest.mark.rule("T5")
def test_a_timer_is_gone_with_the_commit_of_what_cancelled_it(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1),))
    scene.commit(step(lease, 0, 1, timers_cleared=(1,)))
    assert scene.timers() == []
    assert scene.mailbox.due_timers([(lease.run_id, 1)]) == ([], [])
    assert scene.mail(lease).due_timers == ()


@pytest.mark.rule("T1", "L3")
def test_a_delay_counts_from_the_commit_in_database_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() - 60.0)
    lease = scene.leased(timers_set=(TimerRow(1, delay_s=30.0),))
    (timer,) = scene.timers()
    assert 25.0 < timer.in_s <= 30.0
    assert scene.mail(lease).due_timers == ()


def test_a_task_replaces_the_row_of_the_same_seq(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.claim_task()
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    scene.commit(step(lease, 0, 1, tasks_set=(task(1, attempt=2),)))
    assert scene.mail(lease).outcomes == ()
    assert scene.tasks() == [(lease.run_id, 1, 2)]


def test_a_cleared_task_is_not_claimed_and_its_outcome_is_read(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2)))
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    scene.commit(step(lease, tasks_cleared=(1, 2)))
    assert scene.tasks() == []
    assert scene.mail(lease) == Mail(lease.run_id)


@pytest.mark.rule("S1")
def test_mail_has_the_signals_in_order_of_arrival(scene: Scene) -> None:
    lease = scene.leased()
    scene.signal(lease.run_id, "b", "a", "b", "c")
    signals = scene.mail(lease).signals
    assert [(signal.name, signal.payload) for signal in signals] == [
        ("b", b"b"),
        ("a", b"a"),
        ("b", b"b"),
        ("c", b"c"),
    ]
    assert [signal.id for signal in signals] == sorted(signal.id for signal in signals)


@pytest.mark.rule("S1")
def test_a_consumed_signal_is_not_read_again(scene: Scene) -> None:
    lease = scene.leased()
    scene.signal(lease.run_id, "a", "b", "c")
    first, second, third = scene.mail(lease).signals
    scene.commit(step(lease, 0, 1, signals_consumed=(second.id,)))
    assert scene.mail(lease).signals == (first, third)


def test_a_step_consumes_no_signal_of_another_run(scene: Scene) -> None:
    one, two = scene.leased(), scene.leased()
    scene.signal(two.run_id, "a")
    (signal,) = scene.mail(two).signals
    scene.commit(step(one, 0, 1, signals_consumed=(signal.id,)))
    assert scene.mail(two).signals == (signal,)


def test_mail_has_outcomes_and_the_due_timers_by_seq(scene: Scene) -> None:
    lease = scene.leased(
        timers_set=(due_timer(9), far_timer(5), due_timer(3)), tasks_set=(task(1), task(2), task(4))
    )
    scene.dispatch.offer_outcomes([completed(lease, 2)])
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    mail = scene.mail(lease)
    assert {outcome.seq: outcome for outcome in mail.outcomes} == {
        1: completed(lease, 1),
        2: completed(lease, 2),
    }
    assert mail.due_timers == (3, 9)


def test_mail_of_a_quiet_run_is_empty_and_that_of_a_lost_one_is_missing(scene: Scene) -> None:
    held, cancelled = scene.leased(), scene.leased()
    scene.catalog.cancel(cancelled.run_id, None)
    stale, unknown = Lease(held.run_id, held.token - 1), Lease(uuid4(), 1)
    assert scene.journal.mail([cancelled, stale, held, unknown]) == [Mail(held.run_id)]
    assert scene.journal.mail([]) == []


def test_load_returns_history_mail_and_open_tasks(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(2),), tasks_set=(task(1), task(3), task(4, delay_s=HOUR_S)))
    scene.commit(step(lease, 0, 4))
    scene.signal(lease.run_id, "approved")
    scene.dispatch.offer_outcomes([completed(lease, 3)])
    loaded = scene.load(lease)
    assert [event.seq for event in loaded.events] == [1, 2, 3, 4]
    assert list(loaded.events) == scene.catalog.events(lease.run_id)
    assert loaded.mail == scene.mail(lease)
    assert loaded.open_tasks == (1, 4)


def test_a_running_task_is_open(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.claim_task()
    assert scene.load(lease).open_tasks == (1,)


def test_load_describes_the_run(scene: Scene) -> None:
    root, parent, before = uuid4(), uuid4(), uuid4()
    run_id = scene.insert(
        workflow="shop.refund",
        args=b"payload",
        version_hash="abc",
        namespace="billing",
        correlation_id=root,
        parent_run_id=parent,
        continued_from_run_id=before,
    )
    (claimed,) = scene.dispatch.claim(OWNER, 1)
    run = scene.load(Lease(run_id, claimed.token)).run
    assert (run.run_id, run.token, run.workflow, run.args) == (
        run_id,
        claimed.token,
        "shop.refund",
        b"payload",
    )
    assert (run.version_hash, run.namespace, run.correlation_id) == ("abc", "billing", root)
    assert (run.parent_run_id, run.continued_from_run_id) == (parent, before)
    assert run.begun_at == claimed.begun_at == scene.row(run_id).begun_at


def test_load_keeps_the_histories_of_many_runs_apart(scene: Scene) -> None:
    leases = [scene.leased() for _ in range(4)]
    scene.commit(*(step(lease, 0, n) for n, lease in enumerate(leases)))
    lengths = {loaded.run.run_id: len(loaded.events) for loaded in scene.journal.load(leases)}
    assert lengths == {lease.run_id: n for n, lease in enumerate(leases)}


def test_load_leaves_out_what_is_not_held(scene: Scene) -> None:
    held, ended, released = scene.leased(), scene.leased(), scene.leased()
    scene.end(ended)
    scene.release(released, None)
    stale = Lease(held.run_id, held.token - 1)
    assert ids(scene.journal.load([ended, released, stale, Lease(uuid4(), 1)])) == set()
    assert ids(scene.journal.load([held, ended, released])) == {held.run_id}


def test_leases_since_a_token_are_the_live_ones_of_that_owner(scene: Scene) -> None:
    first, second, third, ended = (scene.leased() for _ in range(4))
    scene.leased(owner=OTHER)
    scene.end(ended)
    assert set(scene.journal.leased_since(OWNER, 0)) == {first, second, third}
    assert set(scene.journal.leased_since(OWNER, first.token)) == {second, third}
    assert scene.journal.leased_since(OWNER, ended.token) == []


def test_a_signal_row_has_the_id_by_which_it_is_consumed(scene: Scene) -> None:
    lease = scene.leased()
    scene.signal(lease.run_id, "approved")
    (signal,) = scene.load(lease).mail.signals
    assert signal == SignalRow(signal.id, "approved", b"approved")
    scene.commit(step(lease, signals_consumed=(signal.id,)))
    assert scene.mail(lease) == Mail(lease.run_id)
