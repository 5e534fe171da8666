"""What a worker does with attempts, whatever becomes of the messages and of those who sent them."""

from __future__ import annotations

import math

import pytest

from continuum.core.failure import decode_failure
from continuum.model.ids import Owner
from continuum.model.retry import NODE_DRAINED
from continuum.runtime.farewell import LINGER_S
from continuum.runtime.window import PREFETCH_MAX, Window
from continuum.runtime.worker import ADOPTION_S, Worker
from continuum.wire.messages import (
    Abandon,
    Ask,
    Disowned,
    Execute,
    Finished,
    Key,
    Look,
    Recover,
    Recovered,
    Settled,
    Wake,
    WorkerReady,
)
from tests.unit.stage import BOOT, INSTANCE, NODE, Extra, Stage

SLOTS = 10


class TableExecutor:
    """An executor whose attempts end when the test says so."""

    def __init__(self) -> None:
        self.started: list[Execute] = []
        self.stopped: list[Key] = []
        self.worn_out = False
        self.stuck: list[str] = []
        self.beats: dict[Key, bytes] = {}
        self._finished: list[Finished] = []

    def start(self, task: Execute, slot: int = 0) -> None:
        self.started.append(task)

    def stop(self, key: Key) -> None:
        self.stopped.append(key)

    def end(self, *tasks: Execute) -> None:
        self._finished += [Finished(*task.key, True, b"done") for task in tasks]

    def finished(self) -> list[Finished]:
        taken, self._finished = self._finished, []
        return taken

    def heartbeats(self) -> list[tuple[Key, bytes]]:
        taken, self.beats = self.beats, {}
        return list(taken.items())

    @property
    def beating(self) -> bool:
        return bool(self.beats)

    def tick(self) -> None:
        pass

    def wake_at(self) -> float:
        return -math.inf if self._finished else math.inf

    @property
    def running(self) -> int:
        return len(self.started)

    @property
    def queued(self) -> int:
        return 0


class Scene:
    """A worker, an engine of its node, and a run that this engine owns."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.executor = TableExecutor()
        self.engine = self.stage.extra("engine-1")
        self.dispatcher = self.stage.extra("dispatcher")
        ports = self.stage.ports("worker-1")
        self.worker = Worker(ports, self.executor, self.stage.store.dispatch, ["default"], SLOTS)
        self.stage.play("worker-1", self.worker)
        self.run = self.stage.insert()[0]
        self.owner = self.stage.owner()
        (self.lease,) = self.stage.claim(self.owner)

    def task(self, seq: int = 1, attempt: int = 1) -> Execute:
        return Execute(self.run.bytes, seq, attempt, "a", b"")

    def send(self, sender: Extra, *messages: Execute | Settled | Disowned | Abandon | Recover) -> None:
        sender.send("worker-1", *messages)
        self.stage.settle()

    def end(self, *tasks: Execute) -> None:
        self.executor.end(*tasks)
        self.stage.settle()

    def outcomes(self) -> list[tuple[int, int]]:
        """(seq, attempt) of the outcomes in the run's mailbox."""
        (mail,) = self.stage.store.journal.mail([self.lease])
        return [(outcome.seq, outcome.attempt) for outcome in mail.outcomes]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def successor(scene: Scene) -> Extra:
    scene.stage.kill("engine-1")
    return scene.stage.extra("engine-1", "b-9")


