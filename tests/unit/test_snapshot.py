"""Snapshots: the same run, from one blob; and what happens when the blob is of no use."""

from __future__ import annotations

import logging
from uuid import UUID

import msgspec
import pytest

from continuum.core.definitions import activity, registry, workflow
from continuum.core.effects import wait_signal
from continuum.core.snapshot import FORMAT, compact, expand
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import EventRow
from continuum.model.ids import Owner
from continuum.ports.journal import Snapshot
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.wire.messages import Assign, Wake
from tests.unit.engine_house import RUN, Desks, House, naps, step, waits
from tests.unit.machine_driver import Driver, chain, double, gathered
from tests.unit.stage import BOOT, INSTANCE, NODE

# As the release before wrote it: another shape, not only another number.
FORMAT_2 = msgspec.msgpack.encode((2, [(1, 8, msgspec.msgpack.encode([1.0, None, ""]), 0.0)]))


@activity(name="snapshot.quote")
def quote(text: str) -> str:
    return text


@workflow(name="snapshot.long", snapshot_every=4)
async def long_run(count: int) -> object:
    value = 0
    for _ in range(count):
        value = await step(value)
    return [value, await wait_signal("end")]


@workflow(name="snapshot.steps_then_quotes")
async def chain_of_quotes(count: int) -> object:
    value = 0
    for _ in range(count):
        value = await double(value)
    return await quote(str(value))


@pytest.mark.rule("P1", "P2")
def test_a_history_from_a_snapshot_replays_like_the_events_and_drifts_like_them() -> None:
    run = Driver(gathered)
    for seq in (3, 1, 2):
        run.fire(seq)
    run.complete(9, 4)
    recorded = expand(compact(run.history, RUN), RUN)
    assert [(row.seq, row.kind) for row in recorded.rows()] == [(row.seq, row.kind) for row in run.history]
    again = Driver(gathered, history=recorded)
    assert [p.dispatch.seq for p in again.machine.attempts()] == [
        p.dispatch.seq for p in run.machine.attempts()
    ]
    with pytest.raises(ReplayDriftError) as from_snapshot:
        Driver(chain, 1, history=recorded)
    with pytest.raises(ReplayDriftError) as from_events:
        Driver(chain, 1, history=run.history)
    assert str(from_snapshot.value) == str(from_events.value)


@pytest.mark.rule("P2", "R3")
@pytest.mark.parametrize("done", [1, 2, 3])
def test_another_activity_in_the_middle_of_pairs_is_the_same_drift_from_a_snapshot(done: int) -> None:
    run = Driver(chain, 3)
    for step_number in range(done):
        run.complete(2 * step_number + 1, step_number)
    errors = []
    for history in (run.history, expand(compact(run.history, RUN), RUN)):
        with pytest.raises(ReplayDriftError) as drift:
            Driver(chain_of_quotes, done - 1, history=history)
        errors.append(str(drift.value))
    assert errors[0] == errors[1]
    assert "activity snapshot.quote #1 (unit/test_snapshot.py:" in errors[0]


def test_a_snapshot_leaves_out_the_arguments_that_no_replay_needs() -> None:
    @workflow(name="snapshot.large")
    async def large(text: str) -> None:
        await quote(text)
        await quote(text)

    run = Driver(large, "x" * 5000)
    run.complete(1, "y")
    data = compact(run.history, RUN)
    assert 5000 < len(data) < 6000, "the arguments of the open attempt stay, those of the other are gone"
    (open_attempt,) = Driver(large, "x" * 5000, history=expand(data, RUN)).machine.attempts()
    assert payload.decode(open_attempt.dispatch.args) == [["x" * 5000], {}]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("data", [b"", b"rubbish", msgspec.msgpack.encode((FORMAT + 1, [])), FORMAT_2])
def test_a_damaged_or_newer_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        expand(data, RUN)


@pytest.mark.rule("P3")
def test_the_refusal_of_another_format_names_both() -> None:
    with pytest.raises(ValueError, match=f"format 2, this code reads {FORMAT}"):
        expand(FORMAT_2, RUN)


def go_on(house: House, steps: int) -> None:
    for _ in range(steps):
        (task,) = house.executes()
        house.finish(task, task.seq)


def succeed(house: House, limits: EngineLimits | None = None) -> Engine:
    """The engine is gone; another one takes its runs."""
    house.stage.store.dispatch.retire([str(Owner(NODE, INSTANCE, "engine-1", f"{BOOT}-1"))])
    house.desks = Desks(house.stage)
    engine = Engine(house.stage.ports("engine-2"), house.desks, registry.workflow, limits or EngineLimits())
    house.desks.engine = house.engine = engine
    house.stage.play("engine-2", engine)
    house.settle()
    owner = str(Owner(NODE, INSTANCE, "engine-2", f"{BOOT}-1"))
    house.dispatcher.send("engine-2", Assign(owner, house.stage.store.dispatch.claim(owner, 10)))
    house.settle()
    return engine


