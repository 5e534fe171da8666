"""The engine: what it commits, what it lets out and when, and what it does when it loses."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import Workflow, activity, registry, workflow
from continuum.core.effects import sleep, wait_signal
from continuum.core.failure import encode_failure
from continuum.errors import ActivityError, JournalError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, Failure
from continuum.model.ids import Owner
from continuum.model.retry import Retry
from continuum.model.run import RunSeed
from continuum.ports.journal import TaskOutcome
from continuum.ports.offload import Completion, Desk, Lane
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.runtime.outgoing import Outgoing
from continuum.wire.messages import (
    Abandon,
    Ask,
    Assign,
    Disowned,
    EngineReady,
    Execute,
    Finished,
    LastWord,
    Recover,
    Recovered,
    RunsEnded,
    Settled,
    TimersFired,
    TimersSet,
    Wake,
    WorkerReady,
)
from tests.unit.stage import BOOT, INSTANCE, NODE, Extra, Stage

OWNER = str(Owner(NODE, INSTANCE, "engine-1", f"{BOOT}-1"))
RUN = UUID(int=42)


@activity(name="engine.step", retry=Retry(max_attempts=3, initial=1.0, jitter=0.0, non_retryable=(KeyError,)))
def step(value: int) -> int:
    return value


@activity(name="engine.once")
def once(value: int) -> int:
    return value


@workflow(name="engine.chain")
async def chain(count: int) -> int:
    value = 0
    for _ in range(count):
        value = await step(value)
    return value


@workflow(name="engine.careful")
async def careful() -> object:
    try:
        return await once(1)
    except ActivityError as error:
        return [error.type, error.attempts]


@workflow(name="engine.waits")
async def waits() -> object:
    return await wait_signal("go", timeout=30)


@workflow(name="engine.naps")
async def naps() -> str:
    await sleep(5)
    return "woken"


class Desks:
    """Journal work that the test lets happen: at once, or when it says so. ``hold``: lanes whose work has to wait;
    ``late``: those whose work is done, and whose answers wait for `answer`."""

    def __init__(self, stage: Stage) -> None:
        self._desk = Desk(stage.store.journal, stage.store.dispatch)
        self.engine: Engine | None = None
        self.held: list[tuple[Lane, int, Callable[[Desk], object]]] = []
        self.hold: set[Lane] = set()
        self.late: set[Lane] = set()
        self._unanswered: list[Completion] = []

    def use(self, desk: Desk) -> None:
        """Let the journal work be done at another desk from now on."""
        self._desk = desk

    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        self.held.append((lane, ticket, work))

    def pump(self) -> bool:
        """Do what is not held back; True if there was something."""
        due = [entry for entry in self.held if entry[0] not in self.hold]
        self.held = [entry for entry in self.held if entry[0] in self.hold]
        assert self.engine is not None
        for lane, ticket, work in due:
            completion = self._done(ticket, work)
            if lane in self.late:
                self._unanswered.append(completion)
            else:
                self.engine.complete(completion)
        return bool(due)

    def answer(self) -> None:
        """Give the engine the answers that it waits for."""
        assert self.engine is not None
        unanswered, self._unanswered = self._unanswered, []
        for completion in unanswered:
            self.engine.complete(completion)

    def _done(self, ticket: int, work: Callable[[Desk], object]) -> Completion:
        try:
            return Completion(ticket, work(self._desk))
        except JournalError as error:
            return Completion(ticket, error=error)


class House:
    """An engine among processes that only listen."""

    def __init__(self, *, limits: EngineLimits | None = None, window: int = 10) -> None:
        self.stage = Stage()
        self.desks = Desks(self.stage)
        self.dispatcher = self.stage.extra("dispatcher")
        self.timer = self.stage.extra("timer")
        self.router = self.stage.extra("router")
        self.worker = self.stage.extra("worker-1")
        self.engine = self.desks.engine = Engine(
            self.stage.ports("engine-1"), self.desks, registry.workflow, limits or EngineLimits()
        )
        self.stage.play("engine-1", self.engine)
        self.settle()
        self.says_ready(self.worker, window)

    def says_ready(self, worker: Extra, window: int) -> None:
        worker.send("engine-1", WorkerReady(("default",), window, 0))
        self.settle()

    def settle(self) -> None:
        self.stage.settle()
        while self.desks.pump():
            self.stage.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, with the journal answering all the while."""
        end = self.stage.clock.now + seconds
        while self.stage.clock.now < end:
            self.stage.advance(min(1.0, end - self.stage.clock.now))
            self.settle()

    def start(self, target: Workflow[..., Any], *args: object, number: int = 42) -> UUID:
        run_id = UUID(int=number)
        seed = RunSeed(id=run_id, workflow=target.name, args=payload.encode([list(args), {}]))
        self.stage.store.catalog.insert([seed])
        self.assign()
        return run_id

    def assign(self) -> None:
        claimed = self.stage.store.dispatch.claim(OWNER, 100)
        self.dispatcher.send("engine-1", Assign(OWNER, claimed))
        self.settle()

    def executes(self) -> list[Execute]:
        return [message for message in self.worker.take(Execute) if isinstance(message, Execute)]

    def finish(self, task: Execute, value: object = 1) -> None:
        done = Finished(task.run, task.seq, task.attempt, True, payload.encode(value))
        self.worker.send("engine-1", done)
        self.settle()

    def fail(self, task: Execute, failure: Failure, retryable: bool = True) -> None:
        done = Finished(task.run, task.seq, task.attempt, False, encode_failure(failure), retryable=retryable)
        self.worker.send("engine-1", done)
        self.settle()

    def types(self, run_id: UUID = RUN) -> list[str]:
        return [EVENT_TYPES[row.kind] for row in self.stage.store.catalog.events(run_id)]

    def state(self, run_id: UUID = RUN) -> str:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None
        return row.state

    def result(self, run_id: UUID = RUN) -> object:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None and row.result is not None, row
        return payload.decode(row.result)


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("A1", "R8")
def test_an_activity_is_let_out_only_after_the_commit_of_its_event(house: House) -> None:
    house.desks.hold = {Lane.COMMIT}
    house.start(chain, 1)
    house.advance(0.1)
    assert house.executes() == [] and house.types() == []
    house.desks.hold = set()
    house.settle()
    assert [task.seq for task in house.executes()] == [1]
    assert house.types() == ["activity_scheduled"]


