"""How a dispatcher finds out that another node is dead, and what it does then."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from continuum.errors import JournalError
from continuum.memory import MemoryStore
from continuum.model.ids import Owner
from continuum.ports.journal import Lease
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.vigil import ALONE_S, ANSWER_S, HURRY_S, LOOK_S, SURE_S
from continuum.wire.messages import Assign, EngineReady, Look, NodeDied, NodeSuspected
from tests.unit.stage import INSTANCE, Extra, Stage

THEIRS = str(Owner("far", INSTANCE, "engine-1", "f-1"))
THEIR_CLAIMER = str(Owner("far", INSTANCE, "dispatcher", "f-2"))


class Scene:
    """A dispatcher with an engine, and a session of another node with an engine's owner and a run."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.store = self.stage.store
        ports = self.stage.ports("dispatcher")
        self.dispatcher = Dispatcher(ports, self.store.dispatch, self.store.mailbox, ["default"])
        self.stage.play("dispatcher", self.dispatcher)
        self.engine = self.stage.extra("engine-1")
        self.engine.post.hint("dispatcher", EngineReady(self.stage.owner(), 10))
        self.group = self.stage.extra("group")
        self.far = self.store.beside()
        self.appear(THEIRS)
        (self.run,) = self.stage.insert()
        (self.lease,) = self.claim(self.far)
        self.asked = Counter[str]()
        self.store.fault = lambda operation: self.asked.update([operation])

    def appear(self, owner: str) -> None:
        self.far.dispatch.hold(owner)
        self.far.dispatch.register(owner, "far", "", 1e6)
        self.say(self.stage.extra("router"), Look(runs=False, owners=True))

    def claim(self, store: MemoryStore) -> list[Lease]:
        return [Lease(run.run_id, run.token) for run in store.dispatch.claim(THEIRS, 10)]

    def say(self, sender: Extra, message: Look | NodeSuspected | NodeDied) -> None:
        sender.post.hint("dispatcher", message)
        self.stage.settle()

    def assigned(self) -> list[UUID]:
        messages = [message for message in self.engine.take(Assign) if isinstance(message, Assign)]
        return [run.run_id for message in messages for run in message.runs]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.rule("L4")
def test_a_node_whose_connections_are_closed_is_taken_over_within_a_look_and_without_a_group(
    scene: Scene,
) -> None:
    scene.stage.advance(30)
    assert scene.assigned() == []
    scene.far.close()
    scene.stage.advance(LOOK_S + SURE_S)
    assert scene.assigned() == [scene.run]


@pytest.mark.rule("L4")
def test_a_node_that_replaces_its_session_at_once_is_left_alone(scene: Scene) -> None:
    closed: list[str] = []

    def close_when_looked_at(operation: str) -> None:
        if operation == "look_for_gone":
            scene.far.close()
            closed.append(operation)
        elif operation == "look_for_gone:after":
            scene.far.dispatch.heartbeat(THEIRS, 1e6)

    scene.store.fault = close_when_looked_at
    scene.stage.advance(10)
    assert len(closed) >= 10
    assert scene.assigned() == []


@pytest.mark.rule("L4", "M4")
def test_a_suspicion_alone_takes_nothing_over_and_makes_the_end_known_sooner(scene: Scene) -> None:
    scene.stage.advance(LOOK_S + 0.5)
    scene.say(scene.group, NodeSuspected("far", "f"))
    assert scene.assigned() == []
    scene.far.close()
    scene.stage.advance(HURRY_S + SURE_S)
    assert scene.assigned() == [scene.run]


@pytest.mark.rule("L4")
def test_a_node_that_vanished_with_open_connections_is_taken_over_on_the_groups_verdict(scene: Scene) -> None:
    scene.say(scene.group, NodeDied("far", "f"))
    scene.stage.advance(ANSWER_S - 0.1)
    assert scene.assigned() == []
    scene.stage.advance(0.2)
    assert scene.assigned() == [scene.run]


