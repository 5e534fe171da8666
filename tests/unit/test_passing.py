"""Results of claimed tasks go to the owner's engine by message; the database has them when that does not work."""

from __future__ import annotations

import pytest

from continuum.model.ids import Owner
from continuum.ports.journal import Lease
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import CLAIM_MAX
from continuum.wire.messages import (
    Abandon,
    Assign,
    Disowned,
    Execute,
    Finished,
    Forward,
    Members,
    Route,
    Settled,
)
from tests.unit.dispatcher_scene import Scene, executed, finish
from tests.unit.stage import INSTANCE, Extra

ELSEWHERE = str(Owner("elsewhere", INSTANCE, "engine-1", "b-1"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def with_group(scene: Scene, *nodes: tuple[str, str, int]) -> Extra:
    group = scene.stage.extra("group")
    group.post.hint("dispatcher", Members(list(nodes)))
    scene.stage.settle()
    return group


def travelled(scene: Scene) -> tuple[Extra, Extra, Lease, Execute]:
    """A task of a run on another node that the group reaches, at a worker here."""
    group = with_group(scene, ("elsewhere", "b", 0))
    (lease,) = scene.tasks(1)
    worker = scene.worker()
    (task,) = executed(worker)
    return group, worker, lease, task


def forwards(group: Extra) -> list[Forward]:
    return [message for message in group.take(Forward) if isinstance(message, Forward)]


@pytest.mark.rule("A8", "A12")
def test_a_result_goes_to_the_owner_by_message_and_no_row_is_written(scene: Scene) -> None:
    group, worker, lease, task = travelled(scene)
    finish(scene, worker, task)
    (forward,) = forwards(group)
    assert (forward.owner, [result.key for result in forward.results]) == (ELSEWHERE, [task.key])
    assert worker.take(Settled) == [], "it is not durable yet"
    group.send("dispatcher", Settled([task.key]))
    scene.stage.advance(5)
    assert worker.take(Settled) == [Settled([task.key])]
    assert scene.outcomes(lease) == []


@pytest.mark.rule("A8")
def test_a_result_without_an_answer_goes_into_the_database_after_a_second(scene: Scene) -> None:
    group, worker, lease, task = travelled(scene)
    finish(scene, worker, task)
    scene.stage.advance(0.9)
    assert scene.outcomes(lease) == []
    scene.stage.advance(0.2)
    assert scene.outcomes(lease) == [True]
    assert worker.take(Settled) == [Settled([task.key])]
    group.send("dispatcher", Settled([task.key]), Disowned([task.key]))
    scene.stage.settle()
    assert worker.take(Settled) == [], "what comes late changes nothing"


@pytest.mark.rule("A8")
@pytest.mark.parametrize("how", ["disowned", "the group died"])
def test_a_result_that_comes_back_goes_into_the_database_at_once(scene: Scene, how: str) -> None:
    group, worker, lease, task = travelled(scene)
    finish(scene, worker, task)
    if how == "disowned":
        group.send("dispatcher", Disowned([task.key]))
    else:
        scene.stage.kill("group")
    scene.stage.settle()
    assert scene.outcomes(lease) == [True]
    assert worker.take(Settled) == [Settled([task.key])]


@pytest.mark.rule("A8", "A4")
def test_a_result_under_way_survives_the_death_of_its_worker(scene: Scene) -> None:
    _, worker, lease, task = travelled(scene)
    finish(scene, worker, task)
    scene.stage.kill("worker-1")
    scene.stage.advance(2)
    assert scene.outcomes(lease) == [True]


def test_a_dispatcher_that_drains_waits_for_the_answers(scene: Scene) -> None:
    group, worker, _, task = travelled(scene)
    finish(scene, worker, task)
    scene.dispatcher.drain()
    scene.stage.settle()
    assert not scene.dispatcher.drained
    group.send("dispatcher", Settled([task.key]))
    scene.stage.advance(0.1)
    assert scene.dispatcher.drained


@pytest.mark.rule("A14")
def test_a_result_for_an_engine_of_this_node_goes_straight_to_it(scene: Scene) -> None:
    engine = scene.engine(free=0)
    scene.stage.insert()
    (lease,) = scene.stage.claim(scene.stage.owner())
    scene.stage.set_task(lease)
    worker = scene.worker()
    (task,) = executed(worker)
    finish(scene, worker, task)
    assert [type(message) for message in engine.take(Finished)] == [Finished]
    assert scene.outcomes(lease) == []
    engine.send("dispatcher", Settled([task.key]))
    scene.stage.settle()
    assert worker.take(Settled) == [Settled([task.key])]


@pytest.mark.rule("K3", "A15")
def test_a_travelled_attempt_that_its_owner_gave_up_is_stopped(scene: Scene) -> None:
    _, worker, lease, task = travelled(scene)
    scene.stage.advance(5)
    assert worker.take(Abandon) == []
    scene.store.catalog.cancel(lease.run_id, None)
    scene.stage.advance(2)
    assert worker.take(Abandon) == [Abandon([task.key])]
    scene.dispatcher.drain()
    scene.stage.settle()
    assert scene.dispatcher.drained, "nothing is waited for"


@pytest.mark.rule("M2")
def test_what_was_lost_elsewhere_wakes_an_owner_that_is_reached_by_the_group(scene: Scene) -> None:
    notices: list[Notice] = []
    scene.store.subscribe(notices.append)
    group, _, lease, _ = travelled(scene)
    scene.stage.kill("worker-1")
    scene.stage.settle()
    assert group.take(Route) == [Route([(ELSEWHERE, [lease.run_id.bytes])])]
    assert [notice for notice in notices if notice.kind == "mail"] == []


@pytest.mark.rule("M2")
def test_without_a_group_an_owner_elsewhere_is_woken_by_the_database(scene: Scene) -> None:
    notices: list[Notice] = []
    scene.store.subscribe(notices.append)
    _, _, lease, _ = travelled(scene)
    scene.stage.kill("group")
    scene.stage.kill("worker-1")
    scene.stage.settle()
    assert Notice("mail", lease.run_id, ELSEWHERE) in notices


def test_a_claim_takes_the_share_that_this_node_has_of_what_is_free(scene: Scene) -> None:
    with_group(scene, ("elsewhere", "b", 3_000))
    asked: list[int] = []
    claim = scene.store.dispatch.claim

    def watch(owner: str, limit: int) -> list[object]:
        asked.append(limit)
        return claim(owner, limit)  # type: ignore[return-value]

    scene.store.dispatch.claim = watch  # type: ignore[method-assign,assignment]
    engine = scene.engine(free=1_000)
    scene.stage.insert(10)
    scene.look()
    assert asked[-1] == CLAIM_MAX // 4
    assert len(engine.take(Assign)) == 1
