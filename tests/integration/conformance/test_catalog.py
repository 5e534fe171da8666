"""Starting, signalling, cancelling, and looking at runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest

from continuum.model.events import Failure
from continuum.model.run import RunState
from continuum.ports.catalog import Cancelled, Ending, Inserted
from continuum.ports.journal import Lease, Mail
from tests.integration.conformance.scene import (
    ENDED,
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    Store,
    at_once,
    due_timer,
    far_timer,
    names,
    seed,
    step,
    task,
)


def test_an_inserted_run_has_all_that_its_seed_says(scene: Scene) -> None:
    parent, root, before = uuid4(), uuid4(), uuid4()
    run_id = scene.insert(
        workflow="shop.refund",
        args=b"\x00args",
        key="order-1",
        version_hash="abc",
        namespace="billing",
        attributes={"plan": "pro", "nested": {"n": [1, 2.5, None, True]}},
        parent_run_id=parent,
        correlation_id=root,
        continued_from_run_id=before,
    )
    row = scene.row(run_id)
    assert (row.workflow, row.args, row.key, row.version_hash) == (
        "shop.refund",
        b"\x00args",
        "order-1",
        "abc",
    )
    assert (row.namespace, row.attributes) == (
        "billing",
        {"plan": "pro", "nested": {"n": [1, 2.5, None, True]}},
    )
    assert (row.parent_run_id, row.correlation_id, row.continued_from_run_id) == (parent, root, before)
    assert (row.state, row.owner, row.attention, row.started_at) == ("running", None, None, None)
    assert (row.result, row.error, row.completed_at, row.continued_to_run_id) == (None, None, None, None)


def test_a_run_without_a_correlation_id_is_the_root_of_its_own_chain(scene: Scene) -> None:
    run_id = scene.insert()
    row = scene.row(run_id)
    assert (row.correlation_id, row.key, row.version_hash, row.parent_run_id) == (run_id, None, None, None)


def test_a_run_is_inserted_once(scene: Scene) -> None:
    first = seed(workflow="first")
    assert scene.catalog.insert([first]) == [Inserted(first.id, True)]
    assert scene.catalog.insert([seed(id=first.id, workflow="second")]) == [
        Inserted(first.id, False, workflow="first")
    ]
    assert scene.row(first.id).workflow == "first"
    assert scene.claimed_ids() == [first.id]


@pytest.mark.rule("D8")
@pytest.mark.parametrize("owner", [None, OWNER])
def test_an_id_that_is_taken_is_said_to_be_of_the_workflow_that_has_it(
    scene: Scene, owner: str | None
) -> None:
    first, new = seed(workflow="first"), seed(workflow="second")
    scene.catalog.insert([first])
    again = scene.catalog.insert([new, seed(id=first.id, workflow="second")], owner=owner)
    assert [(row.created, row.workflow) for row in again] == [(True, None), (False, "first")]


def test_an_ended_run_is_not_started_again_by_its_id(scene: Scene) -> None:
    lease = scene.leased()
    scene.end(lease)
    for owner in (None, OWNER):
        again = scene.catalog.insert([seed(id=lease.run_id)], owner=owner)
        assert again == [Inserted(lease.run_id, False, workflow="shop.checkout")]
    assert scene.row(lease.run_id).state == "completed"
    assert scene.claim() == []


def test_many_runs_are_inserted_and_answered_in_order(scene: Scene) -> None:
    old = seed()
    scene.catalog.insert([old])
    new = [seed() for _ in range(3)]
    inserted = scene.catalog.insert([new[0], old, new[1], new[2]])
    expected = [(new[0].id, True), (old.id, False), (new[1].id, True), (new[2].id, True)]
    assert [(row.run_id, row.created) for row in inserted] == expected
    assert scene.catalog.insert([]) == []


def test_the_same_id_twice_in_one_insert_makes_one_run(scene: Scene) -> None:
    one = seed()
    inserted = scene.catalog.insert([one, seed(id=one.id)])
    assert [row.run_id for row in inserted] == [one.id, one.id]
    assert [row.created for row in inserted] == [True, False]


@pytest.mark.rule("L5")
def test_a_run_inserted_for_an_owner_is_leased_before_anybody_can_take_it(scene: Scene) -> None:
    inserted = scene.catalog.insert([seed() for _ in range(3)], owner=OWNER)
    assert scene.claim(OTHER) == []
    tokens = [row.token for row in inserted]
    assert len(set(tokens)) == 3
    assert None not in tokens
    for row in inserted:
        assert row.token is not None
        lease = Lease(row.run_id, row.token)
        assert scene.commit(step(lease, 0, 1)) == {row.run_id}
        assert scene.row(row.run_id).owner == OWNER
        assert scene.row(row.run_id).started_at is not None


@pytest.mark.rule("L5")
def test_a_run_that_exists_is_not_leased_by_an_insert(scene: Scene) -> None:
    run_id = scene.insert()
    assert scene.catalog.insert([seed(id=run_id)], owner=OWNER) == [
        Inserted(run_id, False, None, "shop.checkout")
    ]
    assert scene.row(run_id).owner is None
    assert scene.claimed_ids(OTHER) == [run_id]


@pytest.mark.rule("L3")
def test_a_delayed_run_counts_its_delay_in_database_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() - HOUR_S)
    scene.insert(delay_s=60.0)
    run_in_s = scene.dispatch.next_due([]).run_in_s
    assert run_in_s is not None
    assert 30.0 < run_in_s <= 60.0


@pytest.mark.rule("S4")
def test_a_signal_to_an_unknown_run_is_not_found(scene: Scene) -> None:
    assert scene.catalog.signal(uuid4(), "approved", b"", None) == ("not_found", None)


@pytest.mark.rule("S4")
@pytest.mark.parametrize("state", ENDED)
def test_a_signal_to_an_ended_run_is_refused_with_its_state(scene: Scene, state: RunState) -> None:
    lease = scene.leased()
    scene.end(lease, state)
    assert scene.catalog.signal(lease.run_id, "approved", b"", None) == ("terminal", state)
    assert scene.catalog.signal(lease.run_id, "approved", b"", "d1") == ("terminal", state)


@pytest.mark.rule("S1")
def test_a_signal_reaches_a_run_whoever_owns_it(scene: Scene) -> None:
    fresh, held, parked = scene.insert(), scene.leased(), scene.parked()
    scene.signal(fresh, "a")
    scene.signal(held.run_id, "b")
    scene.signal(parked, "c")
    leases = scene.claim(OTHER)
    assert {lease.run_id for lease in leases} == {fresh, parked}
    assert [names(scene.mail(held)), *sorted(names(scene.mail(lease)) for lease in leases)] == [
        ["b"],
        ["a"],
        ["c"],
    ]


@pytest.mark.rule("S6")
def test_a_delivery_is_accepted_once(scene: Scene) -> None:
    lease = scene.leased()
    assert scene.catalog.signal(lease.run_id, "approved", b"first", "d1")[0] == "delivered"
    assert scene.catalog.signal(lease.run_id, "approved", b"second", "d1")[0] == "duplicate"
    assert [signal.payload for signal in scene.mail(lease).signals] == [b"first"]


@pytest.mark.rule("S6")
def test_a_delivery_is_known_again_after_it_was_consumed(scene: Scene) -> None:
    lease = scene.leased()
    scene.catalog.signal(lease.run_id, "approved", b"", "d1")
    (signal,) = scene.mail(lease).signals
    scene.commit(step(lease, 0, 1, signals_consumed=(signal.id,)))
    assert scene.catalog.signal(lease.run_id, "approved", b"", "d1")[0] == "duplicate"
    assert scene.mail(lease) == Mail(lease.run_id)
    assert scene.mailbox.unread([OWNER], 10) == []


def test_a_consumed_delivery_does_not_wake_a_parked_run(scene: Scene) -> None:
    lease = scene.leased()
    scene.catalog.signal(lease.run_id, "approved", b"", "d1")
    (signal,) = scene.mail(lease).signals
    scene.commit(step(lease, 0, 1, signals_consumed=(signal.id,)))
    scene.release(lease, None)
    assert scene.claim(OTHER) == []


@pytest.mark.rule("S6")
def test_deliveries_of_other_ids_and_other_runs_are_their_own(scene: Scene) -> None:
    one, two = scene.leased(), scene.leased()
    deliveries = [(one, "d1"), (one, "d2"), (two, "d1"), (one, None), (one, None)]
    answers = [scene.catalog.signal(lease.run_id, "a", b"", delivery)[0] for lease, delivery in deliveries]
    assert answers == ["delivered"] * 5
    assert (len(scene.mail(one).signals), len(scene.mail(two).signals)) == (4, 1)


@pytest.mark.rule("S6")
def test_a_delivery_that_arrives_many_times_at_once_is_accepted_once(
    scene: Scene, beside: Callable[[], Store]
) -> None:
    lease, answers = scene.leased(), list[str]()

    def deliver(store: Store) -> None:
        answers.append(store.catalog.signal(lease.run_id, "approved", b"", "d1")[0])

    at_once([partial(deliver, beside()) for _ in range(4)])
    assert sorted(answers) == ["delivered", "duplicate", "duplicate", "duplicate"]
    assert len(scene.mail(lease).signals) == 1


@pytest.mark.rule("K1")
def test_a_cancel_ends_a_run_with_its_timers_tasks_signals_and_lease(scene: Scene) -> None:
    lease = scene.leased(timers_set=(due_timer(1), far_timer(2)), tasks_set=(task(3),))
    scene.signal(lease.run_id, "approved")
    assert scene.catalog.cancel(lease.run_id, "no longer needed")[0] == "cancelled"
    row = scene.row(lease.run_id)
    assert (row.state, row.owner, row.result) == ("cancelled", None, None)
    assert row.completed_at is not None
    assert row.completed_at >= row.created_at
    assert scene.timers() == []
    assert scene.tasks() == []
    assert scene.mailbox.unread([OWNER], 10) == []
    assert scene.journal.mail([lease]) == []
    assert scene.journal.load([lease]) == []


@pytest.mark.parametrize("reason", ["no longer needed", None])
def test_the_error_of_a_cancelled_run_has_the_reason(scene: Scene, reason: str | None) -> None:
    run_id = scene.insert()
    scene.catalog.cancel(run_id, reason)
    error = scene.row(run_id).error
    assert error is not None
    failure = msgspec.msgpack.decode(error, type=Failure)
    assert (failure.type, failure.message) == ("continuum.Cancelled", reason or "")


@pytest.mark.rule("K1")
def test_a_run_is_cancelled_whoever_owns_it(scene: Scene) -> None:
    run_ids = [scene.insert(), scene.insert(delay_s=HOUR_S), scene.parked(), scene.leased().run_id]
    assert [scene.catalog.cancel(run_id, None)[0] for run_id in run_ids] == ["cancelled"] * 4
    scene.dispatch.retire([OWNER])
    assert scene.claim(OTHER) == []


def test_a_second_cancel_changes_nothing(scene: Scene) -> None:
    run_id = scene.insert()
    scene.catalog.cancel(run_id, "first")
    before = scene.row(run_id)
    assert scene.catalog.cancel(run_id, "second") == Cancelled("terminal", "cancelled")
    assert scene.row(run_id) == before


@pytest.mark.rule("R7")
@pytest.mark.parametrize("state", ENDED)
def test_an_ended_run_is_not_cancelled(scene: Scene, state: RunState) -> None:
    lease = scene.leased()
    scene.end(lease, state)
    assert scene.catalog.cancel(lease.run_id, None) == Cancelled("terminal", state)
    assert scene.row(lease.run_id).state == state


def test_an_unknown_run_is_not_cancelled(scene: Scene) -> None:
    assert scene.catalog.cancel(uuid4(), None) == Cancelled("not_found")


@pytest.mark.rule("W1")
def test_endings_tell_where_each_run_stands(scene: Scene) -> None:
    live, done, failed, unknown = scene.insert(), scene.leased(), scene.leased(), uuid4()
    scene.commit(step(done, state="completed", result=b"42"))
    scene.commit(step(failed, state="failed", error=b"why"))
    assert scene.catalog.endings([live, done.run_id, failed.run_id, unknown, live]) == {
        live: Ending(live, "running", None, None),
        done.run_id: Ending(done.run_id, "completed", b"42", None),
        failed.run_id: Ending(failed.run_id, "failed", None, b"why"),
    }
    assert scene.catalog.endings([]) == scene.catalog.endings([unknown]) == {}


def test_an_unknown_run_has_no_row_and_no_events(scene: Scene) -> None:
    assert scene.catalog.get(uuid4()) is None
    assert scene.catalog.events(uuid4()) == []


def test_events_outlive_the_run(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 3, "completed", result=b""))
    assert scene.seqs(lease.run_id) == [1, 2, 3]


def test_attributes_are_merged_key_by_key(scene: Scene) -> None:
    run_id = scene.insert(attributes={"plan": "pro", "tags": ["a"], "nested": {"a": 1}})
    assert scene.catalog.set_attributes(run_id, {"plan": "free", "nested": {"b": 2}, "new": None})
    assert scene.row(run_id).attributes == {"plan": "free", "tags": ["a"], "nested": {"b": 2}, "new": None}
    assert scene.catalog.set_attributes(run_id, {})
    assert scene.row(run_id).attributes["plan"] == "free"


def test_attributes_of_an_ended_run_can_be_set_and_those_of_no_run_cannot(scene: Scene) -> None:
    lease = scene.leased()
    scene.end(lease)
    assert scene.catalog.set_attributes(lease.run_id, {"checked": True})
    assert scene.row(lease.run_id).attributes == {"checked": True}
    assert not scene.catalog.set_attributes(uuid4(), {"checked": True})


@pytest.mark.rule("Q2")
def test_concurrent_merges_of_different_keys_all_survive(scene: Scene, beside: Callable[[], Store]) -> None:
    run_id = scene.insert()

    def merge(store: Store, worker: int) -> None:
        for n in range(5):
            store.catalog.set_attributes(run_id, {f"{worker}-{n}": n})

    at_once([partial(merge, beside(), worker) for worker in range(4)])
    assert len(scene.row(run_id).attributes) == 20


def test_registered_workflows_are_listed_once_by_name(scene: Scene) -> None:
    assert scene.catalog.workflows() == []
    scene.catalog.register_workflows([("shop.checkout", "v1"), ("shop.refund", "v1")])
    scene.catalog.register_workflows([("shop.checkout", "v2"), ("shop.checkout", "v1"), ("a.first", "v1")])
    scene.catalog.register_workflows([])
    assert scene.catalog.workflows() == ["a.first", "shop.checkout", "shop.refund"]


@pytest.mark.rule("Q1")
def test_a_namespace_does_not_scope_what_is_done_to_one_run(scene: Scene) -> None:
    run_ids: list[UUID] = [scene.insert(namespace=name) for name in ("default", "billing")]
    for run_id in run_ids:
        scene.signal(run_id, "approved")
        assert scene.catalog.set_attributes(run_id, {"seen": True})
        assert scene.catalog.cancel(run_id, None)[0] == "cancelled"
