"""Where a notice goes, and what finds the mail when notices are lost."""

from __future__ import annotations

import pytest

from continuum.model import payload
from continuum.model.ids import Owner
from continuum.ports.mailbox import Notice
from continuum.runtime.router import Router
from continuum.wire.messages import Ask, Look, RunsEnded, Wake
from tests.unit.stage import INSTANCE, NODE, Stage, run_id


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.engine = self.stage.extra("engine-1")
        self.dispatcher = self.stage.extra("dispatcher")
        self.router = Router(self.stage.ports("router"), self.stage.store.mailbox)
        self.stage.play("router", self.router)
        self.dispatcher.take()
        self.ended: list[int] = []
        self.stage.store.subscribe_ended(lambda runs: self.ended.append(len(runs)))

    def notice(self, *notices: Notice) -> None:
        self.router.notice(notices)
        self.stage.settle()


@pytest.fixture
def scene() -> Scene:
    return Scene()


OWNER = str(Owner(NODE, INSTANCE, "engine-1", "b-1"))


def test_what_is_due_is_left_to_the_dispatcher_which_hears_it_too(scene: Scene) -> None:
    scene.notice(Notice("due"), Notice("task"))
    assert scene.dispatcher.take() == scene.engine.take() == []


def test_mail_wakes_the_owner_on_this_node_and_no_other(scene: Scene) -> None:
    foreign = [
        str(Owner("other", INSTANCE, "engine-1", "b-1")),
        str(Owner(NODE, "other", "engine-1", "b-1")),
        str(Owner(NODE, INSTANCE, "engine-1", "a-1")),
        "no owner at all",
    ]
    mail = [Notice("mail", run_id(n), owner) for n, owner in enumerate([OWNER, *foreign])]
    scene.notice(*mail, mail[0])
    assert scene.engine.take() == [Wake([run_id(0).bytes])]


def test_mail_of_a_run_without_an_owner_is_a_due_run(scene: Scene) -> None:
    scene.notice(Notice("mail", run_id(1), None))
    assert scene.dispatcher.take(Look) == [Look(runs=True, tasks=False)]


def test_a_notice_of_a_newer_schema_is_ignored(scene: Scene) -> None:
    scene.notice(Notice("tide", run_id(1), OWNER))
    assert scene.dispatcher.take() == scene.engine.take() == []


@pytest.mark.rule("B6")
def test_mail_whose_notice_was_lost_is_found_within_the_scan_interval(scene: Scene) -> None:
    owner = scene.stage.owner()
    (run,) = scene.stage.insert()
    scene.stage.claim(owner)
    scene.stage.store.catalog.signal(run, "s", payload.encode(1), None)
    scene.stage.advance(10)
    assert scene.engine.take(Wake) == [Wake([run.bytes])]


@pytest.mark.rule("B6")
def test_a_new_connection_looks_for_what_the_old_one_may_have_missed(scene: Scene) -> None:
    owner = scene.stage.owner()
    (run,) = scene.stage.insert()
    scene.stage.claim(owner)
    scene.stage.advance(1)
    scene.stage.store.catalog.signal(run, "s", payload.encode(1), None)
    scene.router.reconnected()
    scene.stage.settle()
    assert scene.engine.take(Wake) == [Wake([run.bytes])]
    assert scene.dispatcher.take(Look) == [Look(runs=True, owners=True)]


def test_all_runs_that_ended_in_a_tick_are_one_announcement(scene: Scene) -> None:
    for n in range(5):
        scene.engine.post.hint("router", RunsEnded([run_id(n).bytes, run_id(n + 1).bytes]))
    scene.stage.settle()
    assert scene.ended == [6]


def test_endings_wait_through_an_outage_and_a_drain(scene: Scene) -> None:
    scene.stage.break_database()
    scene.engine.post.hint("router", RunsEnded([run_id(1).bytes]))
    scene.stage.settle()
    scene.router.drain()
    scene.stage.advance(60)
    assert not scene.router.drained
    scene.stage.mend_database()
    scene.stage.advance(6)
    assert scene.router.drained
    assert scene.ended == [1]


def test_a_new_owner_anywhere_makes_the_dispatcher_look_for_owners_only(scene: Scene) -> None:
    scene.notice(Notice("owner"))
    assert scene.dispatcher.take(Look) == [Look(runs=False, tasks=False, owners=True)]


def test_who_is_asked_for_on_this_node_hears_it_and_nobody_else(scene: Scene) -> None:
    worker = scene.stage.extra("worker-1")
    foreign = str(Owner("other", INSTANCE, "engine-1", "b-1"))
    scene.notice(Notice("ask", owner=foreign))
    assert (scene.engine.take(Ask), scene.dispatcher.take(Ask), worker.take(Ask)) == ([], [], [])
    scene.notice(Notice("ask", owner=OWNER))
    assert (scene.engine.take(Ask), worker.take(Ask)) == ([Ask(OWNER)], [])
    claimer = str(Owner(NODE, INSTANCE, "dispatcher", "b-1"))
    scene.notice(Notice("ask", owner=claimer))
    assert (scene.dispatcher.take(Ask), worker.take(Ask)) == ([Ask(claimer)], [Ask(claimer)])