def stored(house: House, run_id: UUID = RUN) -> Snapshot | None:
    leases = house.stage.store.journal.leased_since(str(Owner(NODE, INSTANCE, "engine-1", f"{BOOT}-1")), 0)
    (loaded,) = house.stage.store.journal.load([lease for lease in leases if lease.run_id == run_id])
    return loaded.snapshot


@pytest.mark.rule("P1")
def test_a_long_run_gets_a_snapshot_every_so_many_events_and_resumes_from_it() -> None:
    house = House()
    house.start(long_run, 5)
    go_on(house, 1)
    assert stored(house) is None
    go_on(house, 4)
    snapshot = stored(house)
    assert snapshot is not None and snapshot.upto_seq >= 8
    assert succeed(house).runs == 1
    assert house.stage.store.catalog.get(RUN).attention is None  # type: ignore[union-attr]


@pytest.mark.rule("P1")
def test_a_workflow_that_says_nothing_gets_snapshots_only_if_its_engine_is_told_to() -> None:
    for every in (None, 2):
        house = House(limits=EngineLimits(snapshot_every=every))
        house.start(registry.workflow("engine.chain"), 3)
        go_on(house, 2)
        assert (stored(house) is not None) == (every is not None)


@pytest.mark.rule("P3")
@pytest.mark.parametrize(
    "damage",
    [
        lambda good: msgspec.structs.replace(good, data=b"rubbish"),
        lambda good: msgspec.structs.replace(good, data=msgspec.msgpack.encode((FORMAT + 1, []))),
        lambda good: msgspec.structs.replace(good, version_hash="another"),
        lambda good: msgspec.structs.replace(good, upto_seq=good.upto_seq - 1),
        lambda good: msgspec.structs.replace(good, upto_seq=good.upto_seq + 1),
        lambda good: msgspec.structs.replace(good, upto_seq=10**6),
    ],
    ids=["unreadable", "newer format", "other version", "one more than it says", "one less", "far less"],
)
def test_a_snapshot_of_no_use_is_ignored_with_a_log_line(
    damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "continuum")
    house = House()
    house.start(long_run, 5)
    go_on(house, 5)
    good = stored(house)
    assert good is not None and callable(damage)
    lease = house.stage.store.journal.leased_since(str(Owner(NODE, INSTANCE, "engine-1", f"{BOOT}-1")), 0)[0]
    house.stage.store.journal.save_snapshot(lease, damage(good))
    assert succeed(house).runs == 1
    assert any("resuming from its events" in record.getMessage() for record in caplog.records)


@pytest.mark.rule("P4")
@pytest.mark.parametrize("operation", ["save_snapshot", "save_snapshot:after"])
def test_a_snapshot_that_fails_harms_no_run(operation: str) -> None:
    house = House()
    house.stage.break_database(operation)
    house.start(long_run, 6)
    go_on(house, 6)
    house.stage.store.catalog.signal(RUN, "end", payload.encode("x"), None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()
    assert house.result() == [11, "x"]


def test_a_parked_run_is_given_back_after_a_while_and_the_next_wake_resumes_it() -> None:
    house = House(limits=EngineLimits(parked_s=20))
    house.start(waits)
    house.advance(15)
    assert house.engine.runs == 1
    house.advance(15)
    assert house.engine.runs == 0
    row = house.stage.store.catalog.get(RUN)
    assert row is not None and (row.state, row.owner) == ("suspended", None)
    house.stage.store.catalog.signal(RUN, "go", payload.encode("morning"), None)
    house.assign()
    assert house.result() == "morning"


def test_a_run_that_rests_longest_is_given_back_first() -> None:
    house = House(limits=EngineLimits(runs_max=10, parked_s=1e9))
    for number in range(1, 10):
        house.start(naps, number=number)
        house.advance(0.1)
    house.stage.store.catalog.signal(UUID(int=1), "nobody waits", payload.encode(1), None)
    house.router.send("engine-1", Wake([UUID(int=1).bytes]))
    house.settle()
    house.start(naps, number=10)
    owners = {n: house.stage.store.catalog.get(UUID(int=n)).owner for n in range(1, 11)}  # type: ignore[union-attr]
    assert [n for n, owner in owners.items() if owner is None] == [2]


def test_what_comes_from_a_snapshot_has_no_gap() -> None:
    rows = [EventRow(seq, row.kind, row.payload) for seq, row in enumerate(Driver(gathered).history, 1)]
    assert [row.seq for row in expand(compact(rows, RUN), RUN).rows()] == list(range(1, len(rows) + 1))
