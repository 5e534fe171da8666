"""The supervisor with real processes: what it forks, watches, restarts, drains and leaves behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.cluster

PROGRAM = Path(__file__).with_name("supervised_program.py")
LIMIT_S = 30.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])}
Event = dict[str, Any]


class Program:
    """The running supervisor, and the events that its processes have reported."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.process = process
        self.events: list[Event] = []
        self._output = process.stdout
        self._rest = b""
        self._waiting: list[Event] = []  # events that no `wait_for` has returned yet

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, event: str, **fields: object) -> Event:
        """The first event like this one that was not returned before."""
        found: list[Event] = []

        def look() -> bool:
            found[:] = [e for e in self._waiting if e["event"] == event and fields.items() <= e.items()][:1]
            return bool(found)

        self._read_until(look, f"{event} {fields}")
        self._waiting.remove(found[0])
        return found[0]

    def wait_running(self, *names: str) -> dict[str, Event]:
        """The births of these children, all of which are ready."""
        births = {}
        for name in names:
            births[name] = self.wait_for("born", child=name)
            self._read_until(partial(self._ready, births[name]), f"ready of {name}")
        return births

    def end(self) -> int:
        """Wait until no process of the tree is left; the supervisor's exit code."""
        self._read_until(lambda: False, "the end", until_closed=True)
        return self.process.wait(LIMIT_S)

    def named(self, event: str) -> list[Event]:
        return [found for found in self.events if found["event"] == event]

    def log(self) -> str:
        return "\n".join(found["line"] for found in self.named("log"))

    def _ready(self, birth: Event) -> bool:
        wanted = f"supervisor ready child={birth['child']!r} incarnation={birth['incarnation']!r}"
        return any(line.startswith(wanted) for line in self.log().splitlines())

    def _read_until(self, done: Callable[[], bool], what: str, *, until_closed: bool = False) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not done():
            readable, _, _ = select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise AssertionError(f"waited {LIMIT_S} s for {what}; events: {self.events}")
            chunk = os.read(self._output.fileno(), 65536)
            if not chunk:
                if until_closed:
                    return
                raise AssertionError(f"the program ended before {what}; events: {self.events}")
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            arrived = [json.loads(line) for line in lines]
            self.events += arrived
            self._waiting += arrived


@contextmanager
def supervised(*children: tuple[str, str], **options: object) -> Iterator[Program]:
    arguments = json.dumps({"children": children, **options})
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def test_a_killed_child_comes_back_as_a_new_incarnation_and_the_others_are_told() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        assert births["worker-1"]["peers"] == {"engine-1": "0badcafe-1"}
        assert births["worker-1"]["incarnation"] == "0badcafe-2"
        os.kill(births["worker-1"]["pid"], signal.SIGKILL)
        down = program.wait_for("peer_down", child="engine-1")
        up = program.wait_for("peer_up", child="engine-1", incarnation="0badcafe-3")
        assert program.events.index(down) < program.events.index(up)
        assert (down["peer"], down["incarnation"], down["crew"]) == ("worker-1", "0badcafe-2", 1)
        assert (up["peer"], up["crew"]) == ("worker-1", 1)
        again = program.wait_for("born", child="worker-1", incarnation="0badcafe-3")
        assert (again["crew"], again["peers"]) == (1, {"engine-1": "0badcafe-1"})
        program.wait_for(
            "processes",
            states=["engine-1 engine 0badcafe-1 0 running", "worker-1 worker 0badcafe-3 1 running"],
        )
        assert "how='killed by SIGKILL'" in program.log()


def test_only_the_death_of_a_worker_counts_for_the_crew() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        os.kill(births["engine-1"]["pid"], signal.SIGKILL)
        assert program.wait_for("peer_down", child="worker-1")["crew"] == 0


