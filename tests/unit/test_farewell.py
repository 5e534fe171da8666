"""How a worker leaves: at once when nothing is on its way to it, and never before what is has come."""

from __future__ import annotations

import pytest

from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.farewell import LINGER_S
from continuum.runtime.placement import Placement
from continuum.wire.messages import Execute, Finished, LastWord, Settled, WorkerReady
from continuum.wire.post import Peer, Post
from tests.unit.stage import Datagrams, Extra, HandClock, Stage
from tests.unit.test_worker import Scene

STOPS = WorkerReady(("default",), 0, 0, True)


@pytest.fixture
def scene() -> Scene:
    """A worker between an engine and a dispatcher that say nothing by themselves."""
    return Scene()


def say_last_word(scene: Scene, sender: Extra, *tasks: Execute) -> None:
    sender.send("worker-1", LastWord([task.key for task in tasks]))
    scene.stage.settle()


def test_a_worker_leaves_when_everybody_who_gives_it_work_has_said_the_last_word(scene: Scene) -> None:
    scene.worker.drain()
    say_last_word(scene, scene.engine)
    assert not scene.worker.drained
    say_last_word(scene, scene.dispatcher)
    assert scene.worker.drained


def test_a_worker_waits_for_an_attempt_of_which_the_last_word_came_first(scene: Scene) -> None:
    scene.stage.kill("dispatcher")
    scene.worker.drain()
    say_last_word(scene, scene.engine, scene.task())
    assert not scene.worker.drained
    scene.send(scene.engine, scene.task())
    say_last_word(scene, scene.engine, scene.task())
    assert not scene.worker.drained
    scene.end(scene.task())
    scene.send(scene.engine, Settled([scene.task().key]))
    assert scene.worker.drained
    assert len(scene.engine.take(Finished)) == 1


def test_the_word_of_a_dead_engine_does_not_stand_for_its_successor(scene: Scene) -> None:
    scene.stage.kill("dispatcher")
    scene.worker.drain()
    say_last_word(scene, scene.engine)
    scene.stage.kill("engine-1")
    successor = scene.stage.extra("engine-1", "b-9")
    scene.stage.settle()
    assert not scene.worker.drained
    assert successor.take(WorkerReady) == [STOPS]
    say_last_word(scene, successor)
    assert scene.worker.drained


def test_a_worker_without_anybody_who_gives_it_work_leaves_at_once(scene: Scene) -> None:
    scene.stage.kill("dispatcher")
    scene.stage.kill("engine-1")
    scene.worker.drain()
    assert scene.worker.drained


def test_those_who_say_nothing_are_not_waited_for_longer_than_a_moment(scene: Scene) -> None:
    scene.worker.drain()
    scene.stage.advance(LINGER_S - 0.01)
    assert not scene.worker.drained
    scene.stage.advance(0.02)
    assert scene.worker.drained


@pytest.mark.rule("A5")
def test_an_engine_sends_nothing_after_its_last_word_which_names_all_that_it_sent() -> None:
    clock, net, worker = HandClock(), Datagrams(), Peer("worker-1", "b-1")
    post = Post("engine-1", "b-1", clock, net)
    receiver = Extra(Post("worker-1", "b-1", clock, Datagrams()))

    def heard() -> list[object]:
        post.flush()
        taken, net.queue = net.queue, []
        return [message for _, data in taken for message in (receiver.post.open(data) or (worker, []))[1]]

    placement = Placement(post)
    placement.worker_says(worker, ("default",), 2, stopping=False)
    tasks = [Execute(b"r" * 16, seq, 1, "a", b"") for seq in range(1, 5)]
    for task in tasks:
        placement.add(task, "default", 0.0)
    placement.place(0.0)
    placement.worker_says(worker, ("default",), 0, stopping=True)
    assert heard() == [*tasks[:2], LastWord([task.key for task in tasks[:2]])]
    placement.finished(tasks[0].key)
    placement.worker_says(worker, ("default",), 2, stopping=False)  # it was said before, and came late
    placement.place(0.0)
    assert heard() == []


@pytest.mark.rule("A5")
def test_a_dispatcher_sends_nothing_after_its_last_word() -> None:
    stage = Stage()
    dispatcher = Dispatcher(stage.ports("dispatcher"), stage.store.dispatch, stage.store.mailbox, ["default"])
    stage.play("dispatcher", dispatcher)
    worker = stage.extra("worker-1")

    def say(*words: WorkerReady) -> None:
        for word in words:
            worker.post.hint("dispatcher", word)
        stage.settle()

    stage.insert(2)
    for lease in stage.claim(stage.owner(node="elsewhere"), 2):
        stage.set_task(lease)
    say(WorkerReady(("default",), 1, 0))
    stage.advance(40)
    (sent,) = worker.take(Execute)
    assert isinstance(sent, Execute)
    say(STOPS)
    assert worker.take(LastWord) == [LastWord([sent.key])]
    worker.send("dispatcher", Finished(*sent.key, True, b"done"))
    say(WorkerReady(("default",), 1, 0))  # it was said before, and came late
    stage.advance(40)
    assert worker.take(Execute) == []
