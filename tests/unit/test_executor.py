"""The executor of a real worker, with real threads and a real loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, get_ident
from typing import Any
from uuid import UUID

import pytest

from continuum.core.attempt import ActivityInfo, activity_info
from continuum.core.definitions import Activity
from continuum.core.failure import decode_failure
from continuum.core.options import ActivityOptions
from continuum.errors import ContinuumError, UnknownWorkflowError
from continuum.model import payload
from continuum.model.events import Failure
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.wire.messages import Execute, Finished, Key

RUN = UUID(int=5)
SLOTS = 4
LIMIT_S = 10.0


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()


class Bench:
    """An executor, and a worker's loop reduced to what it needs."""

    def __init__(self) -> None:
        self.activities: dict[str, Activity[..., Any]] = {}
        self.wakes = Event()
        self.executor = ThreadAndLoopExecutor(self.lookup, SLOTS, self.wakes.set, RealClock())
        self.results: dict[Key, Finished] = {}
        self._seq = 0

    def lookup(self, name: str) -> Activity[..., Any]:
        try:
            return self.activities[name]
        except KeyError:
            raise UnknownWorkflowError(name) from None

    def start(
        self,
        fn: Callable[..., Any] | str,
        *args: object,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        last_heartbeat: bytes | None = None,
    ) -> Key:
        name = fn if isinstance(fn, str) else fn.__qualname__
        if not isinstance(fn, str):
            self.activities[name] = Activity(fn, name, ActivityOptions())
        self._seq += 1
        task = Execute(
            RUN.bytes,
            self._seq,
            1,
            name,
            payload.encode([list(args), {}]),
            timeout_s,
            "key",
            heartbeat_timeout_s,
            last_heartbeat,
        )
        self.executor.start(task)
        return task.key

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            wait_s = min(self.executor.wake_at() - time.monotonic(), 0.01)
            self.wakes.wait(max(0.0, wait_s))
            self.wakes.clear()
            self.executor.tick()
            self.results.update((result.key, result) for result in self.executor.finished())

    def result(self, key: Key) -> Finished:
        self.until(lambda: key in self.results)
        return self.results[key]

    def value(self, key: Key) -> object:
        result = self.result(key)
        assert result.ok, decode_failure(result.payload)
        return payload.decode(result.payload)

    def failure(self, key: Key) -> Failure:
        result = self.result(key)
        assert not result.ok
        return decode_failure(result.payload)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.executor.close()


@dataclass
class Order:
    id: str
    cents: int


def double(order: Order) -> Order:
    return Order(order.id, 2 * order.cents)


async def double_async(order: Order) -> Order:
    await asyncio.sleep(0)
    return Order(order.id, 2 * order.cents)


@pytest.mark.parametrize("fn", [double, double_async])
def test_arguments_are_typed_and_the_result_is_a_payload(bench: Bench, fn: Callable[..., Any]) -> None:
    assert bench.value(bench.start(fn, Order("o", 21))) == {"id": "o", "cents": 42}


def raise_value_error() -> None:
    raise ValueError("no")


async def raise_value_error_async() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("fn", [raise_value_error, raise_value_error_async])
def test_an_exception_is_a_retryable_failure_without_our_frames(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn)
    failure = bench.failure(key)
    assert (failure.type, failure.message) == ("ValueError", "no")
    assert fn.__name__ in failure.traceback
    assert "attempt.py" not in failure.traceback
    assert bench.results[key].retryable


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit(3)


def leave() -> None:
    raise SystemExit(1)


def interrupt() -> None:
    raise KeyboardInterrupt


def raise_unspeakable() -> None:
    raise Unspeakable


async def raise_unspeakable_async() -> None:
    raise Unspeakable


async def leave_async() -> None:
    raise SystemExit(1)


async def interrupt_async() -> None:
    raise KeyboardInterrupt


async def cancel_itself() -> None:
    raise asyncio.CancelledError


@pytest.mark.rule("A4")
@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (leave, "SystemExit"),
        (leave_async, "SystemExit"),
        (interrupt, "KeyboardInterrupt"),
        (interrupt_async, "KeyboardInterrupt"),
        (cancel_itself, "CancelledError"),
        (raise_unspeakable, "Unspeakable"),
        (raise_unspeakable_async, "Unspeakable"),
    ],
)
def test_nothing_that_an_activity_raises_ends_the_worker(
    bench: Bench, fn: Callable[..., Any], kind: str
) -> None:
    assert bench.failure(bench.start(fn)).type.rpartition(".")[2] == kind
    assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}
    assert bench.value(bench.start(double_async, Order("o", 1))) == {"id": "o", "cents": 2}


def return_a_function() -> object:
    return double


async def return_a_function_async() -> object:
    return double


@pytest.mark.parametrize("fn", [return_a_function, return_a_function_async])
def test_a_result_that_is_no_payload_fails_for_good(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn)
    assert bench.failure(key).type == "continuum.errors.PayloadError"
    assert "result" in bench.failure(key).message
    assert not bench.results[key].retryable


@pytest.mark.parametrize("fn", [double, double_async])
def test_arguments_that_do_not_fit_fail_for_good(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn, "not an order")
    assert bench.failure(key).type == "continuum.errors.PayloadError"
    assert not bench.results[key].retryable


def test_an_unknown_activity_may_be_known_to_another_worker(bench: Bench) -> None:
    key = bench.start("nobody.has_this")
    assert bench.failure(key).type == "continuum.UnknownActivity"
    assert "nobody.has_this" in bench.failure(key).message
    assert bench.results[key].retryable


infos: list[ActivityInfo] = []


def note_info() -> None:
    infos.append(activity_info())


async def note_info_async() -> None:
    await asyncio.sleep(0)
    infos.append(activity_info())


@pytest.mark.parametrize("fn", [note_info, note_info_async])
def test_an_activity_can_ask_which_attempt_it_is(bench: Bench, fn: Callable[..., Any]) -> None:
    infos.clear()
    bench.value(bench.start(fn, timeout_s=60.0))
    (info,) = infos
    assert (info.run_id, info.activity, info.attempt, info.idempotency_key) == (RUN, fn.__name__, 1, "key")
    assert info.deadline is not None
    assert info.deadline.tzinfo is not None


def test_outside_an_activity_there_is_no_attempt_to_ask_for() -> None:
    with pytest.raises(ContinuumError, match="outside an activity"):
        activity_info()


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
