"""Versions side by side: which code a new run gets, which an old one goes on with, and what happens without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import Registry, Workflow, workflow
from continuum.core.effects import patched, sleep, wait_signal
from continuum.errors import ConfigurationError, JournalError, UnknownWorkflowError
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.ports.catalog import RunRow
from continuum.ports.mailbox import Notice
from continuum.ports.offload import Completion, Desk, Lane
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.engine import Engine
from continuum.runtime.limits import EngineLimits
from continuum.runtime.router import Router
from tests.unit.stage import Stage

FLOW = "versions.flow"
RUN = UUID(int=42)
Code = Callable[[], Awaitable[object]]


async def old() -> object:
    await wait_signal("go")
    return "old"


async def new() -> object:
    await wait_signal("go")
    return "new"


async def other() -> object:
    await sleep(1)
    return "other"


async def grown() -> object:
    if patched("greeting"):
        await sleep(1)
    await wait_signal("go")
    return "late" if patched("late") else "early"


def definition(code: Code, *, older: bool = False, adopt: bool = False) -> Workflow[..., Any]:
    return Workflow(code, FLOW, older=older, versioning="adopt" if adopt else "pinned")


def registry_of(*definitions: Workflow[..., Any]) -> Registry:
    found = Registry()
    for each in definitions:
        found.add_workflow(each)
    return found


OLD = definition(old).version_hash
NEW = definition(new).version_hash


class Lanes:
    """The journal of one engine: asked work is done when the test lets the stage settle."""

    def __init__(self, stage: Stage) -> None:
        self._desk = Desk(stage.store.journal, stage.store.dispatch)
        self._asked: list[tuple[int, Callable[[Desk], object]]] = []

    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        self._asked.append((ticket, work))

    def pump(self, engine: Engine) -> bool:
        asked, self._asked = self._asked, []
        for ticket, work in asked:
            try:
                engine.complete(Completion(ticket, work(self._desk)))
            except JournalError as error:
                engine.complete(Completion(ticket, error=error))
        return bool(asked)


class Cluster:
    """Dispatcher, router, and engines of which each has its own code."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.engines: dict[str, tuple[Engine, Lanes]] = {}
        store = self.stage.store
        ports = self.stage.ports("dispatcher")
        self.dispatcher = Dispatcher(ports, store.dispatch, store.mailbox, ["default"])
        self.stage.play("dispatcher", self.dispatcher)
        self.stage.extra("timer")
        self.router = Router(self.stage.ports("router"), store.mailbox)
        self.stage.play("router", self.router)
        self._notices: list[Notice] = []
        store.subscribe(self._notices.append)

    def engine(self, name: str, code: Registry, runs_max: int = 100) -> Engine:
        lanes = Lanes(self.stage)
        engine = Engine(
            self.stage.ports(name), lanes, code.workflow, EngineLimits(runs_max), loaded=code.versions()
        )
        self.engines[name] = engine, lanes
        self.stage.play(name, engine)
        self.settle()
        self.advance(3)  # by then it has said how much it takes
        return engine

    def kill(self, name: str) -> None:
        del self.engines[name]
        self.stage.kill(name)
        self.settle()

    def settle(self) -> None:
        moved = True
        while moved:
            self.stage.settle()
            notices, self._notices[:] = list(self._notices), []
            self.dispatcher.notice(notices)
            self.router.notice(notices)
            self.dispatcher.notice(notices)
            moved = bool(notices)
            for engine, lanes in list(self.engines.values()):
                moved |= lanes.pump(engine)

    def advance(self, seconds: float, each: Callable[[float], None] = lambda now: None) -> None:
        """Let time pass second by second, and call ``each`` after every one of them with the time that has passed."""
        for second in range(1, round(seconds) + 1):
            self.stage.advance(1.0)
            self.settle()
            each(float(second))

    def start(self, version_hash: str | None, number: int = 42) -> UUID:
        args = payload.encode([[], {}])
        run_id = UUID(int=number)
        self.stage.store.catalog.insert(
            [RunSeed(id=run_id, workflow=FLOW, args=args, version_hash=version_hash)]
        )
        self.settle()
        return run_id

    def signal(self, run_id: UUID = RUN) -> None:
        self.stage.store.catalog.signal(run_id, "go", payload.encode(None), None)
        self.settle()

    def row(self, run_id: UUID = RUN) -> RunRow:
        row = self.stage.store.catalog.get(run_id)
        assert row is not None
        return row

    def result(self, run_id: UUID = RUN) -> object:
        row = self.row(run_id)
        assert row.state == "completed", (row.state, row.attention)
        return payload.decode(row.result or b"")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# -- names and versions in one process