@pytest.mark.rule("L4", "M4")
def test_a_wrong_verdict_takes_nothing_over_however_often_it_comes(scene: Scene) -> None:
    def answer(notice: Notice) -> None:
        if notice.kind == "ask" and notice.owner is not None:
            assert scene.far.dispatch.heartbeat(notice.owner, 1e6) is not None

    scene.store.subscribe(answer)
    for _ in range(20):
        scene.stage.advance(1)
        scene.say(scene.group, NodeDied("far", "f"))
    scene.stage.advance(10)
    assert scene.assigned() == []
    assert scene.asked["ask"] <= 20 / ANSWER_S


@pytest.mark.rule("M4")
def test_a_verdict_on_an_earlier_life_of_a_node_or_on_this_one_does_no_harm(scene: Scene) -> None:
    scene.say(scene.group, NodeDied("far", "e"))
    scene.say(scene.group, NodeDied("n", "b"))
    scene.stage.advance(10)
    assert scene.assigned() == []


@pytest.mark.rule("O4")
def test_who_was_asked_before_an_outage_is_asked_again_after_it(scene: Scene) -> None:
    scene.say(scene.group, NodeDied("far", "f"))
    scene.stage.break_database()
    scene.stage.advance(60)
    scene.stage.mend_database()
    asked = Counter[str]()
    scene.store.fault = lambda operation: asked.update([operation])
    scene.store.subscribe(lambda notice: answer_for(scene.far, notice))
    scene.stage.advance(10)
    assert scene.assigned() == []
    assert asked["ask"] == 1


def answer_for(store: MemoryStore, notice: Notice) -> None:
    if notice.kind == "ask" and notice.owner is not None:
        store.dispatch.heartbeat(notice.owner, 1e6)


@pytest.mark.rule("A4", "A5")
@pytest.mark.parametrize("failing", ["", "retire_gone", "lose_tasks"])
def test_the_tasks_that_a_dead_node_had_claimed_are_lost_at_once(scene: Scene, failing: str) -> None:
    scene.appear(THEIR_CLAIMER)
    scene.stage.set_task(scene.lease)
    assert len(scene.far.dispatch.claim_tasks(THEIR_CLAIMER, ["default"], 1)) == 1
    if failing:
        fail_once(scene, failing)
    scene.far.close()
    scene.stage.advance(LOOK_S + 0.2)
    (run,) = scene.assigned()
    (mail,) = scene.store.journal.mail([Lease(run, token_of(scene, run))])
    assert [outcome.ok for outcome in mail.outcomes] == [False]


def fail_once(scene: Scene, failing: str) -> None:
    left = [failing]

    def fault(operation: str) -> None:
        if operation in left:
            left.remove(operation)
            raise JournalError(operation, "the test has cut the connection")

    scene.store.fault = fault


def token_of(scene: Scene, run: UUID) -> int:
    leases = scene.store.journal.leased_since(scene.stage.owner(), 0)
    return next(lease.token for lease in leases if lease.run_id == run)


def test_a_node_that_is_alone_asks_seldom_and_hears_of_the_first_other(scene: Scene) -> None:
    scene.store.dispatch.retire([THEIRS])
    scene.stage.advance(LOOK_S)
    scene.asked.clear()
    scene.stage.advance(10 * ALONE_S)
    assert scene.asked["look_for_gone"] == 10
    scene.appear(THEIRS)
    scene.asked.clear()
    scene.stage.advance(10)
    assert 9 <= scene.asked["look_for_gone"] <= 10 / LOOK_S + 1


def test_a_dispatcher_that_drains_watches_over_nobody(scene: Scene) -> None:
    scene.dispatcher.drain()
    scene.far.close()
    scene.asked.clear()
    scene.stage.advance(30)
    assert scene.asked["look_for_gone"] == 0
