"""Owners and their liveness, and which runs a dispatcher gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

import msgspec
import pytest

from continuum.model.run import RunState
from continuum.ports.dispatch import Due
from continuum.ports.journal import Lease, Release
from tests.integration.conformance.scene import (
    ENDED,
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    Store,
    at_once,
    due_timer,
    step,
    until,
)

STRANGER = "n9/default/engine-1/b9-1"


def test_registering_and_renewing_answer_with_the_time_of_the_database(scene: Scene) -> None:
    times = [scene.dispatch.register(OWNER, "n1", "ipc://n1", 30.0) for _ in range(2)]
    beat = scene.dispatch.heartbeat(OWNER, 30.0)
    assert beat is not None
    times.append(beat.now)
    assert times == sorted(times)
    created_at = scene.row(scene.insert()).created_at
    assert times[-1] <= created_at < times[-1] + 60.0


def test_an_owner_that_was_never_registered_has_no_heartbeat(scene: Scene) -> None:
    assert scene.dispatch.heartbeat(STRANGER, 30.0) is None


@pytest.mark.rule("B6")
def test_a_heartbeat_tells_the_newest_lease_of_its_owner(scene: Scene) -> None:
    def newest() -> int:
        beat = scene.dispatch.heartbeat(OWNER, 30.0)
        assert beat is not None
        return beat.token

    scene.dispatch.register(OWNER, "n1", "ipc://n1", 30.0)
    assert newest() == 0
    first, second = scene.leased(), scene.leased()
    scene.leased(owner=OTHER)
    assert newest() == max(first.token, second.token)
    scene.release(max(first, second, key=lambda lease: lease.token), None)
    assert newest() == min(first.token, second.token)


@pytest.mark.rule("L2")
def test_the_heartbeat_of_an_expired_owner_does_not_revive_it(scene: Scene) -> None:
    lease = scene.leased()
    scene.expire(OWNER)
    assert scene.dispatch.heartbeat(OWNER, 30.0) is None
    assert scene.dispatch.heartbeat(OWNER, 30.0) is None
    assert scene.claimed_ids(OTHER) == [lease.run_id]


@pytest.mark.rule("L2")
def test_one_heartbeat_keeps_all_runs_of_an_owner(scene: Scene) -> None:
    scene.dispatch.register(OWNER, "n1", "ipc://n1", 5.0)
    for _ in range(5):
        scene.leased()
    assert scene.dispatch.heartbeat(OWNER, HOUR_S) is not None
    assert scene.claim(OTHER) == []


@pytest.mark.rule("L3")
def test_an_application_clock_that_is_wrong_expires_no_owner(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time
    scene.leased()
    monkeypatch.setattr(time, "time", lambda: wall() - HOUR_S)
    scene.dispatch.heartbeat(OWNER, 30.0)
    monkeypatch.setattr(time, "time", lambda: wall() + HOUR_S)
    assert scene.claim(OTHER) == []
    assert scene.dispatch.heartbeat(OWNER, 30.0) is not None


@pytest.mark.rule("M1")
def test_each_life_of_a_node_has_a_larger_epoch_in_one_realm(scene: Scene) -> None:
    lives = [scene.dispatch.begin_life() for _ in range(3)]
    assert lives[0].epoch < lives[1].epoch < lives[2].epoch
    assert len({life.realm for life in lives}) == 1
    assert lives[0].realm


@pytest.mark.rule("M1")
def test_the_groups_of_live_nodes_are_listed_and_nothing_else(scene: Scene) -> None:
    scene.dispatch.register(OWNER, "n1", "10.0.0.9:1", 30.0)  # an engine
    assert scene.dispatch.groups(10) == []
    for number, ttl_s in ((1, 30.0), (2, 60.0), (3, -1.0), (4, 90.0)):
        scene.dispatch.register(f"n{number}/default/group/b-1", f"n{number}", f"10.0.0.{number}:7", ttl_s)
    assert scene.dispatch.groups(10) == [("n4", "10.0.0.4:7"), ("n2", "10.0.0.2:7"), ("n1", "10.0.0.1:7")]
    assert scene.dispatch.groups(1) == [("n4", "10.0.0.4:7")]
    scene.dispatch.retire(["n4/default/group/b-1"])
    assert [group.node for group in scene.dispatch.groups(10)] == ["n2", "n1"]


def test_a_claim_describes_a_fresh_run(scene: Scene) -> None:
    run_id = scene.insert(workflow="shop.refund", args=b"payload", version_hash="abc", namespace="billing")
    (run,) = scene.dispatch.claim(OWNER, 10)
    assert (run.run_id, run.fresh, run.previous_owner) == (run_id, True, None)
    assert (run.workflow, run.args, run.version_hash) == ("shop.refund", b"payload", "abc")
    assert (run.namespace, run.correlation_id, run.parent_run_id) == ("billing", run_id, None)
    row = scene.row(run_id)
    assert (row.state, row.owner, row.begun_at) == ("running", OWNER, run.begun_at)
    assert row.started_at is not None
    assert row.started_at >= row.created_at


def test_a_run_is_fresh_once_and_then_says_who_held_it(scene: Scene) -> None:
    run_id = scene.insert()
    scene.claim(OWNER)
    started_at = scene.row(run_id).started_at
    scene.dispatch.retire([OWNER])
    (again,) = scene.dispatch.claim(OTHER, 10)
    assert (again.fresh, again.previous_owner) == (False, OWNER)
    assert scene.row(run_id).started_at == started_at


def test_a_run_that_was_given_back_is_not_fresh(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, 0.0)
    (again,) = scene.dispatch.claim(OTHER, 10)
    assert (again.fresh, again.previous_owner) == (False, OWNER)


@pytest.mark.rule("L1")
def test_tokens_only_grow(scene: Scene) -> None:
    lease = scene.leased()
    tokens = [lease.token]
    for owner in (OTHER, OWNER, OTHER):
        scene.journal.release([Release(lease.run_id, tokens[-1], 0.0)])
        scene.insert()
        tokens += [claimed.token for claimed in scene.claim(owner) if claimed.run_id == lease.run_id]
    assert len(tokens) == 4
    assert tokens == sorted(set(tokens))


@pytest.mark.rule("B1")
def test_the_oldest_due_run_is_claimed_first(scene: Scene) -> None:
    run_ids = [scene.insert() for _ in range(5)]
    assert [scene.claimed_ids(OWNER, limit=2) for _ in range(4)] == [
        run_ids[:2],
        run_ids[2:4],
        run_ids[4:],
        [],
    ]


@pytest.mark.rule("B1")
def test_what_became_due_first_is_first_not_what_was_started_first(scene: Scene) -> None:
    first, second, third = (scene.leased() for _ in range(3))
    for lease in (third, first, second):
        scene.release(lease, 0.0)
    claimed = [scene.claimed_ids(OTHER, limit=1) for _ in range(3)]
    assert claimed == [[third.run_id], [first.run_id], [second.run_id]]


@pytest.mark.rule("B1")
def test_two_dispatchers_never_get_the_same_run(scene: Scene, beside: Callable[[], Store]) -> None:
    run_ids = {scene.insert() for _ in range(60)}
    got: dict[str, list[UUID]] = {OWNER: [], OTHER: []}

    def dispatch(store: Store, owner: str) -> None:
        while claimed := store.dispatch.claim(owner, 7):
            got[owner] += [run.run_id for run in claimed]

    at_once([partial(dispatch, beside(), owner) for owner in got])
    got[OWNER] += scene.claimed_ids(OWNER)  # rows that both skipped while the other held them
    assert len(got[OWNER]) + len(got[OTHER]) == 60
    assert {*got[OWNER], *got[OTHER]} == run_ids


@pytest.mark.rule("B2")
def test_a_run_is_not_claimed_before_its_delay(scene: Scene) -> None:
    scene.insert(delay_s=HOUR_S)
    assert scene.claim() == []


@pytest.mark.rule("B2")
def test_a_delayed_run_is_claimed_when_its_delay_is_over(scene: Scene) -> None:
    run_id = scene.insert(delay_s=0.05)
    assert until(scene.claimed_ids) == [run_id]


@pytest.mark.rule("B1")
def test_what_is_new_is_claimed_oldest_first_and_as_any_claim(scene: Scene) -> None:
    run_ids = [scene.insert() for _ in range(5)]
    claimed = [scene.dispatch.claim_due(OWNER, 2) for _ in range(4)]
    assert [[run.run_id for run in runs] for runs in claimed] == [run_ids[:2], run_ids[2:4], run_ids[4:], []]
    tokens = [sorted(run.token for run in runs) for runs in claimed]
    given = [token for batch in tokens for token in batch]
    assert given == sorted(set(given)), "they grow by the claim"
    assert scene.row(run_ids[0]).owner == OWNER
    assert scene.commit(step(Lease(run_ids[0], claimed[0][0].token), 0, 1)) == {run_ids[0]}


@pytest.mark.rule("B1")
def test_a_claim_of_new_runs_describes_them_as_any_claim(scene: Scene) -> None:
    first, second = scene.insert(), scene.insert()
    (one,), (two,) = scene.dispatch.claim_due(OWNER, 1), scene.dispatch.claim(OWNER, 1)
    assert (one.run_id, two.run_id) == (first, second)
    same = {"run_id": second, "correlation_id": second, "token": two.token, "begun_at": two.begun_at}
    assert msgspec.structs.replace(one, **same) == two


@pytest.mark.rule("B2")
def test_a_claim_of_new_runs_leaves_what_is_held_ended_or_for_later(scene: Scene) -> None:
    scene.insert(delay_s=HOUR_S)
    scene.end(scene.leased(), "completed")
    held = scene.leased()
    scene.signal(held.run_id, "approved")
    assert scene.dispatch.claim_due(OTHER, 10) == []
    scene.dispatch.retire([OWNER])
    assert scene.dispatch.claim_due(OTHER, 10) == [], "what the dead left is for the other claim"
    assert scene.claimed_ids(OTHER) == [held.run_id]


@pytest.mark.rule("B1")
def test_two_dispatchers_never_get_the_same_new_run(scene: Scene, beside: Callable[[], Store]) -> None:
    run_ids = {scene.insert() for _ in range(60)}
    got: dict[str, list[UUID]] = {OWNER: [], OTHER: []}

    def dispatch(store: Store, owner: str) -> None:
        while claimed := store.dispatch.claim_due(owner, 7):
            got[owner] += [run.run_id for run in claimed]

    at_once([partial(dispatch, beside(), owner) for owner in got])
    got[OWNER] += scene.claimed_ids(OWNER)  # rows that both skipped while the other held them
    assert len(got[OWNER]) + len(got[OTHER]) == 60
    assert {*got[OWNER], *got[OTHER]} == run_ids


@pytest.mark.rule("L2")
def test_an_owner_expires_when_it_is_not_renewed_in_time(scene: Scene) -> None:
    scene.dispatch.register(OWNER, "n1", "ipc://n1", 0.05)
    lease = scene.leased()
    assert until(lambda: scene.claimed_ids(OTHER)) == [lease.run_id]
    assert scene.dispatch.heartbeat(OWNER, 30.0) is None


@pytest.mark.rule("B2")
def test_the_run_of_a_live_owner_is_not_claimed_even_with_mail(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1),))
    scene.signal(lease.run_id, "approved")
    assert scene.claim(OTHER) == scene.claim(OWNER) == []


@pytest.mark.rule("B2")
@pytest.mark.parametrize("state", ENDED)
def test_an_ended_run_is_never_claimed(scene: Scene, state: RunState) -> None:
    scene.end(scene.leased(), state)
    scene.dispatch.retire([OWNER])
    assert scene.claim(OTHER) == []


@pytest.mark.rule("B5")
def test_a_run_cancelled_before_its_claim_is_not_claimed(scene: Scene) -> None:
    due, parked, orphan = scene.insert(), scene.parked(), scene.leased().run_id
    scene.dispatch.retire([OWNER])
    for run_id in (due, parked, orphan):
        scene.catalog.cancel(run_id, None)
    assert scene.claim(OTHER) == []


@pytest.mark.rule("B2")
def test_the_runs_of_an_expired_owner_are_due(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 3))
    scene.expire(OWNER)
    (claimed,) = scene.claim(OTHER)
    assert [event.seq for event in scene.load(claimed).events] == [1, 2, 3]


def test_the_runs_of_a_retired_owner_are_due_at_once(scene: Scene) -> None:
    lease = scene.leased()
    scene.dispatch.retire([OWNER, STRANGER])
    assert scene.dispatch.heartbeat(OWNER, 30.0) is None
    assert scene.claimed_ids(OTHER) == [lease.run_id]


@pytest.mark.rule("B2")
def test_the_run_of_an_owner_that_never_registered_is_due(scene: Scene) -> None:
    lease = scene.leased(owner=STRANGER)
    assert scene.claimed_ids(OTHER) == [lease.run_id]


@pytest.mark.parametrize("why", ["expired", "retired", "never registered"])
def test_nothing_is_claimed_for_an_owner_that_is_not_live(scene: Scene, why: str) -> None:
    run_id = scene.insert()
    if why == "expired":
        scene.expire(OWNER)
    if why == "retired":
        scene.dispatch.retire([OWNER])
    owner = STRANGER if why == "never registered" else OWNER
    assert scene.claim(owner) == []
    assert scene.dispatch.claim_due(owner, 10) == []
    assert scene.claimed_ids(OTHER) == [run_id]


@pytest.mark.rule("L1")
def test_an_expired_owner_still_writes_while_nobody_took_its_run(scene: Scene) -> None:
    lease = scene.leased()
    scene.expire(OWNER)
    assert scene.commit(step(lease, 0, 1)) == {lease.run_id}


def test_an_idle_store_has_nothing_due(scene: Scene) -> None:
    scene.leased()
    scene.parked()
    assert scene.dispatch.next_due(["default"]) == Due(None, None)


def test_the_next_run_is_due_when_its_delay_is_over(scene: Scene) -> None:
    scene.insert(delay_s=HOUR_S)
    scene.insert(delay_s=60.0)
    due = scene.dispatch.next_due(["default"])
    assert due.run_in_s is not None
    assert 50.0 < due.run_in_s <= 60.0
    scene.insert()
    assert (scene.dispatch.next_due(["default"]).run_in_s or 0.0) <= 0.0


def test_the_run_of_a_dead_owner_is_due_now(scene: Scene) -> None:
    scene.leased()
    scene.dispatch.retire([OWNER])
    run_in_s = scene.dispatch.next_due([]).run_in_s
    assert run_in_s is not None
    assert run_in_s <= 0.0


@pytest.mark.rule("B2")
def test_a_run_released_for_later_is_in_sight_but_not_claimed(scene: Scene) -> None:
    lease = scene.leased()
    scene.release(lease, 60.0)
    run_in_s = scene.dispatch.next_due([]).run_in_s
    assert run_in_s is not None
    assert 50.0 < run_in_s <= 60.0
    assert scene.claim() == []
    assert scene.journal.mail([Lease(lease.run_id, lease.token)]) == []


@pytest.mark.rule("O3")
def test_upkeep_may_be_done_again_and_again_while_runs_go_on(scene: Scene) -> None:
    lease = scene.leased()
    for seq in (1, 2):
        scene.dispatch.upkeep()
        assert scene.commit(step(lease, seq - 1, 1)) == {lease.run_id}