@pytest.mark.rule("D3")
@pytest.mark.parametrize("older_first", [True, False])
def test_new_runs_get_the_version_that_is_not_marked_as_older(older_first: bool) -> None:
    both = [definition(old, older=True), definition(new)]
    known = registry_of(*(both if older_first else reversed(both)))
    assert known.workflow(FLOW).version_hash == NEW
    assert known.workflow(FLOW, OLD).fn is old
    assert known.workflow(FLOW, NEW).fn is new
    assert known.versions() == sorted([(FLOW, OLD), (FLOW, NEW)])


@pytest.mark.rule("D3")
def test_of_older_versions_alone_the_one_defined_last_starts_new_runs() -> None:
    known = registry_of(definition(old, older=True), definition(new, older=True))
    assert known.workflow(FLOW).fn is new
    assert known.workflow(FLOW, OLD).fn is old


@pytest.mark.rule("D3")
def test_the_decorator_marks_a_function_with_logical_as_older_unless_it_bears_that_name_itself() -> None:
    @workflow(logical="versions.decorated")
    async def before() -> None: ...

    @workflow(name="versions.decorated", logical="versions.decorated")
    async def today() -> int:
        return 1

    assert (before.name, before.older) == ("versions.decorated", True)
    assert (today.name, today.older) == ("versions.decorated", False)
    assert (before.versioning, today.versioning) == ("pinned", "pinned")


@pytest.mark.rule("D3")
def test_a_version_that_is_not_loaded_is_not_replaced_by_another() -> None:
    known = registry_of(definition(new))
    with pytest.raises(UnknownWorkflowError, match=f"not in version {OLD[:12]}"):
        known.workflow(FLOW, OLD)


def test_two_functions_of_one_name_are_a_mistake_when_neither_is_older() -> None:
    with pytest.raises(ConfigurationError, match="two workflow functions"):
        registry_of(definition(old), definition(new))


def test_a_module_that_is_loaded_again_replaces_its_older_version_too() -> None:
    known = registry_of(definition(old, older=True), definition(new), definition(old, older=True))
    assert len(known.versions()) == 2


def test_versioning_is_pinned_or_adopt() -> None:
    with pytest.raises(ValueError, match=r'"pinned" or "adopt"'):
        workflow(versioning="latest")  # type: ignore[call-overload]


# -- runs and their code


@pytest.mark.rule("D3")
def test_each_run_goes_on_with_the_version_that_it_is_pinned_to(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old, older=True), definition(new)))
    runs = [cluster.start(OLD, 1), cluster.start(NEW, 2)]
    for run_id in runs:
        cluster.signal(run_id)
    assert [cluster.result(run_id) for run_id in runs] == ["old", "new"]


@pytest.mark.rule("D3")
def test_a_run_started_by_name_is_pinned_with_its_first_commit(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(new)))
    cluster.start(None)
    assert cluster.row().version_hash == NEW
    cluster.kill("engine-1")
    cluster.engine("engine-2", registry_of(definition(other), definition(new, older=True)))
    cluster.signal()
    assert cluster.result() == "new", "a newer version does not take it over"


@pytest.mark.rule("D4")
def test_without_its_code_a_run_is_suspended_and_claimed_once_per_pause_of_5_to_60_s(
    cluster: Cluster,
) -> None:
    engine = cluster.engine("engine-1", registry_of(definition(new)))
    cluster.start(OLD)
    claims = [0.0]

    def look(now: float) -> None:
        row = cluster.row()
        assert (row.state, row.owner, row.version_hash) == ("suspended", None, OLD)
        assert row.attention is not None and OLD[:12] in row.attention
        claims.extend([now] * (engine.code.lacked - len(claims)))
        cluster.signal()  # whatever wakes it, and however often

    cluster.advance(400, look)
    gaps = [later - earlier for earlier, later in pairwise(claims)]
    assert len(gaps) >= 7, gaps
    for gap, pause_s in zip(gaps, [5, 10, 20, 40, 60, 60, 60, 60], strict=False):
        assert pause_s <= gap <= pause_s + 7, gaps
    assert cluster.stage.store.catalog.events(RUN) == []


@pytest.mark.rule("D4")
def test_a_node_that_has_the_code_takes_the_run_at_once(cluster: Cluster) -> None:
    lacking = cluster.engine("engine-1", registry_of(definition(new)))
    cluster.start(OLD)
    cluster.advance(100)
    assert cluster.row().state == "suspended"
    cluster.engine("engine-2", registry_of(definition(old)))
    assert "engine-2" in str(cluster.row().owner)
    assert cluster.row().attention is None
    claims = lacking.code.lacked
    cluster.signal()
    assert cluster.result() == "old"
    assert lacking.code.lacked == claims