@pytest.mark.rule("R8", "W2")
def test_a_lonely_end_is_announced_by_its_own_commit(house: House) -> None:
    announced: list[tuple[UUID, ...]] = []
    house.stage.store.subscribe_ended(announced.append)
    house.desks.hold = {Lane.COMMIT}
    house.start(chain, 0)
    assert announced == []
    house.desks.hold = set()
    house.settle()
    assert announced == [(RUN,)]
    assert house.router.take(RunsEnded) == [], "nobody has to tell it again"


@pytest.mark.rule("R8", "W2")
def test_the_ends_of_a_crowd_are_announced_by_the_router_after_their_commit(house: House) -> None:
    ids = [UUID(int=number) for number in range(1, 21)]
    seeds = [RunSeed(id=run_id, workflow=chain.name, args=payload.encode([[0], {}])) for run_id in ids]
    house.stage.store.catalog.insert(seeds)
    house.desks.hold = {Lane.COMMIT}
    house.assign()
    assert house.router.take(RunsEnded) == []
    house.desks.hold = set()
    house.settle()
    told = [message for message in house.router.take(RunsEnded) if isinstance(message, RunsEnded)]
    assert [run for message in told for run in message.runs] == [run_id.bytes for run_id in ids]


@pytest.mark.rule("A14", "A8")
def test_a_worker_keeps_its_result_until_the_commit_that_consumes_it(house: House) -> None:
    house.start(chain, 2)
    (first,) = house.executes()
    house.desks.hold = {Lane.COMMIT}
    house.finish(first)
    assert house.worker.take(Settled) == []
    house.desks.hold = set()
    house.settle()
    assert house.worker.take(Settled) == [Settled([first.key])]
    assert house.types() == ["activity_scheduled", "activity_completed", "activity_scheduled"]


