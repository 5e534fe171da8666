"""Every attempt that a worker takes has an outcome, whatever the worker itself is short of or stumbles over."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from threading import Thread

import pytest

from continuum.core.definitions import Activity
from continuum.core.options import ActivityOptions
from continuum.model.retry import WORKER_DIED
from continuum.runtime import loop_thread
from continuum.wire.messages import Key
from tests.unit.executor_bench import Bench, Order, bench, double, double_async

__all__ = ["bench"]  # a fixture

DOUBLED = {"id": "o", "cents": 2}


def no_descriptor(*_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def alone() -> None: ...


def start_isolated(bench: Bench) -> Key:
    bench.activities["alone"] = Activity(alone, "alone", ActivityOptions(isolate=True))
    return bench.start("alone")


@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    "error", [OSError(errno.EINVAL, "Invalid argument"), ValueError("no"), RecursionError(), SystemExit(3)]
)
def test_an_isolated_attempt_whose_worker_stumbles_is_a_failed_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stumble(_: object) -> None:
        raise error

    monkeypatch.setattr(bench.executor._isolation, "run", stumble)
    failure = bench.failure(start_isolated(bench))
    assert failure.type == WORKER_DIED and type(error).__name__ in failure.message
    assert bench.value(bench.start(double, Order("o", 1))) == DOUBLED


@pytest.mark.rule("A4")
@pytest.mark.parametrize("fn", [double, double_async])
def test_an_attempt_at_whose_begin_the_clock_fails_is_a_failed_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fn: Callable[..., object]
) -> None:
    def einval(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    with monkeypatch.context() as patch:
        patch.setattr("continuum.runtime.job.Job.begin", einval)
        failure = bench.failure(bench.start(fn, Order("o", 1)))
    assert failure.type == WORKER_DIED and "Invalid argument" in failure.message
    assert bench.value(bench.start(fn, Order("o", 1))) == DOUBLED


@pytest.mark.rule("A4")
def test_an_async_attempt_for_which_no_loop_can_be_had_fails_and_the_next_has_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in ((loop_thread, "_new_loop"), (Thread, "start")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, no_descriptor)
            failure = bench.failure(bench.start(double_async, Order("o", 1)))
        assert failure.type == WORKER_DIED and "Too many open files" in failure.message
    assert bench.value(bench.start(double_async, Order("o", 1))) == DOUBLED


def test_an_attempt_for_which_no_thread_can_be_started_waits_for_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        key = bench.start(double, Order("o", 1))
        bench.executor.tick()
    assert bench.value(key) == DOUBLED


@pytest.mark.rule("A4")
def test_an_activity_that_stops_the_loop_it_runs_on_ends_nothing_else(bench: Bench) -> None:
    async def stop_loop() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        return "stopped"

    neighbours = [bench.start(double_async, Order("o", 1)) for _ in range(2)]
    assert bench.value(bench.start(stop_loop)) == "stopped"
    assert [bench.value(key) for key in neighbours] == [DOUBLED, DOUBLED]
    assert bench.value(bench.start(double_async, Order("o", 1))) == DOUBLED


@pytest.mark.rule("A4")
def test_an_attempt_whose_task_never_ran_has_an_outcome(bench: Bench) -> None:
    async def cancel_newcomers() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def wait() -> None:
        await asyncio.sleep(60)

    keys = [bench.start(cancel_newcomers), *(bench.start(wait) for _ in range(2))]
    bench.until(lambda: len(bench.results) == len(keys))


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are listed in /proc")
def test_processes_that_cannot_be_started_leave_no_descriptor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr("continuum.runtime.isolation.subprocess.Popen", refuse)
        bench.failure(start_isolated(bench))
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            failure = bench.failure(start_isolated(bench))
            assert failure.type == WORKER_DIED and "could not be started" in failure.message
    assert len(list(Path("/proc/self/fd").iterdir())) == before
