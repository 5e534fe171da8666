"""When timers fire, and what that costs the database."""

from __future__ import annotations

from collections import Counter

import pytest

from continuum.ports.journal import Lease, Release
from continuum.ports.mailbox import Notice
from continuum.runtime.timer import BATCH_MAX, Timer
from continuum.wire.messages import Look, Members, Route, TimersFired, TimersSet
from tests.unit.stage import Extra, Stage


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.engine = self.stage.extra("engine-1")
        self.dispatcher = self.stage.extra("dispatcher")
        self.owner = self.stage.owner()
        self.calls: Counter[str] = Counter()

    def put_on(self) -> Timer:
        timer = Timer(self.stage.ports("timer"), self.stage.store.mailbox)
        self.stage.play("timer", timer)
        self.count()
        return timer

    def count(self) -> None:
        self.calls.clear()
        self.stage.store.fault = lambda operation: self.calls.update([operation.removesuffix(":after")])

    def set(self, lease: Lease, delay_s: float, *, hint: bool = True) -> None:
        self.stage.set_timer(lease, delay_s)
        if hint:
            self.hint((lease.run_id.bytes, 1, delay_s))

    def hint(self, *timers: tuple[bytes, int, float]) -> None:
        self.engine.post.hint("timer", TimersSet(list(timers)))
        self.stage.settle()

    def runs(self, count: int, owner: str | None = None) -> list[Lease]:
        self.stage.insert(count)
        return self.stage.claim(owner or self.owner, count)


def fired(engine: Extra) -> list[bytes]:
    messages = engine.take(TimersFired)
    return [run for message in messages if isinstance(message, TimersFired) for run, _ in message.timers]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.rule("T1")
def test_a_timer_fires_at_its_time_and_not_before(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 7.0)
    scene.stage.advance(6.99)
    assert fired(scene.engine) == []
    scene.stage.advance(0.02)
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("L3")
def test_a_hint_that_is_early_is_checked_by_the_database_s_clock(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 7.0, hint=False)
    scene.hint((lease.run_id.bytes, 1, 1.0))
    scene.stage.advance(6.99)
    assert fired(scene.engine) == []
    scene.stage.advance(0.02)
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("T1")
def test_a_thousand_far_timers_cost_three_queries_a_minute(scene: Scene) -> None:
    for lease in scene.runs(1_000):
        scene.set(lease, 3_600.0, hint=False)
    scene.put_on()
    scene.stage.advance(60)
    assert sum(scene.calls.values()) // 2 <= 3, scene.calls


