"""How a node deals with runs that its engines die of: blame, a trial alone, and the neighbours left in peace (B4)."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.core.definitions import activity, registry, workflow
from continuum.core.effects import wait_signal
from continuum.core.loop import WorkflowLoop, running_in
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.ports.dispatch import Death
from continuum.ports.mailbox import Notice
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.runtime.quarantine import LONE_ENGINE, OPENED_S
from continuum.wire.messages import Assign, EngineReady, WorkerReady
from tests.unit.dispatcher_scene import assigned
from tests.unit.engine_house import Desks
from tests.unit.stage import Extra, Stage, run_id

DEATHS_MAX = 3
RUN = UUID(int=77)


class Scene:
    """A dispatcher; ``asked`` counts how often it wanted the lone engine started."""

    def __init__(self, *, alone: bool = True) -> None:
        self.stage = Stage()
        self.asked = 0
        ports = self.stage.ports("dispatcher")
        self.dispatcher = Dispatcher(
            ports,
            self.stage.store.dispatch,
            self.stage.store.mailbox,
            ["default"],
            open_lone_engine=self._open if alone else None,
            engine_deaths_max=DEATHS_MAX,
        )
        self.stage.play("dispatcher", self.dispatcher)

    def engine(self, name: str, incarnation: str, free: int = 10) -> Extra:
        owner = self.stage.owner(name, incarnation)
        self.stage.store.dispatch.register(owner, "n", "", 1e6, [("w", "")])
        engine = self.stage.extra(name, incarnation)
        engine.post.hint("dispatcher", EngineReady(owner, free))
        self.stage.settle()
        return engine

    def dies_of(self, name: str, incarnation: str, run: UUID) -> None:
        self.dispatcher.died_of(name, incarnation, run)
        self.stage.kill(name)
        self.stage.settle()

    def attention(self, run: UUID) -> str:
        row = self.stage.store.catalog.get(run)
        assert row is not None
        return row.attention or ""

    def _open(self) -> None:
        self.asked += 1


@pytest.fixture
def scene() -> Scene:
    return Scene()


def begun(scene: Scene, runs: int = 3) -> list[UUID]:
    """So many runs, all in the first engine."""
    scene.stage.insert(runs)
    first = scene.engine("engine-1", "b-1")
    scene.stage.advance(5)
    assert sorted(assigned(first)) == sorted(run_id(n) for n in range(runs))
    return [run_id(n) for n in range(runs)]


@pytest.mark.rule("B4")
def test_the_neighbours_go_to_the_next_engine_at_once_and_the_culprit_to_the_lone_one(scene: Scene) -> None:
    culprit, *neighbours = begun(scene)
    scene.dies_of("engine-1", "b-1", culprit)
    second = scene.engine("engine-1", "b-2")
    assert sorted(assigned(second)) == sorted(neighbours)
    assert scene.asked == 1
    lone = scene.engine(LONE_ENGINE, "b-3", free=1)
    assert assigned(lone) == [culprit]
    scene.stage.advance(30)
    assert assigned(second) == []


@pytest.mark.rule("B4")
def test_a_lone_engine_gets_one_run_whatever_it_said_before_it_had_it(scene: Scene) -> None:
    one, other, *_ = begun(scene)
    scene.dies_of("engine-1", "b-1", one)
    scene.engine("engine-1", "b-2")
    scene.dies_of("engine-1", "b-2", other)
    lone = scene.engine(LONE_ENGINE, "b-3", free=1)
    assert len(assigned(lone)) == 1
    lone.post.hint("dispatcher", EngineReady(scene.stage.owner(LONE_ENGINE, "b-3"), 1))
    scene.stage.advance(100)
    assert assigned(lone) == []


@pytest.mark.rule("B4")
def test_each_death_alone_takes_longer_to_the_next_trial_until_there_is_none(scene: Scene) -> None:
    culprit, *_ = begun(scene)
    scene.dies_of("engine-1", "b-1", culprit)
    second = scene.engine("engine-1", "b-2")
    assigned(second)
    for number, pause_s in ((3, 0), (4, 1)):
        began = scene.stage.clock.now
        asked = scene.asked
        while scene.asked == asked:
            scene.stage.advance(0.25)
            assert scene.stage.clock.now < began + OPENED_S + 5, "it is tried again in the end"
        assert scene.stage.clock.now >= began + pause_s
        lone = scene.engine(LONE_ENGINE, f"b-{number}", free=1)
        assert assigned(lone) == [culprit]
        scene.dies_of(LONE_ENGINE, f"b-{number}", culprit)
    assert scene.attention(culprit).startswith("engine deaths: 3 of 3; ")
    asked = scene.asked
    scene.stage.advance(600)
    assert (scene.asked, assigned(second)) == (asked, [])


@pytest.mark.rule("B4")
def test_an_engine_that_dies_outside_of_any_run_blames_nobody(scene: Scene) -> None:
    runs = begun(scene)
    scene.stage.kill("engine-1")
    scene.stage.settle()
    assert sorted(assigned(scene.engine("engine-1", "b-2"))) == sorted(runs)
    assert {scene.attention(run) for run in runs} == {""}
    assert scene.asked == 0


@pytest.mark.rule("B4")
def test_blame_that_the_database_could_not_take_is_told_before_the_death(scene: Scene) -> None:
    culprit, *neighbours = begun(scene)
    scene.stage.break_database("blame")
    scene.dies_of("engine-1", "b-1", culprit)
    second = scene.engine("engine-1", "b-2")
    assert assigned(second) == [], "nobody is declared dead yet: the culprit would be claimed with the others"
    scene.stage.mend_database()
    scene.stage.advance(6)
    assert sorted(assigned(second)) == sorted(neighbours)


@pytest.mark.rule("B4")
def test_what_another_node_has_set_aside_is_tried_here_too(scene: Scene) -> None:
    elsewhere = scene.stage.owner("engine-1", "b-1", node="elsewhere")
    scene.stage.insert()
    scene.stage.claim(elsewhere)
    scene.engine("engine-1", "b-1")
    scene.stage.store.dispatch.blame([Death(run_id(0), elsewhere)], DEATHS_MAX)
    scene.stage.advance(6)
    assert scene.asked == 1
    assert assigned(scene.engine(LONE_ENGINE, "b-2", free=1)) == [run_id(0)]


def test_a_run_that_a_person_resumes_is_tried_at_once(scene: Scene) -> None:
    elsewhere = scene.stage.owner("engine-1", "b-1", node="elsewhere")
    scene.stage.insert()
    scene.stage.claim(elsewhere)
    scene.engine("engine-1", "b-1")
    scene.stage.store.dispatch.blame([Death(run_id(0), elsewhere)], 1)
    scene.stage.advance(60)
    assert scene.asked == 0
    assert scene.stage.store.catalog.resume(run_id(0))[0] == "resumed"
    scene.dispatcher.notice([Notice("alone")])
    scene.stage.settle()
    assert scene.asked == 1
    assert assigned(scene.engine(LONE_ENGINE, "b-2", free=1)) == [run_id(0)]


def test_a_node_without_a_lone_engine_leaves_it_to_others() -> None:
    scene = Scene(alone=False)
    culprit, *_ = begun(scene)
    scene.dies_of("engine-1", "b-1", culprit)
    scene.stage.advance(60)
    assert scene.attention(culprit).startswith("engine deaths: 1 of 3; ")


# -- the lone engine


@activity(name="quarantine.work")
def work() -> int:
    return 1


@workflow(name="quarantine.flow")
async def flow() -> str:
    await work()
    return str(await wait_signal("go"))


@pytest.mark.rule("B4", "L7")
def test_the_lone_engine_gives_its_run_back_with_the_step_that_it_survived_and_leaves() -> None:
    stage = Stage()
    owner = stage.owner(LONE_ENGINE)
    ports = stage.ports(LONE_ENGINE)
    desks = Desks(stage)
    engine = Engine(ports, desks, registry.workflow, EngineLimits(runs_max=1, alone=True))
    desks.engine = engine
    stage.play(LONE_ENGINE, engine)
    desks.pump()
    stage.extra("worker-1").post.hint(LONE_ENGINE, WorkerReady(("default",), 10, 0))
    stage.settle()
    seed = RunSeed(id=RUN, workflow=flow.name, args=payload.encode([[], {}]))
    stage.store.catalog.insert([seed])
    claimed = stage.store.dispatch.claim(owner, 1)
    stage.extra("dispatcher").send(LONE_ENGINE, Assign(owner, claimed))
    for _ in range(20):
        stage.advance(0.5)
        desks.pump()
        if engine.drained:
            break
    row = stage.store.catalog.get(RUN)
    assert row is not None
    assert (row.state, row.owner) == ("suspended", None)
    assert len(stage.store.catalog.events(RUN)) == 1, "its step is kept"
    queued = stage.store.dispatch.claim_tasks(stage.owner("dispatcher", node="other"), ["default"], 10)
    assert [task.activity for task in queued] == ["quarantine.work"], "its activity waits for any node"
    assert engine.drained


# -- who was running


@pytest.mark.rule("B4")
def test_the_record_names_the_run_exactly_while_its_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    record = bytearray(64)
    monkeypatch.setattr(WorkflowLoop, "record", record)
    seen: list[UUID | None] = []

    @workflow(name="quarantine.watched")
    async def watched() -> None:
        look()
        try:
            await wait_signal("go")
        finally:
            look()

    def look() -> None:
        seen.append(running_in(bytes(record)))

    identity = RunIdentity(RUN, watched.name, "default", 0, RUN)
    machine = Machine(identity, watched, payload.encode([[], {}]), Crew("b:0"))
    assert running_in(bytes(record)) is None
    machine.begin()
    assert running_in(bytes(record)) is None
    machine.drop()
    assert running_in(bytes(record)) is None
    assert seen == [RUN, RUN], "also while a run that is dropped closes its coroutines"
    assert running_in(b"") is None