def test_children_are_named_and_own_nothing_of_the_supervisor_or_of_each_other() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        titles = [psutil.Process(birth["pid"]).cmdline()[0] for birth in births.values()]
        assert titles == ["continuum: test/engine-1", "continuum: test/worker-1"]
        assert [birth["stdin"] for birth in births.values()] == ["", ""]
        assert [birth["wakeup_fd"] for birth in births.values()] == [-1, -1]
        assert births["engine-1"]["fds"] == births["worker-1"]["fds"], "a later child inherits no more"


def test_no_child_outlives_a_killed_supervisor() -> None:
    with supervised(("engine-1", "stubborn"), ("worker-1", "stubborn")) as program:
        program.wait_running("engine-1", "worker-1")
        os.kill(program.pid, signal.SIGKILL)
        assert program.end() == -signal.SIGKILL


def test_not_even_a_stopped_child_outlives_a_killed_supervisor() -> None:
    with supervised(("engine-1", "engine")) as program:
        births = program.wait_running("engine-1")
        os.kill(births["engine-1"]["pid"], signal.SIGSTOP)
        os.kill(program.pid, signal.SIGKILL)
        assert program.end() == -signal.SIGKILL


def test_a_child_that_hangs_is_killed_and_restarted() -> None:
    with supervised(("engine-1", "engine"), ping_interval_s=0.2, ping_timeout_s=3.0) as program:
        births = program.wait_running("engine-1")
        os.kill(births["engine-1"]["pid"], signal.SIGSTOP)
        program.wait_for("born", child="engine-1", incarnation="0badcafe-2")
        assert "how='killed by SIGKILL (it gave no sign of life)'" in program.log()


@pytest.mark.parametrize(
    ("role", "code", "line"),
    [
        pytest.param("hopeless", 3, "worker-1: shop.flows cannot be imported", id="said"),
        pytest.param("misconfigured", 1, "worker-1: the port 5432 is taken", id="raised"),
    ],
)
def test_a_fatal_start_ends_the_tree_with_its_line_and_no_restart(role: str, code: int, line: str) -> None:
    with supervised(("engine-1", "engine"), ("worker-1", role)) as program:
        assert program.end() == code
        assert program.named("ended") == [{"event": "ended", "reason": line, "code": code}]
        assert program.named("left") == [{"event": "left", "child": "engine-1"}]
        assert program.log().count("supervisor started child='worker-1'") == 1


def test_too_many_restarts_end_the_tree() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "crashing"), max_restarts=2) as program:
        assert program.end() == 1
        reason = "root: more than 2 restarts in 60 s; last: worker-1 exited with code 1"
        assert program.named("ended") == [{"event": "ended", "reason": reason, "code": 1}]
        assert program.log().count("supervisor started child='worker-1'") == 3
        assert program.named("left") == [{"event": "left", "child": "engine-1"}]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_first_signal_drains_in_reverse_order(number: signal.Signals) -> None:
    with supervised(("router", "engine"), ("engine-1", "engine"), ("worker-1", "worker")) as program:
        program.wait_running("router", "engine-1", "worker-1")
        os.kill(program.pid, number)
        assert program.end() == 0
        order = [(e["event"], e["child"]) for e in program.events if e["event"] in ("asked_to_stop", "left")]
        assert order == [
            (event, child)
            for child in ("worker-1", "engine-1", "router")
            for event in ("asked_to_stop", "left")
        ]
        assert program.named("ended")[0]["reason"] == f"stopped by {number.name}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_still_drains(number: signal.Signals) -> None:
    """Ctrl-C and service managers signal the children too, which leave it to the supervisor."""
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        for pid in (*(birth["pid"] for birth in births.values()), program.pid):
            os.kill(pid, number)
        assert program.end() == 0
        assert [left["child"] for left in program.named("left")] == ["worker-1", "engine-1"]