@pytest.mark.rule("T2")
def test_a_timer_whose_hint_was_lost_fires_at_its_time(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 25.0, hint=False)
    scene.stage.advance(25.01)
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("T2")
def test_a_timer_that_was_due_while_nobody_looked_fires_at_start(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.set(lease, 1.0, hint=False)
    scene.stage.advance(10)
    scene.put_on()
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("T2")
def test_a_firing_that_was_lost_comes_again_within_the_refresh_interval(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 1.0)
    scene.stage.advance(1.01)
    assert len(fired(scene.engine)) == 1
    scene.stage.advance(20)
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("T5")
def test_a_timer_that_is_gone_from_the_table_does_not_fire(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 5.0)
    scene.stage.store.catalog.cancel(lease.run_id, None)
    scene.stage.advance(60)
    assert fired(scene.engine) == []


@pytest.mark.rule("T4")
def test_twenty_thousand_at_once_go_out_in_batches_and_do_not_delay_a_new_one_by_a_second(
    scene: Scene,
) -> None:
    query_s = 0.02
    single, *crowd = scene.runs(21)
    for lease in crowd:
        scene.stage.set_timer(lease, 5.0, count=1_000)
    scene.put_on()
    batches: list[float] = []

    def slow(operation: str) -> None:
        if operation == "due_timers":
            scene.stage.clock.now += query_s
            batches.append(scene.stage.clock.now)

    scene.stage.store.fault = slow
    scene.set(single, 5.0 + query_s)
    scene.stage.advance(4.9)
    assert batches == []
    while scene.stage.clock.now < 1_006.0 + query_s:
        scene.stage.advance(query_s)
    runs = Counter(fired(scene.engine))
    assert (len(runs), runs.total(), runs[single.run_id.bytes]) == (21, 20_001, 1)
    assert 20_000 // BATCH_MAX <= len(batches) <= 20_000 // BATCH_MAX + 2


def test_a_due_timer_of_a_run_without_an_owner_makes_the_dispatcher_look(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.set(lease, 1.0, hint=False)
    scene.stage.store.dispatch.retire([scene.owner])
    scene.put_on()
    scene.stage.advance(2)
    assert scene.dispatcher.take(Look) == [Look(runs=True, tasks=False)]


def test_the_owner_on_another_node_is_told_through_the_database(scene: Scene) -> None:
    notices: list[Notice] = []
    scene.stage.store.subscribe(notices.append)
    owner = scene.stage.owner(node="elsewhere")
    (lease,) = scene.runs(1, owner)
    scene.put_on()
    scene.set(lease, 1.0)
    scene.stage.advance(2)
    assert Notice("mail", lease.run_id, owner) in notices
    assert fired(scene.engine) == []


@pytest.mark.rule("T2")
def test_timers_due_during_an_outage_fire_after_it(scene: Scene) -> None:
    leases = scene.runs(3)
    timer = scene.put_on()
    for lease in leases:
        scene.set(lease, 5.0)
    scene.stage.break_database()
    scene.stage.advance(300)
    scene.stage.mend_database()
    scene.stage.advance(5)
    assert set(fired(scene.engine)) == {lease.run_id.bytes for lease in leases}
    timer.drain()
    assert timer.drained


@pytest.mark.rule("T2")
def test_a_timer_that_a_dying_engine_could_not_tell_of_fires_at_its_time(scene: Scene) -> None:
    scene.put_on()
    (lease,) = scene.runs(1, scene.stage.owner("engine-2"))
    scene.stage.extra("engine-2")
    scene.set(lease, 2.0, hint=False)
    scene.stage.kill("engine-2")
    scene.stage.store.dispatch.retire([scene.stage.owner("engine-2")])
    scene.stage.store.dispatch.claim(scene.owner, 1)
    scene.stage.advance(2.1)
    assert fired(scene.engine) == [lease.run_id.bytes]


@pytest.mark.rule("M2", "T2")
def test_a_timer_of_a_node_that_is_reached_is_left_to_it_and_told_only_if_it_is_still_there(
    scene: Scene,
) -> None:
    notices: list[Notice] = []
    scene.stage.store.subscribe(notices.append)
    group = scene.stage.extra("group")
    (lease,) = scene.runs(1, scene.stage.owner(node="elsewhere"))
    scene.put_on()
    group.post.hint("timer", Members([("elsewhere", "b", 0)]))
    scene.set(lease, 3.0)
    scene.stage.advance(10)
    assert group.take(Route) == []
    scene.stage.advance(20)
    assert group.take(Route) == [Route([("elsewhere/default/engine-1/b-1", [lease.run_id.bytes])])]
    assert [notice for notice in notices if notice.kind == "mail"] == []


@pytest.mark.rule("B6", "T2")
def test_what_only_the_timer_of_an_owner_that_is_gone_knew_is_read_at_once(scene: Scene) -> None:
    (lease,) = scene.runs(1, scene.stage.owner(node="elsewhere"))
    scene.put_on()
    scene.set(lease, 3.0, hint=False)
    scene.stage.store.journal.release([Release(lease.run_id, lease.token, None)])
    scene.dispatcher.send("timer", Look())
    scene.stage.advance(2.99)
    assert scene.dispatcher.take(Look) == []
    scene.stage.advance(0.02)
    assert scene.dispatcher.take(Look) == [Look()]


@pytest.mark.rule("T1")
def test_a_crowd_of_owners_that_are_gone_costs_two_readings_a_second_at_most(scene: Scene) -> None:
    scene.put_on()
    for _ in range(100):
        scene.dispatcher.send("timer", Look())
        scene.stage.advance(0.01)
    assert scene.calls["timers_within"] <= 3


@pytest.mark.rule("B6")
def test_a_node_that_ends_leaves_its_due_timers_to_the_dispatchers_of_others(scene: Scene) -> None:
    (lease,) = scene.runs(1)
    scene.put_on()
    scene.set(lease, 3.0)
    scene.stage.store.journal.release([Release(lease.run_id, lease.token, None)])
    scene.stage.kill("dispatcher")
    heard: list[Notice] = []
    scene.stage.store.subscribe(heard.append)
    scene.stage.advance(3.01)
    assert Notice("due") in heard