@pytest.mark.rule("A3", "A4")
def test_a_failed_attempt_is_followed_by_the_next_after_its_back_off(house: House) -> None:
    house.start(chain, 1)
    for attempt, pause in ((1, 1.0), (2, 2.0)):
        (task,) = house.executes()
        assert task.attempt == attempt
        house.fail(task, Failure("ValueError", "no"))
        house.advance(pause - 0.01)
        assert house.executes() == []
        house.advance(0.02)
    (last,) = house.executes()
    house.fail(last, Failure("ValueError", "no"))
    assert house.types()[-1] == "activity_failed"
    assert house.state() == "failed"


@pytest.mark.rule("A4", "A2")
@pytest.mark.parametrize("name", ["KeyError", "shop.MissingError"])
def test_a_type_that_is_not_retryable_fails_at_once_and_so_do_its_subclasses(house: House, name: str) -> None:
    house.start(chain, 1)
    (task,) = house.executes()
    house.fail(task, Failure(name, "gone", bases=("KeyError",)))
    assert house.types() == ["activity_scheduled", "activity_failed"]


@pytest.mark.rule("A5")
def test_the_death_of_a_worker_takes_the_only_attempt_of_what_it_had(house: House) -> None:
    house.start(careful)
    assert len(house.executes()) == 1
    house.stage.kill("worker-1")
    house.settle()
    assert house.result() == ["attempts_exhausted", 1]


@pytest.mark.rule("A5")
def test_after_the_death_of_a_worker_the_next_attempt_goes_to_another(house: House) -> None:
    house.start(chain, 1)
    assert [task.attempt for task in house.executes()] == [1]
    house.stage.kill("worker-1")
    house.worker = house.stage.extra("worker-2")
    house.says_ready(house.worker, 10)
    house.advance(1.01)
    (task,) = house.executes()
    assert task.attempt == 2
    house.finish(task, 9)
    assert house.result() == 9


@pytest.mark.rule("A8")
def test_a_result_for_a_run_that_is_not_here_goes_back_to_its_worker(house: House) -> None:
    house.worker.send("engine-1", Finished(b"x" * 16, 1, 1, True, payload.encode(1)))
    house.settle()
    assert house.worker.take(Disowned) == [Disowned([(b"x" * 16, 1, 1)])]


@pytest.mark.rule("A8", "A7")
def test_the_result_of_an_older_attempt_is_dropped(house: House) -> None:
    house.start(chain, 1)
    (first,) = house.executes()
    house.fail(first, Failure("ValueError", "no"))
    house.worker.take()
    house.finish(first, 5)
    assert house.worker.take(Settled) == [Settled([first.key])]
    assert house.types() == ["activity_scheduled", "activity_retried"]


@pytest.mark.rule("A12")
def test_work_beyond_the_credit_goes_to_the_database_after_a_moment() -> None:
    house = House(window=1)
    for number in (1, 2):
        house.start(chain, 1, number=number)
    assert len(house.executes()) == 1
    house.advance(1.0)
    claimer = house.stage.owner("dispatcher")
    (task,) = house.stage.store.dispatch.claim_tasks(claimer, ["default"], 10)
    assert (task.run_id, task.seq, task.attempt) == (UUID(int=2), 1, 1)
    outcome = TaskOutcome(task.run_id, 1, 1, True, payload.encode(7))
    house.stage.store.dispatch.offer_outcomes([outcome])
    house.router.send("engine-1", Wake([task.run_id.bytes]))
    house.settle()
    assert house.result(task.run_id) == 7