def test_signals_without_a_meaning_and_a_second_hangup_end_nothing() -> None:
    """The end of a terminal brings several; a service manager sends one after SIGTERM."""
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        for pid in (*(birth["pid"] for birth in births.values()), program.pid):
            os.kill(pid, signal.SIGUSR1)
            os.kill(pid, signal.SIGUSR2)
        os.kill(program.pid, signal.SIGTERM)
        os.kill(program.pid, signal.SIGHUP)
        os.kill(program.pid, signal.SIGHUP)
        assert program.end() == 0
        assert [left["child"] for left in program.named("left")] == ["worker-1", "engine-1"]
        assert "supervisor signal name='SIGUSR1' meaning='none'" in program.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_everything_at_once(number: signal.Signals) -> None:
    with supervised(("engine-1", "stubborn"), ("worker-1", "stubborn"), shutdown_s=3600.0) as program:
        program.wait_running("engine-1", "worker-1")
        os.kill(program.pid, number)
        program.wait_for("asked_to_stop", child="worker-1")
        os.kill(program.pid, number)
        assert program.end() == 1
        assert program.named("ended")[0]["reason"] == f"ended at once by a second signal, {number.name}"


def test_a_child_that_ignores_its_stop_is_killed_after_its_time() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "stubborn"), shutdown_s=0.3) as program:
        program.wait_running("engine-1", "worker-1")
        os.kill(program.pid, signal.SIGTERM)
        assert program.end() == 0
        assert "(still running 0.3 s after it was asked to stop)" in program.log()
        assert program.named("left") == [{"event": "left", "child": "engine-1"}]


def test_the_end_of_the_lifeline_is_a_graceful_stop() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        program.wait_running("engine-1", "worker-1")
        assert program.process.stdin is not None
        program.process.stdin.close()
        assert program.end() == 0
        assert [left["child"] for left in program.named("left")] == ["worker-1", "engine-1"]


def test_a_child_that_sends_garbage_is_killed_and_harms_nobody_else() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "babbling"), max_restarts=1) as program:
        assert program.end() == 1
        assert "killed by SIGKILL (its control channel carried garbage)" in program.log()
        assert program.named("left") == [{"event": "left", "child": "engine-1"}]


def test_a_fork_that_fails_counts_as_a_failed_start_and_the_others_drain() -> None:
    """Four descriptors are enough for the signal pipe and one child: the second one has none."""
    with supervised(("engine-1", "engine"), ("worker-1", "worker"), spare_fds=4, max_restarts=2) as program:
        assert program.end() == 1
        assert program.log().count("supervisor not_started child='worker-1'") == 3
        assert "last: worker-1 could not be forked: [Errno 24]" in program.named("ended")[0]["reason"]
        assert program.named("left") == [{"event": "left", "child": "engine-1"}]


def test_processes_that_a_child_starts_obey_signals_as_anywhere() -> None:
    with supervised(("worker-1", "forking")) as program:
        program.wait_running("worker-1")
        os.kill(program.pid, signal.SIGTERM)
        assert program.end() == 0
        assert [found["code"] for found in program.named("grandchild")] == [-signal.SIGTERM] * 2


def test_no_zombie_is_left_of_a_child_that_was_replaced() -> None:
    with supervised(("engine-1", "engine"), ("worker-1", "worker")) as program:
        births = program.wait_running("engine-1", "worker-1")
        os.kill(births["worker-1"]["pid"], signal.SIGKILL)
        again = program.wait_running("worker-1")["worker-1"]
        children = {child.pid for child in psutil.Process(program.pid).children()}
        assert children == {births["engine-1"]["pid"], again["pid"]}


def test_a_supervisor_refuses_to_fork_beside_other_threads() -> None:
    code = (
        "import threading; from continuum.errors import NodeError\n"
        "from continuum.supervisor.spec import SupervisorSpec\n"
        "from continuum.supervisor.supervisor import Supervisor\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "try: Supervisor(SupervisorSpec('root', ()), {}, node='n', boot='b', log=print).run()\n"
        "except NodeError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, env=ENVIRONMENT
    )
    assert re.search("nothing was started", done.stdout), done.stderr
