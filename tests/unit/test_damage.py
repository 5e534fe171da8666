"""Damaged rows: whatever is wrong with one run parks that run, with the reason, and its neighbours go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from random import Random
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import side_effect, sleep, wait_signal
from continuum.core.recorded import recorded_of
from continuum.core.snapshot import UNCHECKED, compact, expand
from continuum.errors import JournalError
from continuum.memory.tables import RunRecord
from continuum.model import payload
from continuum.model.events import ActivityCompleted, ChildCompleted, EventRow, to_row
from continuum.model.run import RunSeed
from continuum.ports.dispatch import Told
from continuum.ports.journal import Lease, LoadedRun, ResultKey, RunCommit, SignalRow, Snapshot, TaskOutcome
from continuum.ports.mailbox import Notice
from continuum.ports.offload import Desk
from continuum.runtime.limits import EngineLimits
from continuum.runtime.snapshots import _whole_history
from continuum.wire.messages import Finished, Wake
from tests.unit.engine_house import OWNER, RUN, House, chain, step, waits

NEIGHBOUR = UUID(int=43)
JUNK = b"\xc1\xff"


@activity(name="damage.keyed", idempotency_key=lambda value: f"key {value}")
def keyed(value: int) -> int:
    return value


@workflow(name="damage.many")
async def many(count: int) -> object:
    value = side_effect(lambda: count)
    for _ in range(count):
        value = await step(value)
    return [value, await wait_signal("go")]


@workflow(name="damage.keyed_once")
async def keyed_once() -> int:
    return await keyed(7)


@workflow(name="damage.naps")
async def naps_long() -> None:
    await sleep(1e9)


@pytest.fixture
def house() -> House:
    return House(limits=EngineLimits(parked_s=20))


def record(house: House, run_id: UUID = RUN) -> RunRecord:
    """Return the run as it lies in the database, to be damaged."""
    return house.stage.store.journal._database._tables.runs[run_id]


def at_rest(house: House, steps: int = 2) -> RunRecord:
    """A run with a side effect and activities in its journal, that was given back and waits for a signal."""
    house.start(many, steps)
    for _ in range(steps):
        (task,) = house.executes()
        house.finish(task)
    house.advance(30)
    assert house.engine.runs == 0
    return record(house)


def wake(house: House) -> None:
    """A signal comes for the run, and the engine is to load it."""
    house.stage.store.catalog.signal(RUN, "go", payload.encode("on"), None)
    house.assign()


def assert_parked(house: House, word: str, run_id: UUID = RUN) -> None:
    row = house.stage.store.catalog.get(run_id)
    assert row is not None and row.attention is not None, "nothing says what is wrong"
    assert (row.state, row.owner) == ("suspended", None)
    assert word in row.attention


def assert_neighbours_go_on(house: House) -> None:
    house.start(chain, 1, number=NEIGHBOUR.int)
    (task,) = [task for task in house.executes() if task.run == NEIGHBOUR.bytes]
    house.finish(task)
    assert house.state(NEIGHBOUR) == "completed"


def event(seq: int, payload_: bytes, kind: int | None = None) -> Callable[[RunRecord], None]:
    def damage(run: RunRecord) -> None:
        row = run.events[seq - 1]
        run.events[seq - 1] = EventRow(seq, row.kind if kind is None else kind, payload_)

    return damage


def argued(args: object) -> Callable[[RunRecord], None]:
    return lambda run: setattr(run, "seed", msgspec.structs.replace(run.seed, args=cast(bytes, args)))


def body(seq: int, value: Any) -> Callable[[RunRecord], None]:
    return event(seq, to_row(seq, value).payload, to_row(seq, value).kind)


DAMAGES: dict[str, tuple[Callable[[RunRecord], Any], str]] = {
    "an event that is junk": (event(3, JUNK), "event 3"),
    "an event of an unknown kind": (event(3, JUNK, 250), "event 3"),
    "a kind that is no byte": (event(3, JUNK, -4), "event 3"),
    "an event is missing": (lambda run: run.events.pop(1), "event 3 where event 2"),
    "an event is there twice": (lambda run: run.events.insert(2, run.events[1]), "event 2 where event 3"),
    "a result that is junk": (body(3, ActivityCompleted(2, JUNK, 1)), "event 3 holds a value"),
    "the last result is junk": (body(5, ActivityCompleted(4, JUNK, 1)), "event 5 holds a value"),
    "a side effect that is junk": (event(1, msgspec.msgpack.encode([JUNK, ""])), "event 1 holds a value"),
    "an answer to nothing": (body(3, ChildCompleted(2, payload.encode(1), 1)), "child"),
    "a time of no calendar": (lambda run: setattr(run, "begun_at", math.inf), "OverflowError"),
    "arguments that are junk": (argued(JUNK), "arguments"),
    "arguments that are none": (argued(payload.encode([1, 2, 3])), "arguments"),
    "a signal that is junk": (lambda run: run.signals.update({1: SignalRow(1, "go", JUNK)}), "a value"),
    "a signal that is nothing": (lambda run: run.signals.update({1: SignalRow(1, "go", None)}), "a value"),  # type: ignore[arg-type]
}


@pytest.mark.rule("P3", "B4")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_parked_with_the_reason_and_its_neighbours_go_on(house: House, name: str) -> None:
    damage, word = DAMAGES[name]
    run = at_rest(house)
    house.stage.store.catalog.signal(RUN, "go", payload.encode("on"), None)
    damage(run)
    events = list(run.events)
    house.assign()
    assert_parked(house, word)
    assert run.events == events, "nothing is added to a journal that cannot be read"
    assert_neighbours_go_on(house)


def junk_result(house: House) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    house.worker.send("engine-1", Finished(task.run, task.seq, task.attempt, True, JUNK))
    house.settle()


def junk_mail(house: House) -> None:
    house.start(waits)
    house.stage.store.catalog.signal(RUN, "go", JUNK, None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()


def junk_that_is_told(house: House) -> None:
    house.start(waits)
    house.engine.hearing.begin("channel")
    house.engine.hearing.notice([Notice("signal", RUN, signal=SignalRow(1, "go", JUNK))])
    house.settle()


def junk_that_is_kept(house: House) -> None:
    house.stage.store.journal._database._tables.results[ResultKey(keyed.name, "key 7")] = JUNK
    house.start(keyed_once)


def junk_outcome(house: House) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    outcome = TaskOutcome(RUN, task.seq, task.attempt, True, cast(bytes, None))
    house.stage.store.dispatch.offer_outcomes([outcome])
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()


@pytest.mark.rule("B4")
@pytest.mark.parametrize(
    "come",
    [junk_result, junk_mail, junk_that_is_told, junk_that_is_kept, junk_outcome],
    ids=lambda c: c.__name__,
)
def test_what_comes_for_a_run_and_cannot_be_read_parks_that_run_only(
    house: House, come: Callable[[House], None]
) -> None:
    come(house)
    assert_parked(house, "a value that cannot be read")
    assert_neighbours_go_on(house)


@pytest.mark.rule("B4")
@pytest.mark.parametrize(
    "error", [AssertionError, IndexError, RecursionError, MemoryError, AttributeError, KeyError]
)
def test_whatever_a_run_raises_in_our_own_code_is_that_runs(
    house: House, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.start(waits)
    live = house.engine._runs[RUN.bytes]

    def broken(*_: object) -> bool:
        raise error("a fault of ours")

    monkeypatch.setattr(type(live.machine), "fire", broken)
    house.engine._firing.add([(RUN.bytes, 1)])
    house.settle()
    assert_parked(house, f"{error.__name__}: ")
    monkeypatch.undo()
    assert_neighbours_go_on(house)


def test_a_run_that_was_parked_for_damage_goes_on_once_its_rows_are_whole(house: House) -> None:
    run = at_rest(house)
    good = list(run.events)
    event(3, JUNK)(run)
    wake(house)
    assert_parked(house, "event 3")
    run.events[:] = good
    house.advance(61)
    house.assign()
    assert (house.state(), house.result()) == ("completed", [1, "on"])


class Refusing:
    """The journal of a database that cannot do what it is asked for one run, and says so for all of a batch."""

    def __init__(self, house: House, bad: UUID) -> None:
        self._journal, self._bad = house.stage.store.journal, bad
        house.desks.use(Desk(cast(Any, self), house.stage.store.dispatch))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def _check(self, run_ids: Sequence[UUID]) -> None:
        if self._bad in run_ids:
            raise JournalError("ask", "timestamp out of range", refused=True)

    def commit(
        self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
    ) -> Set[UUID]:
        self._check([commit.run_id for commit in batch])
        return self._journal.commit(batch, announce, told)

    def load(self, leases: Sequence[Lease], snapshots: bool = True) -> list[LoadedRun]:
        self._check([lease.run_id for lease in leases])
        return self._journal.load(leases, snapshots)


@pytest.mark.rule("B4", "R6")
def test_a_step_that_the_database_refuses_parks_its_run_and_keeps_none_of_its_group_back(
    house: House,
) -> None:
    Refusing(house, RUN)
    for number in range(RUN.int - 5, RUN.int + 5):
        seed = RunSeed(id=UUID(int=number), workflow=naps_long.name, args=payload.encode([[], {}]))
        house.stage.store.catalog.insert([seed])
    house.assign()
    assert_parked(house, "timestamp out of range")
    others = [n for n in range(RUN.int - 5, RUN.int + 5) if n != RUN.int]
    assert [house.types(UUID(int=n)) for n in others] == [["timer_started"]] * len(others)


@pytest.mark.rule("B4")
def test_a_run_that_cannot_be_loaded_is_parked_and_those_that_were_asked_for_with_it_are_loaded(
    house: House,
) -> None:
    for number in range(RUN.int - 5, RUN.int + 5):
        house.start(waits, number=number)
    house.advance(30)
    assert house.engine.runs == 0
    Refusing(house, RUN)
    for number in range(RUN.int - 5, RUN.int + 5):
        house.stage.store.catalog.signal(UUID(int=number), "go", payload.encode(1), None)
    house.assign()
    assert_parked(house, "it cannot be loaded")
    states = [house.state(UUID(int=n)) for n in range(RUN.int - 5, RUN.int + 5) if n != RUN.int]
    assert states == ["completed"] * 9


def damaged(data: bytes, other: bytes, random: Random) -> bytes:
    """Return a blob with a bit flipped, bytes changed, cut out, added, or a piece of another blob in it."""
    at = random.randrange(len(data))
    end = min(len(data), at + random.randrange(1, 9))
    match random.randrange(5):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + random.randbytes(end - at) + data[end:]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[end:]
        case _:
            return data[:at] + other[random.randrange(len(other)) :] + data[end:]


def _unchecked(data: bytes) -> bytes:
    """Return the blob as the release before wrote it."""
    _, _, body = msgspec.msgpack.decode(data)
    kinds, targets, entries = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([UNCHECKED, kinds, [target[:2] for target in targets], entries])


@pytest.mark.rule("P3")
def test_no_damage_to_a_snapshot_is_taken_for_a_history() -> None:
    house, random = House(limits=EngineLimits(parked_s=20)), Random(11)
    whole = at_rest(house, 6).events
    good, other = compact(whole, RUN), compact(whole[:-2], RUN)
    for _ in range(3_000):
        data = damaged(good, other, random)
        if data != good:
            with pytest.raises(ValueError, match="snapshot"):
                expand(data, RUN)
    with pytest.raises(ValueError, match="damaged"):
        expand(good, NEIGHBOUR)


@pytest.mark.rule("P3")
@pytest.mark.parametrize("old", [False, True], ids=["with a checksum", "of before"])
def test_a_run_resumes_from_its_events_whatever_is_wrong_with_its_snapshot(house: House, old: bool) -> None:
    random = Random(7)
    run = at_rest(house, 6)
    data = compact(run.events, RUN)
    good = _unchecked(data) if old else data
    for number in range(150):
        run.snapshot = Snapshot(
            random.choice([13, 13, 13, 12, 14, 0, 10**9]), 4, many.version_hash, damaged(good, good, random)
        )
        house.stage.store.catalog.signal(RUN, f"other {number}", payload.encode(1), None)
        house.assign()
        assert (house.engine.runs, run.attention) == (1, None)
        house.advance(30)
    run.snapshot = Snapshot(13, 4, many.version_hash, good)
    wake(house)
    assert house.result() == [1, "on"]


@pytest.mark.rule("P1", "P3")
def test_a_snapshot_of_before_is_read_but_no_new_one_is_made_of_it(house: House) -> None:
    run = at_rest(house, 4)
    rows = list(run.events)
    old = _unchecked(compact(rows, RUN))
    assert [row.kind for row in expand(old, RUN).rows()] == [row.kind for row in rows]
    tampered = [*rows]
    tampered[2] = to_row(3, ActivityCompleted(2, payload.encode("another"), 1))
    run.snapshot = Snapshot(len(rows), UNCHECKED, many.version_hash, _unchecked(compact(tampered, RUN)))
    house.stage.store.catalog.signal(RUN, "go", payload.encode("on"), None)
    (claimed,) = house.stage.store.dispatch.claim(OWNER, 1)
    desk = Desk(house.stage.store.journal, house.stage.store.dispatch)
    whole = _whole_history(desk, Lease(RUN, claimed.token), many.version_hash)
    assert whole is not None and whole.rows() == recorded_of(rows).rows()


@pytest.mark.rule("B4")
def test_a_run_whose_row_does_not_fit_its_journal_is_parked_and_not_loaded_for_ever(house: House) -> None:
    at_rest(house)
    commits: list[UUID] = []

    class Elsewhere(Refusing):
        def commit(
            self, batch: Sequence[RunCommit], announce: bool = False, told: Told | None = None
        ) -> Set[UUID]:
            commits.extend(step.run_id for step in batch)
            return self._journal.commit([step for step in batch if step.run_id != RUN], announce, told)

    Elsewhere(house, NEIGHBOUR)
    wake(house)
    assert_parked(house, "no step after event 6")
    assert commits == [RUN] * 3
