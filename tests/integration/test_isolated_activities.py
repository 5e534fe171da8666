"""Activities with ``isolate=True``, in real processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from continuum.core.definitions import Activity, activity, registry
from continuum.core.failure import decode_failure
from continuum.model import payload
from continuum.model.events import Failure
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.shell import SystemClock
from continuum.wire.messages import Execute, Finished, Key
from tests.integration import isolated_work
from tests.integration.isolated_work import pids_in, running
from tests.integration.servers import wait_until

RUN = UUID(int=6)
SLOTS = 4
CHECKOUT = Path(__file__).parents[2]
HOLDER = """
import sys, threading
from continuum.core.definitions import registry
from continuum.model import payload
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.shell import SystemClock
from continuum.wire.messages import Execute
from tests.integration import isolated_work
executor = ThreadAndLoopExecutor(registry.activity, 2, lambda: None, SystemClock())
name = isolated_work.hang_with_child.name
executor.start(Execute(bytes(16), 1, 1, name, payload.encode([[sys.argv[1]], {}])))
while True:
    executor.tick()
    threading.Event().wait(0.05)
"""


class Bench:
    def __init__(self) -> None:
        self.wakes = Event()
        self.executor = ThreadAndLoopExecutor(registry.activity, SLOTS, self.wakes.set, SystemClock())
        self.results: dict[Key, Finished] = {}
        self.beats: dict[Key, bytes] = {}
        self._seq = 0

    def start(self, target: Activity[..., object], *args: object, **fields: object) -> Key:
        self._seq += 1
        task = Execute(RUN.bytes, self._seq, 1, target.name, payload.encode([list(args), {}]), **fields)  # type: ignore[arg-type]
        self.executor.start(task)
        return task.key

    def step(self) -> bool:
        """Do what a worker's loop does in a turn."""
        self.wakes.wait(max(0.0, min(self.executor.wake_at() - time.monotonic(), 0.01)))
        self.wakes.clear()
        self.executor.tick()
        self.beats.update(self.executor.heartbeats())
        self.results.update((result.key, result) for result in self.executor.finished())
        return True

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: self.step() and condition(), what)

    def result(self, key: Key) -> Finished:
        self.until(lambda: key in self.results, "the attempt has ended")
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


def test_every_attempt_has_a_process_of_its_own(bench: Bench) -> None:
    values = [bench.value(bench.start(isolated_work.pid_and_double, n)) for n in range(3)]
    pids = {value[0] for value in values if isinstance(value, list)}
    assert [value[1] for value in values if isinstance(value, list)] == [0, 2, 4]
    assert len(pids) == 3 and os.getpid() not in pids


def test_an_async_def_runs_on_a_loop_of_its_own(bench: Bench) -> None:
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 21)) == 42


def test_an_exception_comes_back_with_its_traceback(bench: Bench) -> None:
    failure = bench.failure(bench.start(isolated_work.refuse))
    assert (failure.type, failure.message) == ("LookupError", "nothing here")
    assert "in refuse" in failure.traceback


@pytest.mark.rule("A11")
def test_information_and_heartbeats_work_inside(bench: Bench) -> None:
    last = payload.encode(["before", 1])
    key = bench.start(
        isolated_work.tell,
        timeout_s=60.0,
        idempotency_key="key",
        heartbeat_timeout_s=30.0,
        last_heartbeat=last,
    )
    name = isolated_work.tell.name
    assert bench.value(key) == [("before", 1), name, 1, "key", True]
    assert payload.decode(bench.beats[key]) == ["half", 50]


