"""What only the memory store has: notifications to subscribers, faults on demand, assertions, determinism."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest

from continuum.errors import JournalError
from continuum.memory import MemoryStore
from continuum.model.events import EventRow
from continuum.model.run import RunSeed, RunState
from continuum.ports.dispatch import Woken
from continuum.ports.journal import Lease, Release, RunCommit, TaskOutcome, TaskRow, TimerRow
from continuum.ports.mailbox import Notice

OWNER = "n1/default/engine-1/b1-1"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    store = MemoryStore(clock)
    store.dispatch.register(OWNER, "n1", "ipc://n1", 30.0)
    return store


@pytest.fixture
def notices(store: MemoryStore) -> list[Notice]:
    heard: list[Notice] = []
    store.subscribe(heard.append)
    return heard


def seed(run_id: UUID | None = None) -> RunSeed:
    return RunSeed(id=run_id or uuid4(), workflow="shop.checkout", args=b"")


def leased(store: MemoryStore) -> Lease:
    (inserted,) = store.catalog.insert([seed()], owner=OWNER)
    assert inserted.token is not None
    return Lease(inserted.run_id, inserted.token)


def step(lease: Lease, *seqs: int, base_seq: int = 0, state: RunState = "running") -> RunCommit:
    return RunCommit(lease.run_id, lease.token, base_seq, [EventRow(seq, 1, b"") for seq in seqs], state)


def lose(name: str) -> JournalError:
    return JournalError(name, "the connection was lost")


def test_inserted_runs_are_announced_as_due_once(store: MemoryStore, notices: list[Notice]) -> None:
    store.catalog.insert([seed(), seed()])
    assert notices == [Notice("due")]


def test_an_insert_that_changes_nothing_or_leases_is_not_announced(
    store: MemoryStore, notices: list[Notice]
) -> None:
    lease = leased(store)
    store.catalog.insert([seed(lease.run_id)])
    assert notices == []


def test_a_signal_and_a_cancel_tell_the_live_owner(store: MemoryStore, notices: list[Notice]) -> None:
    lease = leased(store)
    store.catalog.signal(lease.run_id, "approved", b"", None)
    store.catalog.cancel(lease.run_id, None)
    assert notices == [Notice("mail", lease.run_id, OWNER)] * 2


@pytest.mark.rule("S1")
def test_an_owner_that_hears_is_told_the_next_signal_of_each_name(
    store: MemoryStore, notices: list[Notice]
) -> None:
    lease = leased(store)
    store.dispatch.hear(OWNER, "channel", 0)
    for name in ("approved", "approved", "paid"):
        store.catalog.signal(lease.run_id, name, b"", None)
    (mail,) = store.journal.mail([lease])
    first, _, third = mail.signals
    assert notices == [Notice("signal", lease.run_id, OWNER, signal=told) for told in (first, None, third)]


def test_a_signal_to_a_run_without_an_owner_is_announced_as_due(
    store: MemoryStore, notices: list[Notice], clock: Clock
) -> None:
    lease = leased(store)
    clock.now += 60
    store.catalog.signal(lease.run_id, "approved", b"", None)
    assert notices == [Notice("due")]


def test_queued_tasks_are_announced_once_a_commit(store: MemoryStore, notices: list[Notice]) -> None:
    steps = [step(leased(store)), step(leased(store))]
    for queued in steps:
        queued.tasks_set = [TaskRow(1, 1, "shop.charge", b"", "default")]
    store.journal.commit(steps)
    assert notices == [Notice("task")]


def test_a_release_for_later_is_announced_and_one_until_woken_is_not(
    store: MemoryStore, notices: list[Notice]
) -> None:
    one, two = leased(store), leased(store)
    store.journal.release([Release(one.run_id, one.token, None)])
    assert notices == []
    store.journal.release([Release(two.run_id, two.token, 5.0)])
    assert notices == [Notice("due")]


def test_runs_that_an_owner_leaves_are_announced_as_left(store: MemoryStore, notices: list[Notice]) -> None:
    lease = leased(store)
    store.journal.release([Release(lease.run_id, lease.token, 5.0, "no code", lacks_code=True)])
    store.dispatch.retire([OWNER])
    assert notices == [Notice("left")] * 2


def test_mail_is_announced_to_owners_and_as_due_without_one(
    store: MemoryStore, notices: list[Notice]
) -> None:
    run_id = uuid4()
    store.mailbox.announce_mail([Woken(run_id, OWNER), Woken(uuid4(), None), Woken(uuid4(), None)])
    assert notices == [Notice("mail", run_id, OWNER), Notice("due")]


def test_ended_runs_are_announced_together(store: MemoryStore) -> None:
    heard: list[tuple[UUID, ...]] = []
    store.subscribe_ended(heard.append)
    lease, ended = leased(store), (uuid4(), uuid4())
    store.mailbox.announce_ended(ended)
    store.mailbox.announce_ended([])
    store.catalog.cancel(lease.run_id, None)
    assert heard == [ended, (lease.run_id,)]


def test_a_subscriber_may_use_the_store(store: MemoryStore) -> None:
    claimed: list[UUID] = []
    store.subscribe(lambda _: claimed.extend(run.run_id for run in store.dispatch.claim(OWNER, 10)))
    one = seed()
    store.catalog.insert([one])
    assert claimed == [one.id]


def test_a_fault_before_an_operation_leaves_it_undone(store: MemoryStore, notices: list[Notice]) -> None:
    def fault(name: str) -> None:
        if name == "insert":
            raise lose(name)

    store.fault, one = fault, seed()
    with pytest.raises(JournalError):
        store.catalog.insert([one])
    assert store.catalog.get(one.id) is None
    assert notices == []


@pytest.mark.rule("L1")
def test_a_commit_whose_answer_was_lost_has_happened_once(store: MemoryStore) -> None:
    def fault(name: str) -> None:
        if name == "commit:after":
            store.fault = None
            raise lose(name)

    lease = leased(store)
    store.fault = fault
    with pytest.raises(JournalError):
        store.journal.commit([step(lease, 1, 2)])
    assert store.journal.commit([step(lease, 1, 2)]) == set()
    assert [event.seq for event in store.catalog.events(lease.run_id)] == [1, 2]


def test_a_fault_hears_the_name_of_every_operation(store: MemoryStore) -> None:
    heard: list[str] = []
    lease = leased(store)
    store.fault = heard.append
    store.journal.load([lease])
    store.dispatch.claim(OWNER, 1)
    assert heard == ["load", "load:after", "claim", "claim:after"]


@pytest.mark.parametrize("seqs", [(2,), (1, 3), (1, 1), (2, 1)])
def test_a_gap_in_the_events_of_a_step_is_a_bug_of_the_caller(
    store: MemoryStore, seqs: tuple[int, ...]
) -> None:
    lease, other = leased(store), leased(store)
    with pytest.raises(AssertionError, match="gap"):
        store.journal.commit([step(other, 1), step(lease, *seqs)])
    assert store.catalog.events(other.run_id) == []


def test_two_steps_of_one_run_in_a_batch_are_a_bug_of_the_caller(store: MemoryStore) -> None:
    lease = leased(store)
    with pytest.raises(AssertionError, match="one step per run"):
        store.journal.commit([step(lease, 1), step(lease, 2, base_seq=1)])


def test_a_timer_that_one_step_sets_and_clears_is_a_bug_of_the_caller(store: MemoryStore) -> None:
    lease = leased(store)
    both = step(lease, 1)
    both.timers_set, both.timers_cleared = [TimerRow(1, delay_s=1.0)], [1]
    with pytest.raises(AssertionError, match="both set and cleared"):
        store.journal.commit([both])


@pytest.mark.rule("T1")
def test_timers_tasks_and_owners_follow_the_clock_that_was_given(store: MemoryStore, clock: Clock) -> None:
    lease = leased(store)
    both = step(lease)
    both.timers_set = [TimerRow(1, delay_s=10.0)]
    both.tasks_set = [TaskRow(2, 1, "shop.charge", b"", "default", delay_s=10.0)]
    store.journal.commit([both])
    assert store.mailbox.due_timers([(lease.run_id, 1)])[0] == []
    assert store.dispatch.claim_tasks(OWNER, ["default"], 10) == []
    clock.now += 10.0
    assert [timer.owner for timer in store.mailbox.due_timers([(lease.run_id, 1)])[0]] == [OWNER]
    assert len(store.dispatch.claim_tasks(OWNER, ["default"], 10)) == 1
    clock.now += 20.0
    assert store.mailbox.due_timers([(lease.run_id, 1)])[0][0].owner is None
    assert store.dispatch.heartbeat(OWNER, 30.0) is None
    assert store.dispatch.lose_orphans() == [Woken(lease.run_id, None)]


def test_the_first_outcome_of_an_attempt_stays(store: MemoryStore) -> None:
    lease = leased(store)
    first, second = (TaskOutcome(lease.run_id, 1, 1, True, payload) for payload in (b"first", b"second"))
    assert store.dispatch.offer_outcomes([first, second]) == [Woken(lease.run_id, OWNER)]
    assert store.journal.mail([lease])[0].outcomes == (first,)


def test_threads_get_different_tokens(store: MemoryStore) -> None:
    leases: list[Lease] = []
    threads = [
        threading.Thread(target=lambda: leases.extend(leased(store) for _ in range(50))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({lease.token for lease in leases}) == len(leases) == 200
