"""Which engine the dispatcher gives which runs, when it looks for them, and what it asks the database meanwhile."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from continuum.errors import JournalError
from continuum.memory.database import Database
from continuum.memory.dispatch import MemoryDispatch
from continuum.ports.dispatch import WANTED_S
from continuum.ports.journal import Release
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import CLAIM_MAX, DUE_S, LOOK_MIN_S, WARM_RUNS, Dispatcher
from continuum.wire.messages import Assign, EngineReady, Look
from tests.unit.dispatcher_scene import CLAIMER, Scene, assigned, executed
from tests.unit.stage import NODE, Stage


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_look_is_served_at_once(scene: Scene) -> None:
    engine = scene.engine()
    (run,) = scene.stage.insert()
    scene.look()
    assert assigned(engine) == [run]


def test_what_the_database_notifies_is_served_at_once(scene: Scene) -> None:
    worker = scene.worker()
    (lease,) = scene.tasks(1)
    engine = scene.engine()
    (_, run) = scene.stage.insert(2)  # the first has the task
    assert assigned(engine) == executed(worker) == []
    scene.notice("due", "task", "tide")
    assert assigned(engine) == [run]
    assert [task.run for task in executed(worker)] == [lease.run_id.bytes]


@pytest.mark.rule("B6")
def test_what_an_owner_left_is_looked_for_and_the_timer_told(scene: Scene) -> None:
    timer, engine, worker = scene.stage.extra("timer"), scene.engine(), scene.worker()
    scene.stage.advance(1.0)
    scene.tasks(1)
    run = scene.stage.insert(2)[1]
    scene.notice("left")
    assert timer.take(Look) == [Look()]
    assert assigned(engine) == [run] and len(executed(worker)) == 1


@pytest.mark.rule("B6")
def test_a_back_off_that_an_owner_left_is_over_in_time(scene: Scene) -> None:
    worker = scene.worker()
    scene.stage.advance(5.1)  # it was asked just now
    scene.stage.insert(1)
    (lease,) = scene.stage.claim(scene.stage.owner(node="elsewhere"))
    scene.stage.set_task(lease, delay_s=1.0)
    scene.notice("left")
    scene.stage.advance(1.2)
    assert [task.run for task in executed(worker)] == [lease.run_id.bytes]


def test_a_notice_of_a_task_is_no_reason_to_look_for_runs(scene: Scene) -> None:
    engine = scene.engine()
    scene.stage.insert()
    scene.notice("task")
    assert assigned(engine) == []


def test_a_notice_of_new_runs_brings_these_alone_and_the_others_follow(scene: Scene) -> None:
    scene.stage.insert()
    elsewhere = scene.stage.owner(node="elsewhere")
    (left,) = scene.stage.claim(elsewhere)
    engine = scene.engine()
    scene.store.dispatch.retire([elsewhere])
    (_, new) = scene.stage.insert(2)  # the first is the one that was left
    scene.notice("due")
    assert assigned(engine) == [new]
    scene.stage.advance(DUE_S + LOOK_MIN_S)
    assert assigned(engine) == [left.run_id]


def test_a_notice_of_runs_that_were_left_brings_all_runs(scene: Scene) -> None:
    scene.stage.insert()
    elsewhere = scene.stage.owner(node="elsewhere")
    (left,) = scene.stage.claim(elsewhere)
    engine = scene.engine()
    scene.store.dispatch.retire([elsewhere])
    (_, new) = scene.stage.insert(2)
    scene.notice("due", "left")
    assert sorted(assigned(engine)) == sorted([left.run_id, new])


def test_a_crowd_of_new_runs_is_claimed_to_the_last(scene: Scene) -> None:
    engine = scene.engine(free=CLAIM_MAX * 2 + 1)
    runs = scene.stage.insert(CLAIM_MAX * 2 + 1)
    scene.notice("due")
    assert sorted(assigned(engine)) == sorted(runs)


@pytest.mark.rule("B6")
def test_what_was_notified_while_nobody_listened_is_found_when_the_connection_is_back(scene: Scene) -> None:
    worker = scene.worker()
    (lease,) = scene.tasks(1)
    engine = scene.engine()
    (_, run) = scene.stage.insert(2)  # the first has the task
    assert assigned(engine) == executed(worker) == []
    scene.dispatcher.reconnected()
    scene.stage.settle()
    assert assigned(engine) == [run]
    assert [task.run for task in executed(worker)] == [lease.run_id.bytes]


@pytest.mark.rule("K4", "K5")
def test_a_run_that_does_not_end_in_its_time_for_clean_up_is_ended(scene: Scene) -> None:
    (run,) = scene.stage.insert()
    scene.stage.claim(scene.stage.owner(node="elsewhere"))
    scene.store.catalog.cancel(run, "enough", cleanup_s=10.0)

    def state() -> str:
        return scene.store.catalog.endings([run])[run].state

    scene.notice("ends")
    scene.stage.advance(9.99)
    assert state() == "running"
    scene.stage.advance(0.02)
    assert state() == "cancelled"


@pytest.mark.rule("B6")
def test_a_run_whose_look_was_lost_is_found_by_the_poll(scene: Scene) -> None:
    engine = scene.engine()
    scene.stage.advance(1)
    (run,) = scene.stage.insert()
    scene.stage.advance(5)
    assert assigned(engine) == [run]


@pytest.mark.rule("B6", "D4")
def test_a_run_that_waits_for_code_which_an_engine_here_has_is_found_by_the_poll(scene: Scene) -> None:
    engine = scene.engine()
    scene.stage.advance(1)
    (run,) = scene.stage.insert()
    (lease,) = scene.stage.claim(scene.stage.owner(node="elsewhere"))
    scene.store.journal.release([Release(run, lease.token, 3600.0, "no code is loaded", lacks_code=True)])
    scene.stage.advance(10)
    assert assigned(engine) == []
    scene.store.dispatch.register(scene.stage.owner(), NODE, "", 1e6, [("w", "")])
    scene.stage.advance(5 + WANTED_S + 1)
    assert assigned(engine) == [run]


def test_a_node_that_has_nothing_to_do_asks_only_what_there_is_to_do(scene: Scene) -> None:
    scene.engine()
    scene.worker()
    scene.stage.advance(60)
    asked = Counter[str]()
    scene.store.fault = lambda operation: asked.update([operation])
    scene.stage.advance(60)
    statements = {name: count for name, count in asked.items() if not name.endswith(":after")}
    assert statements.keys() == {"next_due", "heartbeat", "look_for_gone"}
    assert sum(statements.values()) <= 12 + 6 + 6


def test_runs_that_come_alone_go_to_the_engine_that_is_warm_and_to_the_other_in_its_turn(
    scene: Scene,
) -> None:
    engines = [scene.engine(name, free=1000) for name in ("engine-1", "engine-2")]
    turns = []
    for number in range(4 * WARM_RUNS):
        scene.stage.insert(number + 1)  # one more than there are
        scene.notice("due")
        counts = [len(assigned(engine)) for engine in engines]
        assert sorted(counts) == [0, 1]
        turns.append(counts.index(1))
    changes = sum(before != after for before, after in pairwise(turns))
    assert 1 <= changes <= 3 and abs(2 * sum(turns) - len(turns)) <= 2 * WARM_RUNS


def test_a_crowd_goes_to_both_engines(scene: Scene) -> None:
    engines = [scene.engine(name, free=1000) for name in ("engine-1", "engine-2")]
    scene.stage.insert(CLAIM_MAX)
    scene.notice("due")
    assert [len(assigned(engine)) for engine in engines] == [CLAIM_MAX // 2] * 2


@pytest.mark.rule("B6")
def test_a_stream_of_new_runs_keeps_nobody_from_asking_what_else_there_is(scene: Scene) -> None:
    scene.engine(free=1000)
    asked = Counter[str]()
    scene.store.fault = lambda operation: asked.update([operation])
    for _ in range(600):
        scene.stage.clock.now += 0.05
        scene.dispatcher.notice([Notice("due")])  # before every tick
        scene.dispatcher.tick()
    assert asked["next_due"] >= 5, "every five seconds"


def test_a_delayed_run_is_claimed_when_it_is_due_not_at_the_next_poll(scene: Scene) -> None:
    engine = scene.engine()
    (run,) = scene.stage.insert(delay_s=1.5)
    scene.look()
    scene.stage.advance(1.4)
    assert assigned(engine) == []
    scene.stage.advance(0.2)
    assert assigned(engine) == [run]


def test_engines_get_runs_in_proportion_to_their_free_capacity(scene: Scene) -> None:
    scene.stage.insert(CLAIM_MAX)
    small, large = scene.engine("engine-1", free=0), scene.engine("engine-2", free=0)
    small.post.hint("dispatcher", EngineReady(scene.stage.owner("engine-1"), 100))
    large.post.hint("dispatcher", EngineReady(scene.stage.owner("engine-2"), 900))
    scene.stage.settle()
    assert (len(assigned(small)), len(assigned(large))) == (CLAIM_MAX // 10, CLAIM_MAX * 9 // 10)


def test_a_crowd_of_due_runs_is_claimed_in_batches_until_the_engines_are_full(scene: Scene) -> None:
    scene.stage.insert(CLAIM_MAX * 2 + 100)
    engine = scene.engine(free=CLAIM_MAX * 2)
    messages = engine.take(Assign)
    assert [len(m.runs) for m in messages if isinstance(m, Assign)] == [CLAIM_MAX, CLAIM_MAX]
    engine.post.hint("dispatcher", EngineReady(scene.stage.owner(), CLAIM_MAX))
    scene.stage.settle()
    assert len(assigned(engine)) == 100


def test_an_engine_that_lost_its_row_does_not_keep_runs_from_the_others(scene: Scene) -> None:
    lapsed = scene.engine("engine-1", free=1000)
    scene.store.dispatch.retire([scene.stage.owner("engine-1")])
    healthy = scene.engine("engine-2", free=10)
    (run,) = scene.stage.insert()
    scene.look()
    assert assigned(healthy) == [run]
    assert assigned(lapsed) == []


@pytest.mark.rule("B3")
def test_the_runs_of_a_dead_engine_go_to_another_at_once(scene: Scene) -> None:
    first = scene.engine("engine-1")
    scene.stage.insert(3)
    scene.look()
    runs = assigned(first)
    second = scene.engine("engine-2")
    scene.stage.kill("engine-1")
    scene.stage.settle()
    assert sorted(assigned(second)) == sorted(runs)


@pytest.mark.rule("B3")
def test_the_runs_of_an_engine_that_died_with_the_dispatcher_are_taken_up_by_their_successors(
    scene: Scene,
) -> None:
    first = scene.engine("engine-1")
    (run,) = scene.stage.insert()
    scene.look()
    assert assigned(first) == [run]
    scene.stage.kill("dispatcher")
    scene.stage.kill("engine-1")
    scene.put_on("b-3")
    assert assigned(scene.engine("engine-1", incarnation="b-4")) == [run]


def test_an_announcement_of_a_dead_engine_that_comes_late_gets_nothing(scene: Scene) -> None:
    echo = scene.stage.extra("engine-1", "b-0")
    owner = scene.stage.owner("engine-1", "b-0")
    scene.stage.kill("engine-1")
    scene.put_on("b-2")
    ghost = scene.stage.ports("engine-1", "b-0").post
    ghost.hint("dispatcher", EngineReady(owner, 100))
    scene.stage.insert()
    scene.look()
    assert assigned(echo) == []
    assert len(scene.stage.claim(owner, 10)) == 1, "the run was left to others"


def test_what_is_due_but_cannot_be_had_does_not_make_it_hot(scene: Scene) -> None:
    """Another node's dispatcher holds the row's lock, say: due now, and never claimed."""
    scene.engine()
    scene.stage.insert()
    operations: list[str] = []

    def refuse_claims(operation: str) -> None:
        operations.append(operation)
        if operation == "claim":
            scene.store.dispatch.retire([scene.stage.owner()])

    scene.store.fault = refuse_claims
    scene.stage.advance(60)
    assert operations.count("claim") < 40


def test_an_outage_is_asked_about_less_and_less_often(scene: Scene) -> None:
    scene.engine()
    asked: list[str] = []

    def down(operation: str) -> None:
        asked.append(operation)
        raise JournalError(operation, "no database")

    scene.store.fault = down
    scene.stage.advance(60)
    assert 5 < len(asked) < 25


class PooledDispatch(MemoryDispatch):
    """What stands behind a connection pooler: no session holds anybody."""

    def hold(self, owner: str) -> bool:
        return False


def test_a_dispatcher_behind_a_pooler_says_once_what_that_means(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    dispatch = PooledDispatch(Database(lambda: 1_700_000_000.0 + stage.clock.now))
    role = Dispatcher(stage.ports("dispatcher"), dispatch, stage.store.mailbox, ["default"])
    stage.play("dispatcher", role)
    stage.advance(100)
    assert caplog.text.count("behind a connection pooler") == 1
    assert dispatch.heartbeat(CLAIMER, 30.0) is not None, "and works all the same"
