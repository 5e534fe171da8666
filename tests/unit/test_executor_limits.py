"""How many activities run at once, and how those end that take too long or are stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from threading import Event, get_ident
from typing import Any

import pytest

from continuum.core.failure import decode_failure
from tests.unit.executor_bench import LIMIT_S, SLOTS, Bench, Order, bench, double, double_async

__all__ = ["bench"]  # a fixture


class Gate:
    """Holds activities until it is opened, and counts those inside."""

    def __init__(self) -> None:
        self.opened = Event()
        self.inside = 0
        self.passed = 0
        self.cancelled = 0

    def enter(self) -> str:
        self.inside += 1
        self.opened.wait(LIMIT_S)
        self.inside -= 1
        self.passed += 1
        return "late"

    async def enter_async(self) -> str:
        self.inside += 1
        try:
            while not self.opened.is_set():
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
        self.passed += 1
        return "late"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def entrance(gate: Gate, kind: str) -> Callable[..., Any]:
    def enter() -> str:
        return gate.enter()

    async def enter_async() -> str:
        return await gate.enter_async()

    return enter if kind == "def" else enter_async


@pytest.mark.rule("A12")
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_no_more_than_the_slots_run_at_once_and_the_others_wait(bench: Bench, gate: Gate, kind: str) -> None:
    keys = [bench.start(entrance(gate, kind)) for _ in range(3 * SLOTS)]
    bench.until(lambda: gate.inside == SLOTS and bench.executor.queued == 2 * SLOTS)
    enough = time.monotonic() + 0.05  # a pool that had no bound would have grown by many threads
    bench.until(lambda: gate.inside > SLOTS or time.monotonic() > enough)
    assert gate.inside == bench.executor.running == SLOTS
    gate.opened.set()
    bench.until(lambda: len(bench.results) == len(keys))
    assert bench.executor.running == bench.executor.queued == 0


def test_a_short_task_does_not_wait_behind_a_long_one(bench: Bench, gate: Gate) -> None:
    bench.start(entrance(gate, "def"))
    bench.until(lambda: gate.inside == 1)
    assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}
    assert gate.inside == 1


threads: set[int] = set()


def note_thread() -> None:
    threads.add(get_ident())


def test_short_tasks_are_all_run_and_by_few_threads(bench: Bench) -> None:
    threads.clear()
    keys = [bench.start(note_thread) for _ in range(2_000)]
    bench.until(lambda: len(bench.results) == len(keys))
    assert len(threads) <= SLOTS


@pytest.mark.rule("A9")
def test_a_threaded_activity_that_takes_too_long_is_abandoned_and_its_late_result_dropped(
    bench: Bench, gate: Gate
) -> None:
    key = bench.start(entrance(gate, "def"), timeout_s=0.02)
    assert bench.failure(key).type == "TimeoutError"
    assert bench.results[key].timed_out
    assert bench.executor.abandoned == 1
    gate.opened.set()
    bench.until(lambda: gate.passed == 1 and bench.executor.abandoned == 0)
    assert bench.executor.finished() == []
    assert decode_failure(bench.results[key].payload).type == "TimeoutError"


@pytest.mark.rule("A9")
def test_an_async_activity_that_takes_too_long_is_cancelled(bench: Bench, gate: Gate) -> None:
    key = bench.start(entrance(gate, "async def"), timeout_s=0.02)
    assert bench.failure(key).type == "TimeoutError"
    assert bench.results[key].timed_out
    assert (gate.cancelled, gate.inside, bench.executor.abandoned) == (1, 0, 0)


@pytest.mark.rule("A9")
def test_a_worker_that_lost_too_many_threads_is_worn_out_and_works_on(bench: Bench, gate: Gate) -> None:
    for _ in range(SLOTS // 2 + 1):
        assert not bench.executor.worn_out
        bench.failure(bench.start(entrance(gate, "def"), timeout_s=0.02))
    assert bench.executor.worn_out
    assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}


def test_a_task_within_its_time_is_not_disturbed(bench: Bench) -> None:
    for fn in (double, double_async):
        assert bench.result(bench.start(fn, Order("o", 1), timeout_s=60.0)).ok


def test_the_time_out_counts_from_the_start_not_from_the_queue(bench: Bench, gate: Gate) -> None:
    for _ in range(SLOTS):
        bench.start(entrance(gate, "def"))
    bench.until(lambda: gate.inside == SLOTS)
    key = bench.start(double, Order("o", 1), timeout_s=0.2)
    begin = time.monotonic()
    bench.until(lambda: time.monotonic() > begin + 0.3)
    assert key not in bench.results
    gate.opened.set()
    assert bench.value(key) == {"id": "o", "cents": 2}


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_stopped_attempt_has_no_result_and_a_queued_one_never_starts(
    bench: Bench, gate: Gate, kind: str
) -> None:
    running = [bench.start(entrance(gate, kind)) for _ in range(SLOTS)]
    bench.until(lambda: gate.inside == SLOTS)
    queued = bench.start(entrance(gate, kind))
    bench.executor.stop(queued)
    bench.executor.stop(running[0])
    if kind == "async def":
        bench.until(lambda: gate.cancelled == 1)
    else:
        assert bench.executor.abandoned == 1
        assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}, (
            "another took its place"
        )
    bench.results.clear()
    gate.opened.set()
    bench.until(lambda: len(bench.results) == SLOTS - 1 and bench.executor.abandoned == 0)
    assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}
    assert queued not in bench.results
    assert running[0] not in bench.results
    assert gate.passed <= SLOTS
    bench.executor.stop(queued)