def test_a_result_goes_to_who_asked_and_is_kept_until_it_is_settled(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.end(scene.task())
    assert scene.engine.take(Finished) == [Finished(*scene.task().key, True, b"done")]
    scene.worker.drain()
    scene.stage.advance(LINGER_S + 1)
    assert not scene.worker.drained
    scene.send(scene.engine, Settled([scene.task().key]))
    assert scene.worker.drained
    assert scene.outcomes() == []


@pytest.mark.rule("A5")
def test_an_attempt_that_is_held_is_not_started_a_second_time(scene: Scene) -> None:
    scene.send(scene.engine, scene.task(), scene.task())
    scene.end(scene.task())
    scene.send(scene.engine, scene.task())
    scene.send(scene.dispatcher, scene.task())
    assert len(scene.executor.started) == 1


def test_a_disowned_result_is_stored_and_its_owner_woken(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.end(scene.task())
    scene.send(scene.engine, Disowned([scene.task().key]))
    assert scene.outcomes() == [(1, 1)]
    assert scene.engine.take(Wake) == [Wake([scene.run.bytes])]


def test_a_disowned_attempt_that_still_runs_is_stored_when_it_ends(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.send(scene.engine, Disowned([scene.task().key]))
    assert scene.outcomes() == []
    scene.end(scene.task())
    assert scene.outcomes() == [(1, 1)]


def test_an_engine_that_died_leaves_its_results_to_the_database_after_a_moment(scene: Scene) -> None:
    scene.send(scene.engine, scene.task(1), scene.task(2))
    scene.end(scene.task(1))
    scene.stage.kill("engine-1")
    scene.stage.advance(ADOPTION_S / 2)
    assert scene.outcomes() == []
    scene.stage.advance(ADOPTION_S)
    assert scene.outcomes() == [(1, 1)]
    scene.end(scene.task(2))
    assert scene.outcomes() == [(1, 1), (2, 1)]


def test_a_stored_result_of_a_run_without_an_owner_makes_the_dispatcher_look(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.end(scene.task())
    scene.stage.kill("engine-1")
    scene.stage.store.dispatch.retire([scene.owner])
    scene.stage.advance(2 * ADOPTION_S)
    assert scene.dispatcher.take(Look) == [Look(runs=True, tasks=False)]


@pytest.mark.rule("A5")
def test_a_successor_adopts_what_the_dead_engine_had_here(scene: Scene) -> None:
    scene.send(scene.engine, scene.task(1), scene.task(2))
    scene.end(scene.task(1))
    engine = successor(scene)
    keys = [scene.task(seq).key for seq in (1, 2, 3)]
    scene.send(engine, Recover(keys))
    assert engine.take(Recovered) == [Recovered(keys[:2], keys[2:], [])]
    assert [result.seq for result in engine.take(Finished) if isinstance(result, Finished)] == [1]
    scene.stage.advance(2 * ADOPTION_S)
    scene.end(scene.task(2))
    assert [result.seq for result in engine.take(Finished) if isinstance(result, Finished)] == [2]
    assert scene.outcomes() == [], "adopted results do not go to the database"


def test_a_successor_that_comes_late_hears_that_the_result_is_stored(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.end(scene.task())
    engine = successor(scene)
    scene.stage.advance(2 * ADOPTION_S)
    scene.send(engine, Recover([scene.task().key]))
    assert engine.take(Recovered) == [Recovered([], [], [scene.task().key])]
    scene.send(engine, scene.task())
    assert len(scene.executor.started) == 1, "a stored attempt is not run again"


@pytest.mark.rule("A5")
def test_an_execute_of_the_dead_that_comes_after_the_answer_unknown_is_not_run(scene: Scene) -> None:
    """The new owner was told that the attempt never came here, and may let it run elsewhere."""
    other = scene.stage.extra("engine-2")
    scene.send(other, Recover([scene.task().key]))
    assert other.take(Recovered) == [Recovered([], [scene.task().key], [])]
    scene.send(scene.engine, scene.task())
    assert scene.executor.started == []
    scene.send(other, scene.task())
    assert scene.executor.started == [scene.task()]


def test_an_abandoned_attempt_is_stopped_and_its_result_dropped(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.send(scene.engine, Abandon([scene.task().key]))
    assert scene.executor.stopped == [scene.task().key]
    scene.end(scene.task())
    assert scene.engine.take(Finished) == []


def test_an_abandon_that_overtakes_its_execute_still_stops_it(scene: Scene) -> None:
    scene.send(scene.engine, Abandon([scene.task().key]))
    scene.send(scene.engine, scene.task())
    assert scene.executor.started == []


def test_only_the_present_requester_disowns_and_abandons(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    other = scene.stage.extra("engine-2")
    scene.send(other, Recover([scene.task().key]))
    scene.send(scene.engine, Disowned([scene.task().key]), Abandon([scene.task().key]))
    scene.end(scene.task())
    assert len(other.take(Finished)) == 1
    assert scene.executor.stopped == []
    assert scene.outcomes() == []


@pytest.mark.parametrize("operation", ["offer_outcomes", "offer_outcomes:after"])
def test_results_wait_through_an_outage_of_the_database(scene: Scene, operation: str) -> None:
    scene.send(scene.engine, scene.task())
    scene.stage.break_database(operation)
    scene.end(scene.task())
    scene.send(scene.engine, Disowned([scene.task().key]))
    scene.stage.advance(60)
    scene.stage.mend_database()
    scene.stage.advance(6)
    assert scene.outcomes() == [(1, 1)]
    scene.worker.drain()
    scene.stage.advance(LINGER_S)
    assert scene.worker.drained


@pytest.mark.rule("A6")
def test_a_claim_of_a_dead_dispatcher_lives_as_long_as_its_task_runs(scene: Scene) -> None:
    claimer = scene.stage.owner("dispatcher")
    scene.stage.store.dispatch.heartbeat(claimer, 30.0)
    scene.stage.set_task(scene.lease)
    (task,) = scene.stage.store.dispatch.claim_tasks(claimer, ["default"], 1)
    scene.send(scene.dispatcher, scene.task(task.seq))
    scene.stage.kill("dispatcher")
    for _ in range(10):
        scene.stage.advance(20)
        assert scene.stage.store.dispatch.lose_orphans() == []
    scene.end(scene.task(task.seq))
    assert scene.outcomes() == [(1, 1)]
    scene.stage.advance(60)
    assert scene.stage.store.dispatch.heartbeat(claimer, 30.0) is None, "nobody keeps it alive any more"


@pytest.mark.rule("A6", "L4")
def test_a_dispatcher_that_died_is_not_found_gone_while_its_attempts_are_at_a_worker(scene: Scene) -> None:
    theirs = scene.stage.store.beside()  # the dispatcher's session
    claimer = str(Owner(NODE, INSTANCE, "dispatcher", "b-1"))
    theirs.dispatch.hold(claimer)
    theirs.dispatch.register(claimer, NODE, "", 1e6)
    scene.stage.set_task(scene.lease)
    (task,) = theirs.dispatch.claim_tasks(claimer, ["default"], 1)
    scene.send(scene.dispatcher, scene.task(task.seq))
    theirs.close()
    other = scene.stage.store.beside()
    assert other.dispatch.look_for_gone("x", 10).gone == []
    scene.stage.store.close()  # the worker's session
    assert other.dispatch.look_for_gone("x", 10).gone == [claimer]


@pytest.mark.rule("A6", "L4")
def test_a_worker_answers_for_a_dead_dispatcher_whose_attempts_it_has(scene: Scene) -> None:
    dispatch = scene.stage.store.dispatch
    claimer = scene.stage.owner("dispatcher")
    dispatch.heartbeat(claimer, 30.0)
    scene.stage.set_task(scene.lease)
    (task,) = dispatch.claim_tasks(claimer, ["default"], 1)
    scene.send(scene.dispatcher, scene.task(task.seq))
    scene.stage.kill("dispatcher")
    scene.stage.advance(1)
    asked = [row for row in dispatch.ask(NODE, BOOT) if row.owner == claimer]
    scene.stage.extra("router").post.hint("worker-1", Ask(claimer))
    scene.stage.settle()
    assert len(asked) == 1
    assert dispatch.retire_silent(asked) == []


def test_a_worker_that_leaves_says_so_and_still_runs_what_was_on_its_way(scene: Scene) -> None:
    scene.engine.take()
    scene.worker.drain()
    scene.send(scene.engine, scene.task())
    assert WorkerReady(("default",), 0, 0, True) in scene.engine.take(WorkerReady)
    assert scene.executor.started == [scene.task()]
    assert not scene.worker.drained


@pytest.mark.rule("O5", "A11")
def test_what_a_drain_has_given_its_time_is_stopped_and_its_result_names_the_drain(scene: Scene) -> None:
    scene.worker._drain_s = 7.0
    scene.send(scene.engine, scene.task(1), scene.task(2))
    scene.worker.drain()
    scene.stage.advance(6.0)
    scene.end(scene.task(1))
    scene.executor.beats = {scene.task(2).key: b"half"}
    scene.engine.take(Finished)
    scene.stage.advance(2.0)
    assert scene.executor.stopped == [scene.task(2).key]
    (result,) = scene.engine.take(Finished)
    assert isinstance(result, Finished) and not result.ok and result.details == b"half"
    failure = decode_failure(result.payload)
    assert failure.type == NODE_DRAINED and failure.message == "stopped by the drain of node n after 7 s"
    scene.send(scene.engine, Settled([scene.task(1).key, scene.task(2).key]))
    assert scene.worker.drained


def test_a_worn_out_worker_stops_nothing(scene: Scene) -> None:
    scene.worker._drain_s = 7.0
    scene.send(scene.engine, scene.task())
    scene.executor.worn_out = True
    scene.stage.advance(60.0)
    assert scene.executor.stopped == []


def test_a_worn_out_worker_drains_by_itself(scene: Scene) -> None:
    scene.executor.worn_out = True
    scene.stage.advance(LINGER_S)
    assert scene.worker.worn_out
    assert scene.worker.drained


@pytest.mark.rule("A12")
def test_the_dispatcher_gets_the_slots_that_no_engine_uses(scene: Scene) -> None:
    scene.send(scene.engine, *(scene.task(seq) for seq in range(1, 8)))
    scene.stage.advance(3)
    (said,) = scene.dispatcher.take(WorkerReady)[-1:]
    assert said == WorkerReady(("default",), SLOTS - 7, 7)


@pytest.mark.rule("A12")
def test_slow_activities_are_not_taken_ahead_of_the_slots(scene: Scene) -> None:
    for seq in range(1, 4):
        scene.send(scene.engine, scene.task(seq))
        scene.stage.advance(10)
        scene.end(scene.task(seq))
    scene.stage.advance(3)
    (said,) = scene.engine.take(WorkerReady)[-1:]
    assert isinstance(said, WorkerReady)
    assert said.window == SLOTS


def test_a_stream_of_fast_ones_opens_the_window_and_idleness_closes_it(scene: Scene) -> None:
    scene.engine.take()
    seq = 0
    for _ in range(20):
        tasks = [scene.task(seq := seq + 1) for _ in range(100)]
        scene.send(scene.engine, *tasks)
        scene.executor.end(*tasks)
        scene.stage.advance(0.05)
        scene.send(scene.engine, Settled([task.key for task in tasks]))
    windows = [said.window for said in scene.engine.take(WorkerReady) if isinstance(said, WorkerReady)]
    assert windows[-1] > 5 * SLOTS
    scene.stage.advance(10)
    windows = [said.window for said in scene.engine.take(WorkerReady) if isinstance(said, WorkerReady)]
    assert windows[-1] == SLOTS


def test_the_window_has_a_limit_and_is_shared_by_the_engines() -> None:
    window = Window(SLOTS, 0.0)
    window.completed(10_000_000)
    window.sample(1.0)
    assert window.share(1) == SLOTS + PREFETCH_MAX
    assert window.share(3) == math.ceil((SLOTS + PREFETCH_MAX) / 3)


@pytest.mark.rule("A7")
def test_a_zombie_of_an_older_attempt_changes_nothing(scene: Scene) -> None:
    scene.stage.set_task(scene.lease, attempt=2)
    scene.send(scene.engine, scene.task(1, attempt=1))
    scene.end(scene.task(1, attempt=1))
    scene.send(scene.engine, Disowned([scene.task(1, attempt=1).key]))
    assert scene.outcomes() == []
