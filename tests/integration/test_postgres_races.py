"""What only a real database shows: locks, snapshots, lost answers, broken connections."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from continuum.errors import JournalError
from continuum.ports.journal import Lease, Release, TaskOutcome, TaskRow, TimerRow
from continuum.postgres import PostgresStore
from tests.integration.races import (
    LIMIT_S,
    OWNER,
    Connection,
    OpenStore,
    another,
    connection,
    count_of,
    ending,
    leased,
    meanwhile,
    started,
    step,
    store,
)

__all__ = ["another", "connection", "store"]  # fixtures


@pytest.mark.rule("B1")
def test_dispatchers_that_claim_at_once_get_every_run_once(store: PostgresStore, another: OpenStore) -> None:
    run_ids = started(store, 300)
    together = threading.Barrier(4)

    def claim(number: int) -> list[UUID]:
        mine, claimed = another(), []
        owner = f"node/default/engine-{number}/boot-1"
        mine.dispatch.register(owner, "node", "", 600.0)
        together.wait()
        deadline = time.monotonic() + LIMIT_S
        while mine.dispatch.next_due([]).run_in_s is not None and time.monotonic() < deadline:
            claimed += [run.run_id for run in mine.dispatch.claim(owner, 7)]
        return claimed

    with ThreadPoolExecutor(4) as threads:
        claimed = [run_id for runs in threads.map(claim, range(4)) for run_id in runs]
    assert sorted(claimed) == sorted(run_ids)


@pytest.mark.rule("B1")
def test_a_claim_passes_over_what_another_transaction_has_locked(
    store: PostgresStore, connection: Connection
) -> None:
    locked, free = started(store, 1) + started(store, 1)
    with connection.transaction():
        connection.execute("select 1 from continuum_runs where id = %s for update", [locked])
        assert [run.run_id for run in store.dispatch.claim(OWNER, 10)] == [free]
    assert [run.run_id for run in store.dispatch.claim(OWNER, 10)] == [locked]


@pytest.mark.rule("L5")
def test_no_claim_ever_gets_a_run_that_was_inserted_leased(store: PostgresStore, another: OpenStore) -> None:
    done = threading.Event()

    def claim() -> int:
        mine, claimed = another(), 0
        mine.dispatch.register("other/default/engine-1/boot-1", "other", "", 600.0)
        while not done.is_set():
            claimed += len(mine.dispatch.claim("other/default/engine-1/boot-1", 100))
        return claimed

    with ThreadPoolExecutor(1) as threads:
        claiming = threads.submit(claim)
        leases = [lease for _ in range(50) for lease in leased(store)]
        done.set()
        assert claiming.result(LIMIT_S) == 0
    assert store.journal.commit([step(lease) for lease in leases]) == {lease.run_id for lease in leases}


@pytest.mark.rule("L1")
def test_the_commit_of_a_former_owner_changes_nothing_of_its_run_and_all_of_the_others(
    store: PostgresStore, connection: Connection
) -> None:
    lost, held = leased(store, owner="dead/default/engine-1/boot-1")[0], leased(store)[0]
    (claimed,) = store.dispatch.claim(OWNER, 10)
    stale = step(lost)
    stale.timers_set, stale.tasks_set = [TimerRow(1, 5.0)], [TaskRow(1, 1, "charge", b"", "default")]
    assert store.journal.commit([stale, step(held)]) == {held.run_id}
    assert store.catalog.events(lost.run_id) == []
    assert (count_of(connection, "continuum_timers"), count_of(connection, "continuum_activity_tasks")) == (
        0,
        0,
    )
    assert store.journal.commit([step(Lease(lost.run_id, claimed.token))]) == {lost.run_id}


@pytest.mark.rule("L1")
@pytest.mark.parametrize("is_child", [True, False])
def test_a_commit_that_waited_for_the_run_sees_that_its_lease_is_gone(
    store: PostgresStore, another: OpenStore, connection: Connection, is_child: bool
) -> None:
    lease, held = leased(store, 2)
    committer = another("committer")
    batch = [step(lease, is_child=is_child), step(held, is_child=is_child)]
    with store.session.transaction("release"):
        store.journal.release([Release(lease.run_id, lease.token, None)])
        committing = meanwhile(connection, "committer", lambda: committer.journal.commit(batch))
    assert committing.result(LIMIT_S) == {held.run_id}
    assert store.catalog.events(lease.run_id) == []


@pytest.mark.rule("L1", "R6")
@pytest.mark.parametrize("is_child", [True, False])
def test_a_commit_asked_again_while_the_first_is_under_way_writes_once(
    store: PostgresStore, another: OpenStore, connection: Connection, is_child: bool
) -> None:
    leases = leased(store, 5)
    batch = [step(lease, is_child=is_child) for lease in leases]
    committer = another("committer")
    with store.session.transaction("commit"):
        assert store.journal.commit(batch) == {lease.run_id for lease in leases}
        committing = meanwhile(connection, "committer", lambda: committer.journal.commit(batch))
    assert committing.result(LIMIT_S) == set()
    assert [len(store.catalog.events(lease.run_id)) for lease in leases] == [1] * 5


@pytest.mark.rule("R7")
@pytest.mark.parametrize("is_child", [True, False])
def test_a_commit_that_waited_for_a_cancel_changes_nothing(
    store: PostgresStore, another: OpenStore, connection: Connection, is_child: bool
) -> None:
    (lease,) = leased(store)
    committer = another("committer")
    with store.session.transaction("cancel"):
        store.catalog.cancel(lease.run_id, None)
        batch = [step(lease, is_child=is_child)]
        committing = meanwhile(connection, "committer", lambda: committer.journal.commit(batch))
    assert committing.result(LIMIT_S) == set()
    row = store.catalog.get(lease.run_id)
    assert row is not None and row.state == "cancelled"
    assert store.catalog.events(lease.run_id) == []


@pytest.mark.rule("L1", "R6")
def test_a_commit_whose_answer_was_lost_can_be_asked_again(store: PostgresStore) -> None:
    (lease,) = leased(store)
    first = step(lease)
    assert store.journal.commit([first]) == {lease.run_id}
    assert store.journal.commit([first]) == set()
    assert [event.seq for event in store.catalog.events(lease.run_id)] == [1]
    assert store.journal.commit([step(lease, base_seq=1)]) == {lease.run_id}


@pytest.mark.rule("L1")
def test_a_new_connection_skips_the_tokens_that_a_crash_may_have_forgotten(
    store: PostgresStore, another: OpenStore
) -> None:
    started(store, 2)
    (first,) = store.dispatch.claim(OWNER, 1)
    (second,) = another().dispatch.claim(OWNER, 1)
    assert second.token > first.token + 1000


@pytest.mark.rule("L3", "T1")
def test_a_timer_is_set_in_the_time_of_the_database_whatever_the_clock_here_says(
    store: PostgresStore, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (lease,) = leased(store)
    commit = step(lease)
    commit.timers_set = [TimerRow(1, delay_s=90.0)]
    store.journal.commit([commit])
    row = connection.execute(
        "select extract(epoch from fires_at - inserted_at)::float8"
        " from continuum_timers join continuum_events using (run_id, seq)"
    ).fetchone()
    assert row == (90.0,)


@pytest.mark.rule("R6")
def test_a_commit_of_which_a_part_fails_changes_nothing(store: PostgresStore, connection: Connection) -> None:
    (lease,) = leased(store)
    connection.execute("alter table continuum_activity_tasks rename to hidden")
    with pytest.raises(JournalError):
        store.journal.commit([ending(lease)])
    connection.execute("alter table hidden rename to continuum_activity_tasks")
    assert store.catalog.events(lease.run_id) == []
    assert store.journal.commit([ending(lease)]) == {lease.run_id}


def test_commits_signals_cancels_outcomes_and_releases_of_the_same_runs_never_deadlock(
    store: PostgresStore, another: OpenStore, connection: Connection
) -> None:
    leases = leased(store, 40)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = connection.execute(deadlocks).fetchone()

    def commit(mine: PostgresStore, chance: random.Random) -> None:
        # Without events the same base stays right, so that every committer passes the fence of every run.
        batch = [step(lease, events=0) for lease in chance.sample(leases, 25)]
        for each in batch:
            each.timers_set = [TimerRow(seq, 100.0) for seq in chance.sample(range(1, 9), 2)]
            each.tasks_set = [TaskRow(seq, 1, "a", b"", "default") for seq in chance.sample(range(1, 9), 2)]
            each.signals_consumed = chance.sample(range(1, 500), 20)
        mine.journal.commit(batch)

    def advance(mine: PostgresStore, chance: random.Random) -> None:
        chosen = chance.sample(leases, 25)
        mine.journal.commit([step(lease, events=0, is_child=False) for lease in chosen])

    def end(mine: PostgresStore, chance: random.Random) -> None:
        mine.journal.commit([ending(lease) for lease in chance.sample(leases, 1)])

    def signal(mine: PostgresStore, chance: random.Random) -> None:
        mine.catalog.signal(chance.choice(leases).run_id, "approved", b"", None)

    def cancel(mine: PostgresStore, chance: random.Random) -> None:
        mine.catalog.cancel(chance.choice(leases).run_id, None)

    def offer(mine: PostgresStore, chance: random.Random) -> None:
        chosen = chance.sample(leases, 25)
        mine.dispatch.offer_outcomes([TaskOutcome(lease.run_id, 1, 1, True, b"") for lease in chosen])

    def take(mine: PostgresStore, chance: random.Random) -> None:
        mine.dispatch.claim_tasks(OWNER, ["default"], 20)
        mine.dispatch.lose_tasks(OWNER, None)

    def wake(mine: PostgresStore, chance: random.Random) -> None:
        mine.mailbox.due_timers([(lease.run_id, 1) for lease in chance.sample(leases, 25)])

    def give_back(mine: PostgresStore, chance: random.Random) -> None:
        mine.journal.release([Release(lease.run_id, lease.token, 0.0) for lease in chance.sample(leases, 1)])

    acts = [commit, advance, end, signal, cancel, offer, take, wake, give_back]
    weights = [20, 20, 1, 5, 1, 5, 5, 2, 1]

    def role(seed: int) -> None:
        mine, chance = another(), random.Random(seed)
        for act in chance.choices(acts, weights, k=60):
            act(mine, chance)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(role, range(6)))
    assert connection.execute(deadlocks).fetchone() == before


@pytest.mark.rule("O4")
def test_a_broken_connection_fails_one_call_and_the_next_one_works(
    store: PostgresStore, connection: Connection
) -> None:
    (lease,) = leased(store)
    connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where application_name = 'race' and pid <> pg_backend_pid() and datname = current_database()"
    )
    with pytest.raises(JournalError, match="commit"):
        store.journal.commit([step(lease)])
    assert store.journal.commit([step(lease)]) == {lease.run_id}