@pytest.mark.rule("L6", "L1")
def test_a_fenced_run_is_dropped_at_once_said_in_the_log_and_journaled_no_more(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "continuum")
    house.start(chain, 3)
    (task,) = house.executes()
    store = house.stage.store
    store.dispatch.retire([OWNER])
    other = house.stage.owner("engine-2")
    assert [run.run_id for run in store.dispatch.claim(other, 1)] == [RUN]
    house.finish(task)
    assert house.types() == ["activity_scheduled"], "the stale owner wrote nothing"
    assert house.engine.runs == 0
    assert any("refused" in record.getMessage() for record in caplog.records)
    assert house.executes() == []


@pytest.mark.rule("T3", "R7")
def test_a_timer_that_fires_just_before_a_cancel_commits_appends_nothing(house: House) -> None:
    house.start(naps)
    house.desks.hold = {Lane.COMMIT}
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    house.stage.store.catalog.cancel(RUN, "enough")
    house.desks.hold = set()
    house.settle()
    assert (house.state(), house.types()) == ("cancelled", ["timer_started"])
    assert house.engine.runs == 0


@pytest.mark.rule("R6")
@pytest.mark.parametrize("operation", ["commit", "commit:after"])
def test_a_commit_that_fails_or_whose_answer_is_lost_ends_right(house: House, operation: str) -> None:
    house.stage.break_database(operation)
    house.start(chain, 1)
    assert house.state() == "running"
    house.stage.mend_database()
    house.advance(10)
    tasks = house.executes()
    if not tasks:  # written before the answer was lost: the reloaded run asks who has the attempt
        (question,) = house.worker.take(Recover)
        assert isinstance(question, Recover)
        house.worker.send("engine-1", Recovered([], question.keys, []))
        house.settle()
        tasks = house.executes()
    (task,) = tasks
    house.finish(task, 3)
    assert house.result() == 3
    assert house.types() == ["activity_scheduled", "activity_completed"]


def test_a_result_that_comes_before_the_word_that_its_attempt_is_held_leaves_nothing_out(
    house: House,
) -> None:
    house.stage.break_database("commit:after")
    house.start(chain, 1)
    house.stage.mend_database()
    house.advance(10)
    (question,) = house.worker.take(Recover)
    assert isinstance(question, Recover)
    done = [Finished(*key, True, payload.encode(3)) for key in question.keys]
    house.worker.send("engine-1", *done, Recovered(question.keys, [], []))
    house.settle()
    assert house.result() == 3
    house.worker.post.hint("engine-1", WorkerReady(("default",), 0, 0, stopping=True))
    house.settle()
    assert house.worker.take(LastWord) == [LastWord([])]


@pytest.mark.rule("S2", "S3")
def test_signals_before_and_after_the_claim_arrive_and_late_timers_do_not(house: House) -> None:
    store = house.stage.store
    run_id = house.start(waits)
    (hint,) = house.timer.take(TimersSet)
    assert hint == TimersSet([(RUN.bytes, 1, 30.0)])
    store.catalog.signal(run_id, "go", payload.encode("now"), None)
    house.router.send("engine-1", Wake([RUN.bytes]))
    house.timer.send("engine-1", TimersFired([(RUN.bytes, 1)]))
    house.settle()
    assert house.types() in (["signal_awaited", "signal_received"], ["signal_awaited", "timer_fired"])
    early = UUID(int=43)
    seed = RunSeed(id=early, workflow=waits.name, args=payload.encode([[], {}]))
    store.catalog.insert([seed])
    store.catalog.signal(early, "go", payload.encode("before"), None)
    house.assign()
    assert house.result(early) == "before"


