"""An ``async def`` that blocks its event loop: it ends in its time, and its neighbours go on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import pytest

from continuum.core.failure import decode_failure
from continuum.runtime import loops as loops_module
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.loops import BLOCKED_S
from tests.unit.executor_bench import LIMIT_S, SLOTS, Bench, Order, RealClock, bench, double_async
from tests.unit.test_executor_limits import Gate, gate

__all__ = ["bench", "gate"]  # fixtures


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops count as blocked early."""
    monkeypatch.setattr(loops_module, "BLOCKED_S", 0.3)


def blocker(gate: Gate) -> Callable[..., Any]:
    async def block() -> str:
        return gate.enter()

    return block


@pytest.mark.rule("A9")
def test_an_async_activity_that_blocks_its_loop_ends_in_its_time(bench: Bench, gate: Gate) -> None:
    key = bench.start(blocker(gate), timeout_s=0.2)
    assert bench.failure(key).type == "TimeoutError"
    assert bench.results[key].timed_out
    assert gate.inside == 1


@pytest.mark.rule("A11")
def test_one_that_blocks_its_loop_and_is_not_heard_of_ends_in_its_time(bench: Bench, gate: Gate) -> None:
    failure = bench.failure(bench.start(blocker(gate), heartbeat_timeout_s=0.2))
    assert "heartbeat_timeout" in failure.message


@pytest.mark.rule("A9")
def test_a_neighbour_of_one_that_blocks_ends_in_its_time(bench: Bench, gate: Gate) -> None:
    async def wait() -> None:
        await asyncio.sleep(3600)

    waiting = bench.start(wait, timeout_s=0.5)
    bench.start(blocker(gate))
    assert bench.failure(waiting).type == "TimeoutError"
    assert gate.inside == 1


def test_attempts_that_come_and_that_wait_go_to_another_loop(
    bench: Bench, gate: Gate, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "continuum"):
        bench.start(blocker(gate))
        bench.until(lambda: gate.inside == 1)
        keys = [bench.start(double_async, Order("o", n)) for n in range(3)]
        assert [bench.value(key) for key in keys] == [{"id": "o", "cents": 2 * n} for n in range(3)]
    assert gate.inside == 1
    (record,) = caplog.records
    assert "block" in record.getMessage() and "gate.enter()" in record.getMessage()
    (line,) = bench.executor.stuck
    assert "block of run" in line and "blocks its event loop" in line


def test_a_loop_that_turns_again_takes_its_place_back(bench: Bench, gate: Gate, quick: None) -> None:
    async def loop_of() -> str:
        return str(id(asyncio.get_running_loop()))

    home = bench.value(bench.start(loop_of))
    blocking = bench.start(blocker(gate))
    bench.until(lambda: bench.executor.abandoned == 1)
    assert bench.value(bench.start(loop_of)) != home
    gate.opened.set()
    assert bench.value(blocking) == "late"
    bench.until(lambda: bench.executor.abandoned == 0)
    assert bench.executor.stuck == []
    assert bench.value(bench.start(loop_of)) == home


def test_a_process_that_stood_still_does_not_take_its_loops_for_blocked(bench: Bench, gate: Gate) -> None:
    bench.start(blocker(gate))
    bench.until(lambda: gate.inside == 1)
    loops = bench.executor._loops
    loops.look(loops.look_at)  # leaves a question
    loops.look(loops.look_at + 3600.0)  # as after a suspended machine has woken up
    assert bench.executor.stuck == []
    loops.look(loops.look_at + BLOCKED_S / 20)
    assert bench.executor.stuck == []


