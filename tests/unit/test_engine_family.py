"""The engine and relatives of its runs: children, parents, successors, and a cancel with clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from continuum.core.definitions import activity, workflow
from continuum.core.effects import continue_as_new, now, start_child, wait_signal
from continuum.core.failure import encode_failure
from continuum.model import payload
from continuum.model.events import Failure
from continuum.model.ids import child_run_id, successor_run_id
from continuum.model.run import RunSeed
from continuum.ports.journal import CancelNote, ClaimedRun, Journal, Lease, Mail
from continuum.ports.offload import Desk, Lane
from continuum.runtime.limits import EngineLimits
from continuum.runtime.live import identity_of
from continuum.wire.messages import Assign, Finished, Look, TimersFired, Wake
from tests.unit.engine_house import RUN, House

CHILD = child_run_id(RUN, 1, None)


@activity(name="family.double")
def double(value: int) -> int:
    return 2 * value


@workflow(name="engine.child")
async def child(value: int) -> int:
    return await double(value)


@workflow(name="engine.parent")
async def parent(value: int) -> int:
    return await child(value)


@workflow(name="engine.deadline")
async def deadline() -> str:
    try:
        async with asyncio.timeout(5):
            await child(1)
    except TimeoutError:
        await wait_signal("go")
    return "late"


@workflow(name="engine.counts")
async def counts(value: int) -> list[object]:
    if value < 3:
        continue_as_new(counts(await double(value) + 1))
    return [value, now().timestamp()]


@workflow(name="engine.waits_twice")
async def waits_twice(first: object = None) -> list[object]:
    if first is None:
        continue_as_new(waits_twice(await wait_signal("go")))
    return [first, await wait_signal("go")]


@workflow(name="engine.tidies")
async def tidies() -> None:
    try:
        await double(1)
    finally:
        await double(2)


class Noted:
    """The journal of a database in which runs were asked to end with clean-up."""

    def __init__(self, journal: Journal, notes: dict[UUID, CancelNote]) -> None:
        self._journal, self._notes = journal, notes
        self.load, self.commit, self.save_snapshot = journal.load, journal.commit, journal.save_snapshot
        self.weigh = journal.weigh
        self.keep, self.ended = journal.keep, journal.ended
        self.release, self.leased_since = journal.release, journal.leased_since

    def mail(self, leases: Sequence[Lease], after: Sequence[int] = ()) -> list[Mail]:
        found = self._journal.mail(leases, after)
        return [msgspec.structs.replace(mail, cancel=self._notes.get(mail.run_id)) for mail in found]


def ask_to_clean_up(house: House, *runs: UUID) -> None:
    note = CancelNote(house.stage.clock.now, 30.0, "enough")
    journal = Noted(house.stage.store.journal, dict.fromkeys(runs, note))
    house.desks.use(Desk(journal, house.stage.store.dispatch))


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("C1", "R8")
def test_a_child_is_inserted_with_its_event_and_the_dispatcher_looks_only_then(house: House) -> None:
    house.desks.hold = {Lane.COMMIT}
    house.start(parent, 5)
    house.dispatcher.take(Look)
    assert house.stage.store.catalog.get(CHILD) is None
    house.desks.hold = set()
    house.settle()
    assert house.dispatcher.take(Look) == [Look(runs=True)]
    row = house.stage.store.catalog.get(CHILD)
    assert row is not None and row.parent_run_id == RUN
    assert (house.state(), house.types()) == ("suspended", ["child_started"])


@pytest.mark.rule("C2")
def test_the_end_of_a_child_wakes_the_parent_that_is_in_the_same_engine(house: House) -> None:
    house.start(parent, 5)
    house.assign()
    (task,) = house.executes()
    house.finish(task, 10)
    assert (house.result(CHILD), house.result()) == (10, 10)
    assert house.types() == ["child_started", "child_completed"]


@pytest.mark.rule("C2", "C5")
def test_a_child_that_fails_fails_its_await(house: House) -> None:
    @workflow(name="engine.breaks")
    async def breaks() -> None:
        raise asyncio.CancelledError("its own doing")

    @workflow(name="engine.above")
    async def above() -> None:
        await breaks()

    house.start(above)
    house.assign()
    assert (house.state(CHILD), house.state()) == ("failed", "failed")
    assert house.types() == ["child_started", "child_failed"]


@pytest.mark.rule("C2", "B6")
def test_the_end_of_a_child_is_told_to_the_other_engines_and_the_dispatcher(house: House) -> None:
    other, elsewhere = house.stage.extra("engine-2"), UUID(int=9)
    seed = RunSeed(id=RUN, workflow=child.name, args=payload.encode([[5], {}]), parent_run_id=elsewhere)
    house.stage.store.catalog.insert([seed])
    house.assign()
    (task,) = house.executes()
    house.dispatcher.take()
    house.desks.hold = {Lane.COMMIT}
    house.finish(task, 10)
    assert other.take(Wake) == []
    house.desks.hold = set()
    house.settle()
    assert other.take(Wake) == [Wake([elsewhere.bytes])]
    assert Look(runs=True) in house.dispatcher.take(Look)


@pytest.mark.rule("C6")
def test_a_time_out_around_a_child_cancels_it_with_the_commit_of_the_time_out(house: House) -> None:
    house.start(deadline)
    house.assign()
    house.desks.hold = {Lane.COMMIT}
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    child_id = child_run_id(RUN, 1, None)
    assert house.state(child_id) in ("running", "suspended")
    house.desks.hold = set()
    house.settle()
    assert house.state(child_id) == "cancelled"
    assert house.types() == ["timer_started", "child_started", "timer_fired", "signal_awaited"]


@pytest.mark.rule("C6")
def test_the_end_of_a_parent_cancels_the_child_of_a_broken_await_in_the_same_commit(house: House) -> None:
    @workflow(name="engine.both")
    async def both() -> None:
        await asyncio.gather(child(1), child(2))

    house.start(both)
    house.assign()
    first, _ = house.executes()
    failed = Finished(first.run, first.seq, 1, False, encode_failure(Failure("ValueError", "no")))
    house.worker.send("engine-1", failed)
    house.settle()
    assert house.state() == "failed"
    assert [house.state(child_run_id(RUN, n, None)) for n in (1, 2)] == ["failed", "cancelled"]


@pytest.mark.rule("C2")
def test_a_parent_that_was_given_back_is_claimed_and_finds_the_end_of_its_child() -> None:
    house = House(limits=EngineLimits(runs_max=1))
    house.start(parent, 5)
    house.advance(0.2)
    assert house.engine.runs == 0, "a run that waits for children only rests"
    house.assign()
    (task,) = house.executes()
    house.finish(task, 10)
    house.assign()
    assert house.result() == 10


@pytest.mark.rule("N1", "N2")
def test_a_run_goes_on_in_its_successor_without_being_claimed(house: House) -> None:
    house.start(counts, 1)
    (task,) = house.executes()
    house.dispatcher.take()
    house.desks.hold = {Lane.READ}
    house.finish(task, 2)
    house.advance(3)
    successor = successor_run_id(RUN)
    assert (house.state(), house.state(successor)) == ("continued", "running")
    assert house.types() == ["activity_scheduled", "activity_completed", "run_continued_as_new"]
    house.desks.hold = set()
    house.settle()
    row = house.stage.store.catalog.get(successor)
    assert row is not None and (row.continued_from_run_id, row.correlation_id) == (RUN, RUN)
    assert house.result(successor) == [3, row.created_at], "its time begins as every replay will see it"
    assert house.dispatcher.take(Assign) == []
    assert house.engine.runs == 0


@pytest.mark.rule("N1", "R6")
@pytest.mark.parametrize("operation", ["commit", "commit:after"])
def test_a_continuation_whose_commit_fails_or_loses_its_answer_has_one_successor(
    house: House, operation: str
) -> None:
    house.start(counts, 1)
    (task,) = house.executes()
    house.stage.break_database(operation)
    house.finish(task, 2)
    house.stage.mend_database()
    house.advance(6)
    assert house.state() == "continued"
    assert house.state(successor_run_id(RUN)) == "completed"


@pytest.mark.rule("S5", "N1")
def test_signals_that_were_not_read_are_found_by_the_successor(house: House) -> None:
    house.start(waits_twice)
    for value in ("one", "two"):
        house.stage.store.catalog.signal(RUN, "go", payload.encode(value), None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()
    assert house.result(successor_run_id(RUN)) == ["one", "two"]


@pytest.mark.rule("N1")
def test_an_activity_of_a_continued_run_is_abandoned_and_its_child_goes_on(house: House) -> None:
    @workflow(name="engine.leaves_both")
    async def leaves_both(last: bool) -> str:
        if not last:
            await start_child(child(1))
            task = asyncio.ensure_future(double(7))
            await wait_signal("go")
            assert not task.done()
            continue_as_new(leaves_both(True))
        return "last"

    house.start(leaves_both, False)
    (task,) = house.executes()
    house.stage.store.catalog.signal(RUN, "go", payload.encode(1), None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.settle()
    assert house.result(successor_run_id(RUN)) == "last"
    done = Finished(task.run, task.seq, task.attempt, True, payload.encode(1))
    house.worker.send("engine-1", done)
    house.assign()
    (of_child,) = house.executes()
    house.finish(of_child, 2)
    assert house.result(CHILD) == 2


@pytest.mark.rule("K4")
def test_a_cancel_with_clean_up_is_read_with_the_mail_and_the_run_tidies_up(house: House) -> None:
    house.start(tidies)
    (first,) = house.executes()
    ask_to_clean_up(house, RUN)
    for _ in range(2):  # the note stays where it is
        house.router.send("engine-1", Wake([RUN.bytes]))
        house.settle()
    assert house.types() == ["activity_scheduled", "cancel_requested", "activity_scheduled"]
    (second,) = house.executes()
    assert (first.seq, second.seq) == (1, 3)
    house.finish(second, 2)
    assert house.state() == "cancelled"


@pytest.mark.rule("K4", "C5")
def test_a_parent_whose_child_has_cleaned_up_first_is_cancelled_and_has_not_failed(house: House) -> None:
    house.start(parent, 5)
    ask_to_clean_up(house, RUN, CHILD)
    house.assign()
    house.executes()
    house.router.send("engine-1", Wake([CHILD.bytes]))
    house.settle()
    assert (house.state(CHILD), house.state()) == ("cancelled", "cancelled")
    assert house.types() == ["child_started", "cancel_requested"]


@pytest.mark.rule("C4")
def test_a_run_knows_how_many_generations_are_above_it() -> None:
    claimed = ClaimedRun(RUN, 1, True, "w", None, b"", "default", 0.0, RUN, depth=7)
    assert identity_of(claimed).depth == 7