@pytest.mark.rule("L7", "O5")
def test_a_graceful_stop_finishes_what_runs_and_gives_back_the_rest(house: House) -> None:
    parked = house.start(waits, number=1)
    busy = house.start(chain, 5, number=2)
    (task,) = house.executes()
    house.engine.drain()
    house.settle()
    assert not house.engine.drained
    said = house.dispatcher.take(EngineReady)[-1]
    assert said == EngineReady(OWNER, 0, live=2, parked=1, commits=2, steps=2)
    assert house.stage.store.catalog.get(parked).owner is None  # type: ignore[union-attr]
    house.finish(task)
    assert house.engine.drained
    assert house.executes() == [], "what follows waits for the next owner"
    other = house.stage.owner("engine-2")
    claimed = house.stage.store.dispatch.claim(other, 10)
    assert [run.run_id for run in claimed] == [], "nothing has to be resumed before its activity has run"
    (queued,) = house.stage.store.dispatch.claim_tasks(other, ["default"], 10)
    assert (queued.run_id, queued.seq, queued.attempt) == (busy, 3, 1)


@pytest.mark.rule("B6")
def test_a_lease_that_no_message_announced_is_found_by_the_scan(house: House) -> None:
    seed = RunSeed(id=RUN, workflow=chain.name, args=payload.encode([[0], {}]))
    house.stage.store.catalog.insert([seed])
    house.stage.store.dispatch.claim(OWNER, 1)
    house.advance(25)
    assert house.state() == "completed"


@pytest.mark.rule("B6")
def test_a_lease_is_found_also_when_newer_ones_have_been_announced(house: House) -> None:
    dispatch = house.stage.store.dispatch
    for number in (1, 2, 3):
        seed = RunSeed(id=UUID(int=number), workflow=waits.name, args=payload.encode([[], {}]))
        house.stage.store.catalog.insert([seed])
        if number == 2:
            dispatch.claim(OWNER, 1)  # nobody says so
        else:
            house.assign()
    assert house.engine.runs == 2
    house.advance(25)
    assert house.engine.runs == 3


def test_an_engine_that_knows_all_of_its_leases_does_not_look_for_others(house: House) -> None:
    house.start(waits)
    house.advance(10)
    house.settle()
    asked = Counter[str]()
    house.advance(20)
    house.stage.store.fault = lambda operation: asked.update([operation])
    house.advance(20)
    assert (asked["heartbeat"], asked["leased_since"]) == (2, 0)


def test_a_run_without_loaded_code_is_parked_and_says_why(house: House) -> None:
    seed = RunSeed(id=RUN, workflow="nobody.knows", args=payload.encode([[], {}]))
    house.stage.store.catalog.insert([seed])
    house.assign()
    row = house.stage.store.catalog.get(RUN)
    assert row is not None and row.attention is not None
    assert (row.state, row.owner) == ("suspended", None)
    assert "nobody.knows" in row.attention
    assert house.stage.store.dispatch.claim(OWNER, 1) == []
    house.advance(6)
    assert len(house.stage.store.dispatch.claim(OWNER, 1)) == 1


@pytest.mark.rule("R3")
def test_a_run_that_drifts_is_parked_with_both_sides_and_resumes_after_the_fix(house: House) -> None:
    run_id = house.start(chain, 2)
    house.stage.store.dispatch.retire([OWNER])
    original = registry.workflows[chain.name]
    other = House.__new__(House)  # a second engine on the same stage
    other.stage, other.dispatcher, other.worker = house.stage, house.dispatcher, house.worker

    async def changed(count: int) -> object:
        return await once(count)

    drifting: Workflow[..., Any] = Workflow(changed, chain.name)
    drifting.version_hash = chain.version_hash  # what the hash does not see, such as a library, has changed
    registry.workflows[chain.name] = drifting
    try:
        owner = str(Owner(NODE, INSTANCE, "engine-2", f"{BOOT}-1"))
        other.desks = Desks(house.stage)
        other.engine = other.desks.engine = Engine(
            house.stage.ports("engine-2"), other.desks, registry.workflow
        )
        house.stage.play("engine-2", other.engine)
        other.settle()
        claimed = house.stage.store.dispatch.claim(owner, 1)
        house.dispatcher.send("engine-2", Assign(owner, claimed))
        other.settle()
        row = house.stage.store.catalog.get(run_id)
        assert row is not None and row.attention is not None
        assert "engine.step #1" in row.attention and "engine.once #1" in row.attention
        assert house.types() == ["activity_scheduled"], "a drift writes nothing"
        registry.workflows[chain.name] = original
        other.advance(61)
        claimed = house.stage.store.dispatch.claim(owner, 1)
        house.dispatcher.send("engine-2", Assign(owner, claimed))
        other.settle()
        assert other.engine.runs == 1
    finally:
        registry.workflows[chain.name] = original