@pytest.mark.rule("A9")
def test_a_worker_whose_loops_are_blocked_too_often_is_worn_out(
    bench: Bench, gate: Gate, quick: None
) -> None:
    for number in range(1, SLOTS // 2 + 2):
        assert not bench.executor.worn_out
        bench.start(blocker(gate), timeout_s=0.1)
        bench.until(lambda number=number: bench.executor.abandoned == number)  # type: ignore[misc]
    assert bench.executor.worn_out
    assert bench.value(bench.start(double_async, Order("o", 1))) == {"id": "o", "cents": 2}


@pytest.mark.rule("A4")
def test_an_exit_in_a_task_that_an_activity_left_behind_does_not_end_the_loop(bench: Bench) -> None:
    async def leave() -> None:
        raise SystemExit(1)

    tasks = []

    async def leave_behind() -> None:
        tasks.append(asyncio.ensure_future(leave()))

    bench.result(bench.start(leave_behind))
    bench.until(tasks[0].done)
    assert bench.value(bench.start(double_async, Order("o", 1))) == {"id": "o", "cents": 2}


class MainThread:
    """An executor whose event loop is run by the test's own thread, which is the main one; ``rest`` by another."""

    def __init__(self) -> None:
        self.hosted: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.bench = Bench()
        self.bench.executor = ThreadAndLoopExecutor(
            self.bench.lookup, SLOTS, self.bench.wakes.set, RealClock(), home=self.hosted.put
        )

    def run(self, rest: Callable[[], None]) -> None:
        raised: list[BaseException] = []

        def work() -> None:
            try:
                rest()
            except BaseException as error:  # noqa: BLE001
                raised.append(error)
            finally:
                self.bench.executor.close()
                self.hosted.put(None)

        Thread(target=work, daemon=True).start()
        while (hosted := self.hosted.get()) is not None:
            hosted()
        if raised:
            raise raised[0]


@pytest.fixture
def main_thread() -> Iterator[MainThread]:
    here = MainThread()
    yield here
    here.bench.executor.close()


async def sleep_for_long() -> None:
    time.sleep(30)


async def turn_for_long() -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


async def sleep_in_a_task() -> None:
    await asyncio.gather(sleep_for_long())


@pytest.mark.rule("A9")
@pytest.mark.parametrize("block", [sleep_for_long, turn_for_long, sleep_in_a_task])
def test_in_the_main_thread_a_late_attempt_is_cut_off_and_what_had_begun_goes_on(
    main_thread: MainThread, block: Callable[..., Any]
) -> None:
    bench, opened = main_thread.bench, Event()

    async def neighbour() -> str:
        while not opened.is_set():
            await asyncio.sleep(0.001)
        return "went on"

    def rest() -> None:
        begun = bench.start(neighbour)
        late = bench.start(block, timeout_s=0.2)
        assert bench.failure(late).type == "TimeoutError"
        opened.set()
        assert bench.value(begun) == "went on"
        bench.until(lambda: bench.executor.running == 0)
        assert bench.executor.abandoned == 0

    began = time.monotonic()
    main_thread.run(rest)
    assert time.monotonic() - began < LIMIT_S


def test_an_attempt_within_its_time_is_never_cut_off(main_thread: MainThread) -> None:
    bench = main_thread.bench

    async def block_briefly() -> str:
        time.sleep(0.6)
        return "whole"

    async def late() -> None:
        await asyncio.sleep(30)

    def rest() -> None:
        expired = bench.start(late, timeout_s=0.3)
        whole = bench.start(block_briefly)
        assert bench.value(whole) == "whole"
        assert decode_failure(bench.result(expired).payload).type == "TimeoutError"

    main_thread.run(rest)


def test_clean_up_of_an_attempt_that_was_cut_off_is_not_cancelled_again(main_thread: MainThread) -> None:
    bench, cleaned = main_thread.bench, []

    async def block() -> None:
        try:
            time.sleep(30)
        finally:
            await asyncio.sleep(0.3)
            cleaned.append(True)

    def rest() -> None:
        bench.failure(bench.start(block, timeout_s=0.1))
        bench.until(lambda: bool(cleaned))

    main_thread.run(rest)


def test_a_stopped_attempt_that_blocks_is_cut_off(main_thread: MainThread) -> None:
    bench, ended = main_thread.bench, Event()

    async def block() -> None:
        try:
            time.sleep(30)
        finally:
            ended.set()

    def rest() -> None:
        key = bench.start(block)
        bench.until(lambda: bench.executor.queued == 0)
        bench.executor.stop(key)
        bench.until(ended.is_set)

    main_thread.run(rest)


def test_the_host_gets_its_thread_back_from_an_attempt_that_blocks(main_thread: MainThread) -> None:
    bench, inside = main_thread.bench, Event()

    async def block() -> None:
        inside.set()
        time.sleep(30)

    def rest() -> None:
        bench.start(block)
        bench.until(inside.is_set)
        assert bench.executor.release_home()

    main_thread.run(rest)


def test_a_step_counts_as_blocked_after_as_long_as_a_step_of_workflow_code() -> None:
    from continuum.node.watchdog import STUCK_AFTER_S

    assert BLOCKED_S == STUCK_AFTER_S
