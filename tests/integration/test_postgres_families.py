"""Families of runs under contention: both orders of every race, forced by held locks, and no deadlock."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from continuum.model.run import RunSeed, RunState
from continuum.ports.journal import Lease, Release, RunCommit, TaskOutcome
from continuum.postgres import PostgresStore
from tests.integration.races import LIMIT_S, OWNER, Connection, OpenStore, another, connection, store

__all__ = ["another", "connection", "store"]  # fixtures
ESCAPED = """
    select child.id, parent.state
    from continuum_runs as child join continuum_runs as parent on parent.id = child.parent_run_id
    where child.completed_at is null and parent.state in ('cancelled', 'continued')
"""
LEFT_BEHIND = """
    select run.id, run.state from continuum_signals as mail join continuum_runs as run on run.id = mail.run_id
    where run.completed_at is not null
"""
T = TypeVar("T")


@pytest.fixture
def meanwhile(connection: Connection, another: OpenStore) -> Callable[..., Future[T]]:
    """Return what does an act in another session, and returns when that session waits for a lock."""

    def begin(act: Callable[[PostgresStore], T]) -> Future[T]:
        name, future = f"other-{uuid4().hex[:8]}", Future[T]()
        other = another(name)

        def work() -> None:
            try:
                future.set_result(act(other))
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        deadline = time.monotonic() + LIMIT_S
        blocked = "select 1 from pg_stat_activity where application_name = %s and wait_event_type = 'Lock'"
        while connection.execute(blocked, [name]).fetchone() is None:
            assert not future.done(), "it waits for nobody"
            assert time.monotonic() < deadline, "it does not wait for a lock"
        return future

    return begin


def leased(store: PostgresStore) -> Lease:
    (run,) = store.catalog.insert([RunSeed(id=uuid4(), workflow="flow", args=b"")], owner=OWNER)
    assert run.token is not None
    return Lease(run.run_id, run.token)


def child_seed(parent: Lease, command: int = 1) -> RunSeed:
    return RunSeed(id=uuid4(), workflow="flow", args=b"", parent_run_id=parent.run_id, parent_command=command)


def seed() -> RunSeed:
    return RunSeed(id=uuid4(), workflow="flow", args=b"")


def step(lease: Lease, state: RunState = "running", **rows: object) -> RunCommit:
    return RunCommit(lease.run_id, lease.token, 0, [], state, **rows)  # type: ignore[arg-type]


def with_child(store: PostgresStore, parent: Lease | None = None, command: int = 1) -> tuple[Lease, Lease]:
    parent = parent or leased(store)
    started = child_seed(parent, command)
    assert store.journal.commit([step(parent, children_started=[started])])
    (claimed,) = store.dispatch.claim(OWNER, 1)
    assert claimed.run_id == started.id
    return parent, Lease(claimed.run_id, claimed.token)


def state_of(store: PostgresStore, run_id: UUID) -> str:
    row = store.catalog.get(run_id)
    assert row is not None
    return row.state


def unread(store: PostgresStore, lease: Lease) -> list[str]:
    (mail,) = store.journal.mail([lease])
    return [signal.name for signal in mail.signals]


@pytest.mark.rule("S5")
def test_a_signal_that_was_first_moves_with_the_continuation_that_waited_for_it(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    old, successor = leased(store), seed()
    with store.session.transaction("signal"):
        assert store.catalog.signal(old.run_id, "approved", b"", "once")[0] == "delivered"
        continuing = meanwhile(
            lambda other: other.journal.commit([step(old, "continued", successor=successor)])
        )
    assert continuing.result(LIMIT_S) == {old.run_id}
    assert unread(store, Lease(successor.id, old.token)) == ["approved"]


@pytest.mark.rule("S5")
def test_a_signal_that_waited_for_a_continuation_goes_to_the_successor(
    store: PostgresStore, meanwhile: Callable[..., Future[tuple[str, str]]], connection: Connection
) -> None:
    old, successor = leased(store), seed()
    with store.session.transaction("commit"):
        store.journal.commit([step(old, "continued", successor=successor)])
        signalling = meanwhile(lambda other: other.catalog.signal(old.run_id, "approved", b"", None))
    assert signalling.result(LIMIT_S)[0] == "delivered"
    assert unread(store, Lease(successor.id, old.token)) == ["approved"]
    left = connection.execute("select count(*) from continuum_signals where run_id = %s", [old.run_id])
    assert left.fetchone() == (0,)


@pytest.mark.rule("N5")
def test_a_cancel_that_waited_for_the_start_of_a_child_cancels_the_child(
    store: PostgresStore, meanwhile: Callable[..., Future[object]]
) -> None:
    parent = leased(store)
    started = child_seed(parent)
    with store.session.transaction("commit"):
        store.journal.commit([step(parent, children_started=[started])])
        cancelling = meanwhile(lambda other: other.catalog.cancel(parent.run_id, None))
    cancelling.result(LIMIT_S)
    assert state_of(store, started.id) == "cancelled"


@pytest.mark.rule("N5")
def test_a_start_that_waited_for_the_cancel_of_the_parent_starts_nothing(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    parent = leased(store)
    started = child_seed(parent)
    with store.session.transaction("cancel"):
        store.catalog.cancel(parent.run_id, None)
        starting = meanwhile(lambda other: other.journal.commit([step(parent, children_started=[started])]))
    assert starting.result(LIMIT_S) == set()
    assert store.catalog.get(started.id) is None


@pytest.mark.rule("N5")
def test_a_cancel_that_waited_for_the_continuation_of_a_descendant_cancels_the_successor(
    store: PostgresStore, meanwhile: Callable[..., Future[object]]
) -> None:
    root, child = with_child(store)
    _, below = with_child(store, child)
    successor = seed()
    with store.session.transaction("commit"):
        store.journal.commit([step(below, "continued", successor=successor)])
        cancelling = meanwhile(lambda other: other.catalog.cancel(root.run_id, None))
    cancelling.result(LIMIT_S)
    assert [state_of(store, run_id) for run_id in (below.run_id, successor.id)] == ["continued", "cancelled"]


@pytest.mark.rule("N5")
def test_a_continuation_that_waited_for_the_cancel_of_an_ancestor_has_no_successor(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    root, child = with_child(store)
    successor = seed()
    with store.session.transaction("cancel"):
        store.catalog.cancel(root.run_id, None)
        continuing = meanwhile(
            lambda other: other.journal.commit([step(child, "continued", successor=successor)])
        )
    assert continuing.result(LIMIT_S) == set()
    assert store.catalog.get(successor.id) is None
    assert state_of(store, child.run_id) == "cancelled"


@pytest.mark.rule("N5")
def test_a_cancel_that_waited_for_the_continuation_of_its_run_cancels_the_successor_with_the_children(
    store: PostgresStore, meanwhile: Callable[..., Future[object]]
) -> None:
    parent, child = with_child(store)
    successor = seed()
    with store.session.transaction("commit"):
        store.journal.commit([step(parent, "continued", successor=successor)])
        cancelling = meanwhile(lambda other: other.catalog.cancel(parent.run_id, None))
    cancelling.result(LIMIT_S)
    assert [state_of(store, run_id) for run_id in (successor.id, child.run_id)] == ["cancelled"] * 2


@pytest.mark.rule("N1", "N5")
def test_the_end_of_a_child_that_waited_for_the_continuation_of_its_parent_is_written(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    parent, child = with_child(store)
    successor = seed()
    with store.session.transaction("commit"):
        store.journal.commit([step(parent, "continued", successor=successor)])
        ending = meanwhile(lambda other: other.journal.commit([step(child, "completed", result=b"42")]))
    assert ending.result(LIMIT_S) == {child.run_id}
    row = store.catalog.get(child.run_id)
    assert row is not None
    assert (row.state, row.parent_run_id) == ("completed", successor.id)


@pytest.mark.rule("N1", "N5")
def test_the_continuation_of_a_child_that_waited_for_that_of_its_parent_belongs_to_the_successor(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    parent, child = with_child(store)
    next_parent, next_child = seed(), seed()
    with store.session.transaction("commit"):
        store.journal.commit([step(parent, "continued", successor=next_parent)])
        continuing = meanwhile(
            lambda other: other.journal.commit([step(child, "continued", successor=next_child)])
        )
    assert continuing.result(LIMIT_S) == {child.run_id}
    assert store.catalog.cancel(parent.run_id, None).run_ids == (next_parent.id, next_child.id)


@pytest.mark.rule("C2", "B6")
def test_a_parent_given_back_while_a_child_ends_is_due_at_once(
    store: PostgresStore, meanwhile: Callable[..., Future[None]]
) -> None:
    parent, child = with_child(store)
    with store.session.transaction("commit"):
        store.journal.commit([step(child, "completed")])
        releasing = meanwhile(
            lambda other: other.journal.release([Release(parent.run_id, parent.token, None)])
        )
    releasing.result(LIMIT_S)
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [parent.run_id]


@pytest.mark.rule("C2", "B6")
def test_a_child_whose_end_waited_while_its_parent_was_given_back_makes_it_due(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    parent, child = with_child(store)
    with store.session.transaction("release"):
        store.journal.release([Release(parent.run_id, parent.token, None)])
        ending = meanwhile(lambda other: other.journal.commit([step(child, "completed")]))
    ending.result(LIMIT_S)
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [parent.run_id]


@pytest.mark.rule("K4", "B6")
def test_a_run_given_back_while_a_cancel_is_noted_is_due_at_once(
    store: PostgresStore, meanwhile: Callable[..., Future[None]]
) -> None:
    lease = leased(store)
    with store.session.transaction("cancel"):
        store.catalog.cancel(lease.run_id, None, 60.0)
        releasing = meanwhile(lambda other: other.journal.release([Release(lease.run_id, lease.token, None)]))
    releasing.result(LIMIT_S)
    assert [run.run_id for run in store.dispatch.claim(OWNER, 1)] == [lease.run_id]


@pytest.mark.rule("K4", "K5")
def test_a_child_whose_start_waited_for_the_note_of_a_cancel_gets_the_note(
    store: PostgresStore, meanwhile: Callable[..., Future[set[UUID]]]
) -> None:
    parent = leased(store)
    started = child_seed(parent)
    with store.session.transaction("cancel"):
        store.catalog.cancel(parent.run_id, None, 60.0)
        starting = meanwhile(lambda other: other.journal.commit([step(parent, children_started=[started])]))
    assert starting.result(LIMIT_S) == {parent.run_id}
    (claimed,) = store.dispatch.claim(OWNER, 1)
    (mail,) = store.journal.mail([Lease(claimed.run_id, claimed.token)])
    assert mail.cancel is not None


class _Families:
    """Leases of runs of many generations, shared by those who race over them."""

    def __init__(self, store: PostgresStore) -> None:
        self.lock = threading.Lock()
        self.leases = [leased(store) for _ in range(4)]

    def some(self, chance: random.Random, count: int) -> list[Lease]:
        with self.lock:
            latest = list({lease.run_id: lease for lease in self.leases}.values())
        return chance.sample(latest, min(count, len(latest)))

    def add(self, *leases: Lease) -> None:
        with self.lock:
            self.leases += leases
            del self.leases[: max(0, len(self.leases) - 60)]


@pytest.mark.rule("N5")
def test_starts_ends_continuations_cancels_and_signals_of_the_same_families_never_deadlock(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    families = _Families(store)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = connection.execute(deadlocks).fetchone()

    def start(mine: PostgresStore, chance: random.Random) -> None:
        started = [(lease, child_seed(lease, chance.randint(1, 9))) for lease in families.some(chance, 6)]
        mine.journal.commit([step(lease, children_started=[child]) for lease, child in started])
        families.add(*(Lease(run.run_id, run.token) for run in mine.dispatch.claim(OWNER, 20)))

    def end(mine: PostgresStore, chance: random.Random) -> None:
        mine.journal.commit([step(lease, "completed") for lease in families.some(chance, 3)])

    def go_on(mine: PostgresStore, chance: random.Random) -> None:
        chosen = families.some(chance, 12)
        batch = [step(lease, "running", tasks_cleared=[chance.randint(1, 5)]) for lease in chosen]
        mine.journal.commit([*batch[:8], *(step(lease, "completed") for lease in chosen[8:9])])

    def succeed(mine: PostgresStore, chance: random.Random) -> None:
        chosen = families.some(chance, 4)
        seeds = [seed() for _ in chosen]
        batch = [step(lease, "continued", successor=each) for lease, each in zip(chosen, seeds, strict=True)]
        written = mine.journal.commit(batch)
        families.add(
            *(
                Lease(each.id, lease.token)
                for lease, each in zip(chosen, seeds, strict=True)
                if lease.run_id in written
            )
        )

    def abandon(mine: PostgresStore, chance: random.Random) -> None:
        chosen = families.some(chance, 2)
        mine.journal.commit([step(lease, children_cancelled=[chance.randint(1, 9)]) for lease in chosen])

    def cancel(mine: PostgresStore, chance: random.Random) -> None:
        cleanup_s = chance.choice([None, 60.0, 60.0, -60.0])
        mine.catalog.cancel(families.some(chance, 1)[0].run_id, None, cleanup_s)
        mine.dispatch.end_overdue_cancels()

    def signal(mine: PostgresStore, chance: random.Random) -> None:
        for lease in families.some(chance, 3):
            mine.catalog.signal(lease.run_id, "approved", b"", None)

    def offer(mine: PostgresStore, chance: random.Random) -> None:
        outcomes = [TaskOutcome(lease.run_id, 1, 1, True, b"") for lease in families.some(chance, 20)]
        mine.dispatch.offer_outcomes(outcomes)

    def give_back(mine: PostgresStore, chance: random.Random) -> None:
        releases = [Release(lease.run_id, lease.token, 0.0) for lease in families.some(chance, 3)]
        mine.journal.release(releases)
        families.add(*(Lease(run.run_id, run.token) for run in mine.dispatch.claim(OWNER, 20)))

    def revive(mine: PostgresStore, chance: random.Random) -> None:
        families.add(leased(mine))

    acts = [start, end, go_on, succeed, abandon, cancel, signal, offer, give_back, revive]
    weights = [8, 2, 6, 4, 3, 2, 4, 5, 2, 3]

    def role(seed: int) -> None:
        mine, chance = another(), random.Random(seed)
        for act in chance.choices(acts, weights, k=120):
            act(mine, chance)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(role, range(6)))
    assert connection.execute(deadlocks).fetchone() == before
    assert connection.execute(ESCAPED).fetchall() == []
    assert connection.execute(LEFT_BEHIND).fetchall() == []
