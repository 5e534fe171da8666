"""An engine that hears by itself: runs that are its own from their beginning, and signals that need not be read."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.core.definitions import registry
from continuum.errors import JournalError
from continuum.memory.dispatch import MemoryDispatch
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.ports.journal import SignalRow
from continuum.ports.mailbox import Notice
from continuum.ports.offload import Lane
from continuum.runtime.commits import GROUP_RUNS_MAX
from continuum.runtime.engine import Engine
from continuum.runtime.hearing import BUSY_MAX
from continuum.runtime.limits import EngineLimits
from continuum.wire.messages import Look
from tests.unit.engine_house import OWNER, RUN, Desks, House, chain, waits
from tests.unit.stage import Stage

CODE = [(workflow.name, "v1") for workflow in (chain, waits)]


class Hearer(House):
    """An engine that hears what the store notifies: every notice for it, unless the test is deaf to it."""

    def __init__(self, *, limits: EngineLimits | None = None) -> None:
        self.notices: list[Notice] = []
        self.deaf = False
        super().__init__(limits=limits)
        self.stage.store.dispatch.register(OWNER, "n", "", 1e6, CODE)
        self.stage.store.subscribe(self._hear)
        self.engine.hearing.begin("channel")
        self.settle()

    def _hear(self, notice: Notice) -> None:
        if notice.owner == OWNER and notice.kind in ("leased", "signal"):
            self.notices.append(notice)
            if not self.deaf:
                self.engine.hearing.notice([notice])

    def insert(self, name: str, *args: object, number: int = 42) -> UUID:
        run_id = UUID(int=number)
        seed = RunSeed(id=run_id, workflow=name, args=payload.encode([list(args), {}]))
        self.stage.store.catalog.insert([seed])
        self.settle()
        return run_id

    def signal(self, run_id: UUID, value: object, name: str = "go") -> None:
        self.stage.store.catalog.signal(run_id, name, payload.encode(value), None)
        self.settle()

    def owner(self, run_id: UUID = RUN) -> str | None:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None
        return row.owner

    def reads(self) -> list[Lane]:
        """Hold reads back from now on, and return those that wait."""
        self.desks.hold.add(Lane.READ)
        return [lane for lane, _, _ in self.desks.held if lane is Lane.READ]


@pytest.fixture
def house() -> Hearer:
    return Hearer()


def test_a_run_begins_without_a_dispatcher_and_without_a_read(house: Hearer) -> None:
    assert house.reads() == []
    house.insert(chain.name, 1)
    (task,) = house.executes()
    house.finish(task)
    assert house.state() == "completed"
    assert house.reads() == []


def test_of_a_run_that_is_not_told_the_lease_is_loaded(house: Hearer) -> None:
    house.deaf = True
    house.insert(chain.name, 0)
    (notice,) = house.notices
    house.engine.hearing.notice([Notice("leased", notice.run_id, OWNER, notice.token)])
    house.settle()
    assert house.state() == "completed"


def test_a_notice_that_comes_twice_or_late_begins_nothing_again(house: Hearer) -> None:
    house.insert(chain.name, 1)
    house.engine.hearing.notice(house.notices)
    house.settle()
    (task,) = house.executes()
    house.finish(task)
    house.engine.hearing.notice(house.notices)
    house.settle()
    assert house.executes() == [] and house.engine.runs == 0
    assert house.types() == ["activity_scheduled", "activity_completed"]


@pytest.mark.rule("B6")
def test_a_run_whose_notice_is_lost_is_found_among_the_leases(house: Hearer) -> None:
    house.deaf = True
    house.insert(chain.name, 0)
    assert house.owner() == OWNER and house.engine.runs == 0
    house.advance(25)
    assert house.state() == "completed"


@pytest.mark.rule("S1")
def test_a_signal_that_is_told_is_not_read(house: Hearer) -> None:
    run_id = house.insert(waits.name)
    assert house.reads() == []
    house.signal(run_id, "now")
    assert house.reads() == []
    assert house.result() == "now"


@pytest.mark.rule("S2")
def test_a_signal_that_is_told_and_read_is_heard_once(house: Hearer) -> None:
    house.insert(waits.name)
    house.desks.hold.add(Lane.COMMIT)
    house.signal(RUN, "first")
    house.engine.hearing.notice([Notice("signal", RUN, OWNER)])  # of another, that is not told
    house.engine.hearing.notice(house.notices)
    house.settle()
    house.desks.hold.clear()
    house.settle()
    assert house.result() == "first"
    assert house.types().count("signal_received") == 1


@pytest.mark.rule("S1")
def test_mail_that_is_not_told_is_read(house: Hearer) -> None:
    run_id = house.insert(waits.name)
    house.deaf = True
    house.signal(run_id, "quietly")
    house.engine.hearing.notice([Notice("signal", run_id, OWNER)])
    house.settle()
    assert house.result() == "quietly"


@pytest.mark.rule("S1")
def test_a_signal_for_a_run_that_is_being_loaded_arrives(house: Hearer) -> None:
    house.deaf = True
    run_id = house.insert(waits.name)
    house.desks.hold.add(Lane.READ)
    house.engine.hearing.notice([Notice("leased", run_id, OWNER, house.notices[0].token)])
    house.settle()
    house.deaf = False
    house.signal(run_id, "early")
    house.desks.hold.clear()
    house.settle()
    assert house.result() == "early"


def test_of_a_crowd_of_signals_only_one_group_changes_at_once(house: Hearer) -> None:
    house.desks.hold.add(Lane.COMMIT)
    for number in range(GROUP_RUNS_MAX + 10):
        house.start(waits, number=number + 1)
    house.desks.hold.clear()
    house.settle()
    house.desks.hold.add(Lane.READ)
    for number in range(GROUP_RUNS_MAX + 10):
        house.stage.store.catalog.signal(UUID(int=number + 1), "go", payload.encode(1), None)
    house.settle()
    assert house.engine.runs == 10, "the others have ended"
    house.desks.hold.clear()
    house.settle()
    assert house.engine.runs == 0


def test_a_busy_engine_lets_others_have_what_comes_next(house: Hearer) -> None:
    for number in range(BUSY_MAX + 2):
        house.insert(chain.name, 1, number=number + 1)
    assert house.owner(UUID(int=BUSY_MAX + 1)) == OWNER
    assert house.owner(UUID(int=BUSY_MAX + 2)) is None
    for task in house.executes():
        house.finish(task)
    assert house.owner(house.insert(chain.name, 1, number=100)) is None, "that is seen a little later"
    house.advance(5)
    assert house.owner(house.insert(chain.name, 1, number=101)) == OWNER


def test_runs_that_wait_do_not_count(house: Hearer) -> None:
    for number in range(2 * BUSY_MAX):
        house.insert(waits.name, number=number + 1)
        house.advance(2)
    assert house.owner(UUID(int=2 * BUSY_MAX)) == OWNER


def test_an_engine_that_is_full_gets_no_more() -> None:
    house = Hearer(limits=EngineLimits(runs_max=2))
    for number in (1, 2, 3):
        house.insert(chain.name, 1, number=number)
        house.advance(2)
    assert [house.owner(UUID(int=number)) for number in (1, 2, 3)] == [OWNER, OWNER, None]


@pytest.mark.rule("L7")
def test_an_engine_that_drains_gets_no_more(house: Hearer) -> None:
    house.desks.hold.add(Lane.COMMIT)
    house.insert(chain.name, 1, number=1)
    house.engine.drain()
    house.settle()
    assert house.owner(house.insert(chain.name, 1, number=2)) is None
    house.engine.hearing.begin("channel")
    house.settle()
    assert house.owner(house.insert(chain.name, 1, number=3)) is None


@pytest.mark.rule("B6")
def test_while_the_connection_is_broken_nothing_is_sent_to_it_and_then_all_is_looked_for(
    house: Hearer,
) -> None:
    parked = house.insert(waits.name, number=1)
    house.deaf = True  # it broke, and nobody knows yet
    missed = house.insert(chain.name, 0, number=2)
    house.signal(parked, "unheard")
    house.engine.hearing.interrupt()
    house.settle()
    assert house.owner(house.insert(chain.name, 0, number=3)) is None
    house.router.take()
    house.engine.hearing.begin("channel")
    house.settle()
    assert house.state(missed) == "completed", "a renewal tells the newest lease"
    assert house.router.take(Look) == [Look(runs=True)], "who looks for mail"
    house.deaf = False
    assert house.owner(house.insert(waits.name, number=4)) == OWNER


@pytest.mark.rule("R6")
@pytest.mark.parametrize("ends_deaf", [True, False])
def test_an_outage_does_not_change_what_the_database_knows_in_the_end(house: Hearer, ends_deaf: bool) -> None:
    def fault(operation: str) -> None:
        if operation == "hear":
            raise JournalError(operation, "the connection broke")

    house.stage.store.fault = fault
    house.engine.hearing.interrupt()
    house.engine.hearing.begin("channel")
    house.advance(3)
    if ends_deaf:
        house.engine.hearing.interrupt()
    house.settle()
    house.stage.store.fault = None
    house.advance(10)
    assert house.owner(house.insert(waits.name)) == (None if ends_deaf else OWNER)


def test_what_changes_while_the_database_is_told_is_told_afterwards(house: Hearer) -> None:
    house.engine.hearing.interrupt()
    house.settle()
    house.desks.hold.add(Lane.LEASE)
    house.engine.hearing.begin("channel")
    house.settle()  # it is being told of a channel
    house.engine.hearing.interrupt()
    house.desks.hold.clear()
    house.settle()
    assert house.owner(house.insert(waits.name)) is None


@pytest.mark.rule("L7")
def test_what_a_crash_forgot_is_told_again_also_while_the_engine_drains(house: Hearer) -> None:
    house.insert(chain.name, 1, number=1)
    house.engine.drain()
    house.settle()
    assert house.stage.store.dispatch.hear(OWNER, "channel", 7), "as it was before"
    house.engine.hearing.begin("channel")
    house.settle()
    assert house.owner(house.insert(chain.name, 1, number=2)) is None
    house.notices.clear()
    house.signal(UUID(int=1), "for the router")
    assert house.notices == []


def test_an_engine_that_no_session_holds_is_not_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryDispatch, "hold", lambda self, owner: False)  # as behind a pooler
    house = Hearer()
    run_id = house.insert(waits.name)
    assert house.owner(run_id) is None
    house.assign()
    house.notices.clear()
    house.signal(run_id, "for the router")
    assert house.notices == []


def test_nothing_is_said_before_the_engine_is_registered() -> None:
    stage = Stage()
    desks = Desks(stage)
    engine = desks.engine = Engine(stage.ports("engine-1"), desks, registry.workflow)
    stage.play("engine-1", engine)
    engine.hearing.begin("channel")
    stage.settle()
    assert [lane for lane, _, _ in desks.held] == [Lane.LEASE], "the registration"


def test_an_engine_that_was_busy_wants_runs_again_when_it_has_half_as_many(house: Hearer) -> None:
    numbers = range(1, BUSY_MAX + 2)
    for number in numbers:
        house.insert(chain.name, 1, number=number)
    tasks = house.executes()
    for task in tasks[: BUSY_MAX // 2]:
        house.finish(task)
    house.advance(5)
    assert house.owner(house.insert(chain.name, 1, number=100)) is None
    house.finish(tasks[BUSY_MAX // 2])
    house.advance(5)
    assert house.owner(house.insert(chain.name, 1, number=101)) == OWNER


def test_a_lease_of_a_run_that_is_here_is_not_loaded(house: Hearer) -> None:
    run_id = house.insert(waits.name)
    assert house.reads() == []
    house.engine.hearing.notice([Notice("leased", run_id, OWNER, house.notices[0].token)])
    house.settle()
    assert house.reads() == []


@pytest.mark.rule("S1", "L7")
def test_a_signal_for_a_run_that_is_being_given_back_is_kept_for_its_next_owner() -> None:
    house = Hearer(limits=EngineLimits(parked_s=1.0))
    run_id = house.insert(waits.name)
    house.desks.late.add(Lane.LEASE)
    house.advance(10)  # it is given back, and the engine does not know yet
    house.desks.hold.add(Lane.COMMIT)
    house.engine.hearing.notice(
        [Notice("signal", run_id, OWNER, signal=SignalRow(99, "go", payload.encode(0)))]
    )
    house.settle()
    assert house.desks.held == []
    house.desks.late.clear()
    house.desks.answer()
    house.settle()
    assert house.engine.runs == 0 and house.state() == "suspended"


@pytest.mark.rule("B6")
def test_a_look_at_the_leases_is_not_lost_in_one_that_is_under_way(house: Hearer) -> None:
    house.desks.late.add(Lane.LEASE)
    house.advance(11)  # a renewal is under way
    house.deaf = True
    missed = house.insert(chain.name, 0)
    house.engine.hearing.interrupt()
    house.engine.hearing.begin("channel")
    house.desks.late.clear()
    house.desks.answer()
    house.settle()
    assert house.state(missed) == "completed"