@pytest.mark.rule("A9")
@pytest.mark.parametrize(("how", "said"), [("exit", "exit code 3"), ("signal", f"signal {signal.SIGSEGV:d}")])
def test_a_crash_is_a_failed_attempt_and_the_worker_goes_on(bench: Bench, how: str, said: str) -> None:
    key = bench.start(isolated_work.end_hard, how)
    failure = bench.failure(key)
    assert failure.type == "continuum.WorkerDied" and said in failure.message
    assert bench.results[key].retryable and payload.decode(bench.results[key].details) == ["begun"]
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 1)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_every_process_leaves_the_attempt_its_time(
    bench: Bench, tmp_path: Path, number: signal.Signals
) -> None:
    marker = tmp_path / "pids"
    key = bench.start(isolated_work.wait_for_word, str(marker))
    bench.until(marker.exists, "it runs")
    for pid in pids_in(marker):
        os.kill(pid, number)
    (tmp_path / "word").touch()
    assert bench.value(key) == [-signal.SIGTERM, "ended"], "what it forks obeys signals as anywhere"


@pytest.mark.rule("A9")
def test_a_time_out_kills_the_process_with_its_children_and_frees_the_slot(
    bench: Bench, tmp_path: Path
) -> None:
    markers = [tmp_path / f"pids{n}" for n in range(SLOTS)]
    keys = [bench.start(isolated_work.hang_with_child, str(marker), timeout_s=5.0) for marker in markers]
    bench.until(lambda: all(marker.exists() for marker in markers), "all hang")
    pids = [pid for marker in markers for pid in pids_in(marker)]
    assert all(bench.result(key).timed_out for key in keys)
    wait_until(lambda: not running(*pids), "they are gone")
    assert not bench.executor.worn_out
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 1)) == 2


@pytest.mark.rule("A15")
def test_an_attempt_that_is_stopped_is_killed_and_says_nothing(bench: Bench, tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    key = bench.start(isolated_work.hang_with_child, str(marker))
    bench.until(marker.exists, "it hangs")
    bench.executor.stop(key)
    bench.until(lambda: not running(*pids_in(marker)), "they are gone")
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 1)) == 2
    assert key not in bench.results


@pytest.mark.rule("A11")
def test_an_isolated_attempt_that_falls_silent_is_killed(bench: Bench, tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    key = bench.start(isolated_work.hang_with_child, str(marker), heartbeat_timeout_s=4.0)
    failure = bench.failure(key)
    assert "heartbeat" in failure.message and bench.results[key].timed_out
    wait_until(lambda: not running(*pids_in(marker)), "they are gone")


@pytest.mark.rule("A9")
def test_the_death_of_the_worker_kills_the_process_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    worker = subprocess.Popen([sys.executable, "-c", HOLDER, str(marker)], env=environment)
    try:
        wait_until(marker.exists, "it hangs")
    finally:
        worker.kill()
        worker.wait()
    wait_until(lambda: not running(*pids_in(marker)), "they are gone")


def test_a_function_that_a_fresh_interpreter_does_not_find_is_a_failed_attempt(bench: Bench) -> None:
    @activity(isolate=True, name="isolated.local")
    def local() -> None: ...

    failure = bench.failure(bench.start(local))
    assert failure.type == "continuum.UnknownActivity"


@pytest.mark.rule("A4", "A9")
def test_junk_on_its_pipe_ends_the_attempt_and_the_worker_goes_on(bench: Bench) -> None:
    failure = bench.failure(bench.start(isolated_work.say_junk))
    assert failure.type == "continuum.WorkerDied" and "no length of a frame" in failure.message
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 1)) == 2


@pytest.mark.rule("A4", "A9")
def test_an_attempt_whose_keeper_is_killed_ends_with_all_that_it_started(
    bench: Bench, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    failure = bench.failure(bench.start(isolated_work.kill_the_keeper, str(marker)))
    assert failure.type == "continuum.WorkerDied" and "keeper was killed by signal 9" in failure.message
    wait_until(lambda: not running(*pids_in(marker)), "they are gone")
    assert bench.value(bench.start(isolated_work.double_on_a_loop, 1)) == 2


def test_arguments_and_results_that_no_pipe_holds_at_once_pass_it(bench: Bench) -> None:
    text = "x" * 400_000
    assert bench.value(bench.start(isolated_work.measure, text)) == text + text
