"""Leader and followers, with real threads, a real executor, and a loop reduced to what they need."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread, get_ident
from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import Activity
from continuum.core.options import ActivityOptions
from continuum.model import payload
from continuum.runtime import executor as executor_module
from continuum.runtime import leading as leading_module
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.leading import Leading
from continuum.runtime.shell import SystemClock
from continuum.wire.messages import Execute, Finished, Key

RUN = UUID(int=6).bytes
LIMIT_S = 20.0


class Loop:
    """A shell whose inputs are functions; an integer ends it. ``results`` come with the thread that found them."""

    def __init__(self, slots: int) -> None:
        self.inputs: SimpleQueue[Callable[[], object] | int] = SimpleQueue()
        self.activities: dict[str, Activity[..., Any]] = {}
        self.leading = Leading()
        self.executor = ThreadAndLoopExecutor(
            self.activities.__getitem__, slots, self.wake, SystemClock(), self.leading.ready
        )
        self.wakes = 0
        self.results: dict[Key, tuple[Finished, int]] = {}
        self._seq = 0
        self._end: SimpleQueue[int | BaseException] = SimpleQueue()
        Thread(target=self._main, daemon=True).start()

    def _main(self) -> None:
        try:
            self._end.put(self.leading.run(self, self.executor))
        except BaseException as error:  # noqa: BLE001
            self._end.put(error)

    def begin(self) -> None:
        pass

    def listen(self) -> int | None:
        try:
            given = self.inputs.get(timeout=min(max(self.executor.wake_at() - time.monotonic(), 0), LIMIT_S))
        except Empty:
            given = int
        if isinstance(given, int):
            return given
        given()
        return None

    def tick(self) -> None:
        self.executor.tick()
        for result in self.executor.finished():
            self.results[result.key] = (result, get_ident())

    def wake(self) -> None:
        self.wakes += 1
        self.inputs.put(int)

    def do(self, *functions: Callable[[], Any]) -> tuple[Any, int]:
        """Call functions in one turn; return what the last returned, and the thread that leads."""
        answer: SimpleQueue[tuple[Any, int]] = SimpleQueue()
        self.inputs.put(lambda: answer.put(([function() for function in functions][-1], get_ident())))
        return answer.get(timeout=LIMIT_S)

    def end(self, code: int = 0) -> int | BaseException:
        self.inputs.put(code)
        return self.ended()

    def ended(self) -> int | BaseException:
        return self._end.get(timeout=LIMIT_S)

    def task(self, fn: Callable[[], object], timeout_s: float | None = None) -> Execute:
        name = f"{fn.__qualname__}.{id(getattr(fn, '__self__', None))}"
        self.activities[name] = Activity(fn, name, ActivityOptions())
        self._seq += 1
        return Execute(RUN, self._seq, 1, name, payload.encode([[], {}]), timeout_s)

    def start(self, fn: Callable[[], object], timeout_s: float | None = None) -> Key:
        task = self.task(fn, timeout_s)
        self.do(lambda: self.executor.start(task))
        return task.key

    def result(self, key: Key) -> Any:
        until(lambda: key in self.results)
        result, _ = self.results[key]
        assert result.ok == (not result.timed_out)
        return None if result.timed_out else payload.decode(result.payload)

    def run(self, fn: Callable[[], object]) -> Any:
        return self.result(self.start(fn))


def where() -> int:
    return get_ident()


class Gate:
    """An activity that is brief while the gate is open."""

    def __init__(self) -> None:
        self.opened = Event()
        self.opened.set()
        self.inside = Event()

    def enter(self) -> int:
        self.inside.set()
        assert self.opened.wait(LIMIT_S)
        return get_ident()

    def close(self) -> None:
        self.opened.clear()
        self.inside.clear()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _every_attempt_is_brief_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "BRIEF_S", math.inf)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, no follower takes the lead."""
    monkeypatch.setattr(leading_module, "WATCH_S", LIMIT_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(slots=4)
    yield loop
    loop.inputs.put(0)
    loop.executor.close()


def hold(loop: Loop, gate: Gate, timeout_s: float | None = None) -> tuple[Key, int]:
    """Let the leader run an attempt that does not end; return it, and the leader."""
    loop.run(gate.enter)
    gate.close()
    _, leader = loop.do(lambda: None)
    key = loop.start(gate.enter, timeout_s)
    assert gate.inside.wait(LIMIT_S)
    return key, leader


@pytest.mark.usefixtures("patient")
def test_the_leader_runs_a_lone_attempt_and_wakes_nobody(loop: Loop) -> None:
    loop.run(where)
    wakes = loop.wakes
    key = loop.start(where)
    _, leader = loop.do(lambda: None)
    assert loop.result(key) == leader
    assert loop.results[key][1] == leader
    assert loop.wakes == wakes


@pytest.mark.usefixtures("patient")
def test_what_was_never_seen_runs_in_another_thread(loop: Loop) -> None:
    assert loop.run(where) != loop.do(lambda: None)[1]


@pytest.mark.usefixtures("patient")
def test_what_took_long_the_last_time_runs_in_another_thread(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "BRIEF_S", 0.0)
    loop.run(where)
    assert loop.run(where) != loop.do(lambda: None)[1]


@pytest.mark.usefixtures("patient")
def test_two_attempts_at_once_run_in_other_threads(loop: Loop) -> None:
    loop.run(where)
    tasks = [loop.task(where) for _ in range(2)]
    _, leader = loop.do(*[lambda task=task: loop.executor.start(task) for task in tasks])
    assert leader not in {loop.result(task.key) for task in tasks}


@pytest.mark.usefixtures("patient")
def test_an_attempt_that_is_stopped_in_the_same_turn_never_starts(loop: Loop, gate: Gate) -> None:
    loop.run(gate.enter)
    gate.close()
    task = loop.task(gate.enter)
    loop.do(lambda: loop.executor.start(task), lambda: loop.executor.stop(task.key))
    loop.run(where)
    assert not gate.inside.is_set()
    assert loop.executor.abandoned == 0


def test_while_a_lone_attempt_takes_long_another_thread_leads(loop: Loop, gate: Gate) -> None:
    key, leader = hold(loop, gate)
    _, follower = loop.do(lambda: None)
    assert follower != leader
    assert loop.run(where) not in {leader, follower}
    assert not gate.opened.is_set()
    gate.opened.set()
    assert loop.result(key) == leader
    assert loop.results[key][1] == follower


def test_the_former_leader_follows_and_can_lead_again(loop: Loop, gate: Gate) -> None:
    key, _ = hold(loop, gate)
    _, follower = loop.do(lambda: None)
    gate.opened.set()
    loop.result(key)
    gate.close()
    key = loop.start(gate.enter)
    assert gate.inside.wait(LIMIT_S)
    assert loop.do(lambda: None)[1] != follower
    gate.opened.set()
    assert loop.result(key) == follower


@pytest.mark.rule("A9")
def test_lone_attempts_that_take_too_long_are_abandoned_and_others_lead(loop: Loop) -> None:
    gates = [Gate() for _ in range(3)]
    for gate in gates:
        assert not loop.executor.worn_out
        key, _ = hold(loop, gate, timeout_s=0.02)
        loop.result(key)
        assert loop.results[key][0].timed_out
    assert loop.executor.abandoned == 3
    assert loop.executor.worn_out
    for gate in gates:
        gate.opened.set()
    until(lambda: loop.executor.abandoned == 0)
    assert isinstance(loop.run(where), int)


@pytest.mark.rule("A9")
def test_a_lone_attempt_that_nobody_wants_any_more_is_lost_with_its_thread(loop: Loop, gate: Gate) -> None:
    key, _ = hold(loop, gate)
    loop.do(lambda: loop.executor.stop(key))
    assert loop.executor.abandoned == 1
    gate.opened.set()
    until(lambda: loop.executor.abandoned == 0)
    loop.run(where)
    assert key not in loop.results


@pytest.mark.rule("A12")
def test_a_lone_attempt_takes_a_slot_and_its_thread_runs_what_waited_for_it(gate: Gate) -> None:
    loop = Loop(slots=2)
    first, leader = hold(loop, gate)
    other = Gate()
    other.close()
    second = loop.start(other.enter)
    assert other.inside.wait(LIMIT_S)
    third = loop.start(where)
    assert loop.do(lambda: loop.executor.queued)[0] == 1
    gate.opened.set()
    assert loop.result(third) == leader == loop.result(first)
    other.opened.set()
    loop.result(second)
    assert loop.end() == 0


@pytest.mark.usefixtures("patient")
def test_threads_that_have_nothing_to_do_leave_a_slot_to_the_leader() -> None:
    loop = Loop(slots=2)
    gates = [Gate(), Gate()]
    for gate in gates:
        gate.close()
    keys = [loop.start(gate.enter) for gate in gates]
    for gate in gates:
        assert gate.inside.wait(LIMIT_S)
    for gate in gates:
        gate.opened.set()
    others = {loop.result(key) for key in keys}
    assert len(others) == 2
    _, leader = loop.do(lambda: None)
    until(lambda: loop.run(where) == leader)
    assert loop.end() == 0


def test_without_a_follower_an_attempt_runs_in_another_thread(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("can't start new thread")

    loop.run(where)
    monkeypatch.setattr(loop.leading, "_start", refuse)
    assert loop.run(where) != loop.do(lambda: None)[1]


def test_what_the_loop_raises_ends_it(loop: Loop) -> None:
    loop.inputs.put(lambda: 1 // 0)
    assert isinstance(loop.ended(), ZeroDivisionError)


def test_what_a_follower_raises_when_it_leads_ends_it_too(loop: Loop, gate: Gate) -> None:
    hold(loop, gate)
    loop.inputs.put(lambda: 1 // 0)
    assert isinstance(loop.ended(), ZeroDivisionError)


def test_the_loop_can_end_while_a_lone_attempt_runs(loop: Loop, gate: Gate) -> None:
    hold(loop, gate)
    assert loop.end(3) == 3
    assert not gate.opened.is_set()