def test_beyond_its_limit_the_engine_gives_back_parked_runs_the_oldest_first() -> None:
    house = House(limits=EngineLimits(runs_max=10))
    for number in range(1, 13):
        house.start(waits, number=number)
    house.settle()
    assert house.engine.runs == 9
    assert [house.stage.store.catalog.get(UUID(int=n)).owner for n in (1, 2, 3)] == [None] * 3  # type: ignore[union-attr]
    assert house.stage.store.dispatch.claim(OWNER, 10) == [], "evicted runs sleep until something wakes them"


@pytest.mark.rule("L2")
def test_an_owner_that_was_found_expired_ends_its_process(house: House) -> None:
    house.start(waits)
    house.stage.store.dispatch.retire([OWNER])
    house.advance(11)
    assert house.engine.lost


@pytest.mark.rule("L4")
def test_an_owner_that_is_asked_for_renews_its_row_at_once_and_only_for_itself(house: House) -> None:
    dispatch = house.stage.store.dispatch
    house.stage.clock.now += 1
    for owner, silent in ((str(Owner(NODE, INSTANCE, "engine-1", "b-0")), [OWNER]), (OWNER, [])):
        house.advance(1)
        asked = dispatch.ask(NODE, BOOT)
        house.router.post.hint("engine-1", Ask(owner))
        house.settle()
        mine = [row for row in asked if row.owner == OWNER]
        if silent:
            assert [row.expires_us for row in dispatch.ask(NODE, BOOT)] == [row.expires_us for row in mine]
        else:
            assert dispatch.retire_silent(mine) == []


@pytest.mark.rule("L4")
def test_an_engine_is_held_by_its_session_from_its_registration_on(house: House) -> None:
    other = house.stage.store.beside()
    assert other.dispatch.look_for_gone("x", 10).gone == []
    house.stage.store.close()
    assert other.dispatch.look_for_gone("x", 10).gone == [OWNER]


@pytest.mark.rule("A8")
def test_an_activity_of_an_ended_run_is_abandoned(house: House) -> None:
    @workflow(name="engine.leaves")
    async def leaves() -> str:
        task = asyncio.ensure_future(step(1))
        await asyncio.sleep(0)
        return "gone" if not task.done() else "done"

    house.start(leaves)
    assert house.result() == "gone"
    assert house.executes() == [], "what nobody awaits is not let out"
    assert house.worker.take(Abandon) == []


def test_an_engine_says_that_it_takes_runs_as_soon_as_it_is_registered() -> None:
    stage = Stage()
    dispatcher = stage.extra("dispatcher")
    outgoing = Outgoing(stage.ports("engine-1"))
    outgoing.neighbours.up(*dispatcher.peer)
    outgoing.tick(lambda: None, 0)
    stage.settle()
    assert dispatcher.take(EngineReady) == []
    outgoing.tick(lambda: EngineReady(OWNER, 5), 5)
    stage.settle()
    assert dispatcher.take(EngineReady) == [EngineReady(OWNER, 5)], "and not with the next announcement"
