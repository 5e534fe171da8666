"""What an engine does with large values: groups, reads and messages are bounded by bytes, and large histories apart."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, cast
from uuid import UUID

import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import wait_signal
from continuum.core.loop import WorkflowLoop, running_in
from continuum.errors import JournalError
from continuum.model import payload
from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.dispatch import Told
from continuum.ports.journal import Journal, Lease, LoadedRun, RunCommit, Weight
from continuum.ports.offload import Desk, Lane
from continuum.runtime import commits
from continuum.runtime.commits import weight_of
from continuum.runtime.limits import GROUP_BYTES_MAX, EngineLimits, fitting
from continuum.wire.messages import Assign, Execute
from continuum.wire.post import UNACKED_BYTES_MAX, Peer, Post
from tests.unit.engine_house import OWNER, RUN, House, chain, waits
from tests.unit.stage import Datagrams, HandClock

MIB = 1 << 20
GIB = 1 << 30


@activity(name="weights.hold")
def hold(data: bytes) -> int:
    return len(data)


@workflow(name="weights.passes_on")
async def passes_on(data: bytes) -> int:
    return await hold(data)


@workflow(name="weights.adds_up")
async def adds_up(count: int) -> int:
    return sum([len(cast(bytes, await wait_signal("go"))) for _ in range(count)])


class Scales:
    """The journal of a database that gives up commits of more than ``steps_max`` steps, knows what ``histories``
    weigh, and has not the memory to read ``unreadable`` ones."""

    def __init__(self, house: House, *, steps_max: int = 1000) -> None:
        self._journal, self._steps_max = house.stage.store.journal, steps_max
        self.histories: dict[UUID, int] = {}
        self.unreadable: set[UUID] = set()
        self.groups: list[Sequence[RunCommit]] = []
        self.loads: list[list[UUID]] = []
        self.read_alone: list[UUID | None] = []
        house.desks.use(Desk(cast(Journal, self), house.stage.store.dispatch))

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> Set[UUID]:
        self.groups.append(batch)
        if len(batch) > self._steps_max:
            raise JournalError("commit", "canceling statement due to statement timeout", too_slow=True)
        return self._journal.commit(batch, announce, told)

    def weigh(self, leases: Sequence[Lease], snapshots: bool = True) -> dict[Lease, Weight]:
        weights = self._journal.weigh(leases, snapshots)
        return {
            lease: Weight(weight.arguments, self.histories.get(lease.run_id, weight.history))
            for lease, weight in weights.items()
        }

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        self.loads.append([lease.run_id for lease in leases])
        self.read_alone.append(running_in(bytes(WorkflowLoop.record)))
        if self.unreadable.intersection(self.loads[-1]):
            raise MemoryError
        return self._journal.load(leases, snapshots)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@pytest.fixture
def house() -> House:
    return House(window=1000)


def insert(house: House, name: str, count: int, *args: object) -> list[UUID]:
    seeds = [
        RunSeed(id=UUID(int=number), workflow=name, args=payload.encode([list(args), {}]))
        for number in range(1, count + 1)
    ]
    for seed in seeds:
        house.stage.store.catalog.insert([seed])
    return [seed.id for seed in seeds]


def test_as_many_go_together_as_there_is_room_for_and_one_in_any_case() -> None:
    assert fitting([4, 4, 4], 8) == 2
    assert fitting([9, 1], 8) == 1
    assert fitting([1, 1], 8) == 2
    assert fitting([], 8) == 0


def test_a_commit_that_took_too_long_is_halved_and_gets_through(house: House) -> None:
    scales = Scales(house, steps_max=3)
    runs = insert(house, chain.name, 20, 0)
    house.assign()
    assert [house.state(run) for run in runs] == ["completed"] * 20
    assert [len(group) for group in scales.groups][:3] == [20, 10, 10]


def test_a_group_is_bounded_by_the_bytes_in_it(house: House) -> None:
    scales = Scales(house)
    insert(house, passes_on.name, 40, bytes(MIB - 100))
    house.assign()
    for task in house.executes():
        house.finish(task)
    assert max(sum(map(weight_of, group)) for group in scales.groups) <= GROUP_BYTES_MAX + MIB
    assert max(map(len, scales.groups)) > 1, "they still go together"


def test_a_step_that_no_statement_has_room_for_parks_its_run_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "STEP_BYTES_MAX", 1000)
    (run,) = insert(house, passes_on.name, 1, bytes(2000))
    house.assign()
    other = house.start(chain, 0, number=77)
    row = house.stage.store.catalog.get(run)
    assert row is not None and "pass references to large values" in str(row.attention)
    assert house.state(other) == "completed"


def test_runs_with_large_arguments_wait_until_there_is_room() -> None:
    limited = House(window=1000, limits=EngineLimits(heavy_bytes_max=3 * MIB))
    runs = insert(limited, passes_on.name, 10, bytes(MIB - 100))
    limited.assign()
    assert limited.engine.runs == 3
    other = limited.start(chain, 0, number=77)
    assert limited.state(other) == "completed", "small ones need not wait"
    while tasks := limited.executes():
        for task in tasks:
            limited.finish(task)
    assert [limited.state(run) for run in runs] == ["completed"] * 10


def test_a_dispatcher_waits_for_what_an_engine_says_of_heavy_runs(house: House) -> None:
    insert(house, passes_on.name, 1, bytes(MIB - 100))
    (claimed,) = house.stage.store.dispatch.claim(OWNER, 10)
    assert len(claimed.args) == 0
    house.dispatcher.send("engine-1", Assign(OWNER, [claimed]))
    house.settle()
    assert [len(task.args) > MIB - 200 for task in house.executes()] == [True]


def test_all_signals_of_a_full_mailbox_reach_their_run_in_order(house: House) -> None:
    run = house.start(adds_up, 40)
    for _ in range(40):
        house.stage.store.catalog.signal(run, "go", payload.encode(bytes(MIB - 100)), None)
    house.engine._reading.wake(run.bytes)
    house.settle()
    assert house.result(run) == 40 * (MIB - 100)


def test_signals_for_which_there_was_no_room_are_read_though_those_before_are_not_wanted(
    house: House,
) -> None:
    run = house.start(waits)
    for _ in range(20):
        house.stage.store.catalog.signal(run, "other", payload.encode(bytes(MIB - 100)), None)
    house.stage.store.catalog.signal(run, "go", payload.encode("here"), None)
    house.engine._reading.wake(run.bytes)
    house.settle()
    assert house.result(run) == "here"


def taken(net: Datagrams, to: str) -> list[bytes]:
    """Return the datagrams to this process that nobody has had yet."""
    found = [data for name, data in net.queue if name == to]
    net.queue = [entry for entry in net.queue if entry[0] != to]
    return found


def test_a_parcel_waits_until_the_peer_has_taken_what_is_on_its_way() -> None:
    net, clock = Datagrams(), HandClock()
    sender, reader = Post("engine-1", "b-1", clock, net), Post("worker-1", "b-2", clock, net)
    count = 2 * UNACKED_BYTES_MAX // MIB
    for seq in range(count):
        sender.send(Peer("worker-1", "b-2"), Execute(RUN.bytes, seq, 1, "a", bytes(MIB)))
    sender.flush()
    first = taken(net, "worker-1")
    assert sum(map(len, first)) <= UNACKED_BYTES_MAX + 2 * MIB
    got = [opened for data in first if (opened := reader.open(data)) is not None]
    for _ in range(count):
        clock.now += 0.1
        reader.flush()
        for data in taken(net, "engine-1"):
            sender.open(data)
        sender.flush()
        got += [opened for data in taken(net, "worker-1") if (opened := reader.open(data)) is not None]
    seqs = [message.seq for _, messages in got for message in messages if isinstance(message, Execute)]
    assert sorted(seqs) == list(range(count))


def park_with_history(house: House, scales: Scales, weight: int) -> UUID:
    """Return a run whose engine has died, and whose history weighs so much."""
    run = house.start(waits)
    house.engine._drop(house.engine._runs[run.bytes])
    scales.histories[run] = weight
    return run


@pytest.mark.rule("B7")
def test_a_history_larger_than_a_whole_read_is_read_alone_and_noted_for_who_looks_when_it_kills(
    house: House,
) -> None:
    scales = Scales(house)
    run = park_with_history(house, scales, GIB)
    lease = Lease(run, 1)
    row = house.stage.store.catalog.get(run)
    assert row is not None
    house.desks.hold = {Lane.READ}
    token = house.stage.store.journal.leased_since(OWNER, 0)[0].token
    house.engine._loading.want(Lease(lease.run_id, token))
    house.engine._loading.want(Lease(UUID(int=999), 1))
    house.settle()
    house.desks.hold = set()
    house.settle()
    assert scales.loads == [[UUID(int=999)], [run]]
    assert scales.read_alone == [None, run], "a death while it is read is its own"
    assert running_in(bytes(WorkflowLoop.record)) is None, "and when it has begun it is a run like any other"
    assert run.bytes in house.engine._runs


@pytest.mark.rule("B7")
def test_a_history_for_which_there_is_no_memory_counts_as_a_death_and_neighbours_go_on(house: House) -> None:
    scales = Scales(house)
    run = park_with_history(house, scales, GIB)
    scales.unreadable.add(run)
    token = house.stage.store.journal.leased_since(OWNER, 0)[0].token
    house.engine._loading.want(Lease(run, token))
    house.settle()
    other = house.start(chain, 0, number=77)
    assert house.state(other) == "completed"
    row = house.stage.store.catalog.get(run)
    assert row is not None and row.state == "suspended"
    assert "engine deaths: 1 of 5" in str(row.attention)
    assert running_in(bytes(WorkflowLoop.record)) is None
    assert [event for event in house.stage.store.catalog.events(run) if isinstance(event, EventRow)]