@pytest.mark.rule("D4")
def test_a_run_that_comes_to_the_wrong_node_first_goes_on_in_the_right_one_at_once(cluster: Cluster) -> None:
    cluster.engine("engine-2", registry_of(definition(old)), runs_max=10)
    lacking = cluster.engine("engine-1", registry_of(definition(new)), runs_max=1000)
    before = cluster.stage.clock.now
    cluster.start(OLD)
    assert cluster.stage.clock.now == before
    assert lacking.code.lacked == 1, "it was there"
    cluster.signal()
    assert cluster.result() == "old"


@pytest.mark.rule("D4")
def test_a_workflow_that_nobody_knows_yet_waits_for_the_first_node_that_does(cluster: Cluster) -> None:
    cluster.engine("engine-1", Registry())
    cluster.start(None)
    cluster.advance(30)
    assert cluster.row().state == "suspended"
    cluster.engine("engine-2", registry_of(definition(new)))
    cluster.signal()
    assert (cluster.result(), cluster.row().version_hash) == ("new", NEW)


# -- adoption


@pytest.mark.rule("D5")
def test_a_history_that_replays_with_the_new_code_is_adopted_and_goes_on(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old)))
    cluster.start(OLD)
    history = cluster.stage.store.catalog.events(RUN)
    cluster.kill("engine-1")
    cluster.engine("engine-2", registry_of(definition(new, adopt=True)))
    cluster.advance(1)
    assert (cluster.row().version_hash, cluster.row().owner is not None) == (NEW, True)
    assert cluster.stage.store.catalog.events(RUN) == history, "the stamp adds nothing to the journal"
    cluster.signal()
    assert cluster.result() == "new"


@pytest.mark.rule("D5", "D7")
def test_a_patched_workflow_adopts_the_runs_of_before(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old)))
    cluster.start(OLD)
    cluster.kill("engine-1")
    changed = definition(grown, adopt=True)
    cluster.engine("engine-2", registry_of(changed))
    cluster.advance(1)
    cluster.signal()
    assert cluster.result() == "late", "past the first change, before the second"
    assert cluster.row().version_hash == changed.version_hash


@pytest.mark.rule("D5")
def test_a_history_that_does_not_replay_stays_suspended_and_shows_the_drift(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old)))
    cluster.start(OLD)
    history = cluster.stage.store.catalog.events(RUN)
    cluster.kill("engine-1")
    adopting = cluster.engine("engine-2", registry_of(definition(other, adopt=True)))
    cluster.advance(1)
    row = cluster.row()
    assert (row.state, row.owner, row.version_hash) == ("suspended", None, OLD)
    assert row.attention is not None
    assert "wait for signal go #1" in row.attention and "timer #1" in row.attention
    assert cluster.stage.store.catalog.events(RUN) == history, "a drift writes nothing"
    tries = adopting.code.lacked
    cluster.advance(1)
    assert adopting.code.lacked == tries, "and is not tried again at once"
    cluster.engine("engine-3", registry_of(definition(old)))
    cluster.signal()
    assert cluster.result() == "old", "its own version goes on with it"


@pytest.mark.rule("D5")
def test_a_pinned_workflow_adopts_nothing_however_well_it_would_fit(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old)))
    cluster.start(OLD)
    cluster.kill("engine-1")
    cluster.engine("engine-2", registry_of(definition(new)))
    cluster.signal()
    cluster.advance(20)
    assert (cluster.row().state, cluster.row().version_hash) == ("suspended", OLD)


@pytest.mark.rule("D5", "R6")
def test_a_crash_before_the_stamp_is_committed_adopts_the_run_once_more(cluster: Cluster) -> None:
    cluster.engine("engine-1", registry_of(definition(old)))
    cluster.start(OLD)
    cluster.kill("engine-1")
    cluster.stage.break_database("commit")
    cluster.engine("engine-2", registry_of(definition(new, adopt=True)))
    cluster.advance(1)
    cluster.kill("engine-2")
    assert cluster.row().version_hash == OLD
    cluster.stage.mend_database()
    cluster.engine("engine-3", registry_of(definition(new, adopt=True)))
    cluster.advance(1)
    cluster.signal()
    assert (cluster.result(), cluster.row().version_hash) == ("new", NEW)
