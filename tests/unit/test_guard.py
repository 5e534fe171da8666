"""The guard: what workflow code tries at run time, out of sight of the scan."""

from __future__ import annotations

import importlib
import itertools
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from continuum import ContinuumError, DeterminismError, side_effect, uuid4, workflow
from continuum.core.definitions import Workflow
from continuum.core.determinism.settings import collecting
from continuum.core.failure import decode_failure
from continuum.core.loop import WorkflowLoop
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.model import payload
from continuum.model.events import Failure
from continuum.node.watchdog import StepWatch, Stuck, Watchdog

FILE = str(Path(__file__))
HIDDEN: dict[str, Callable[[], object]] = {
    "open": lambda: Path(FILE).open().close(),
    "path": lambda: Path(FILE).read_text(),
    "listing": lambda: list(Path(FILE).parent.iterdir()),
    "socket": lambda: socket.socket().close(),
    "lookup": lambda: socket.gethostbyname("localhost"),
    "process": lambda: subprocess.run([sys.executable, "-V"], check=True),
    "sleep": lambda: time.sleep(0),
}
HARMLESS: dict[str, Callable[[], object]] = {
    "import": lambda: importlib.reload(importlib.import_module("this_is_read_by_the_guard_test")),
    "zone": lambda: ZoneInfo.no_cache("UTC"),
    "traceback": traceback.format_stack,
}


with collecting():  # the table hides what it holds from no scan; these tests are about the guard

    @workflow(name="t.guarded")
    async def guarded(what: str) -> str:
        HIDDEN[what]()
        return "done"

    @workflow(name="t.harmless")
    async def harmless(what: str) -> str:
        HARMLESS[what]()
        return "done"

    @workflow(name="t.exempt")
    async def exempt(what: str) -> str:
        side_effect(lambda: str(HIDDEN[what]()))
        return "done"


@workflow(name="t.nested")
async def nested() -> str:
    return str(side_effect(lambda: str(uuid4())))


def end_of(flow: Workflow[..., object], *args: object) -> Failure | None:
    """Run to the end, and return how it failed."""
    identity = RunIdentity(UUID(int=1), flow.name, "default", 0, UUID(int=1))
    machine = Machine(identity, flow, payload.encode([list(args), {}]), Crew("b:0"))
    machine.begin()
    assert machine.ended
    error = machine.take().error
    return None if error is None else decode_failure(error)


@pytest.mark.rule("X7")
@pytest.mark.parametrize("what", HIDDEN)
def test_a_hidden_operation_fails_the_run_at_the_users_line(what: str) -> None:
    error = end_of(guarded, what)
    assert error is not None and error.type == "continuum.errors.DeterminismError"
    assert (f"{FILE}:" in error.message and "activity" in error.message) or "sleep" in error.message


@pytest.mark.rule("X7")
@pytest.mark.parametrize("what", HIDDEN)
def test_what_a_side_effect_does_is_not_guarded(what: str) -> None:
    assert end_of(exempt, what) is None


@pytest.mark.rule("X7")
@pytest.mark.parametrize("what", HARMLESS)
def test_reading_the_installation_is_not_guarded(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "this_is_read_by_the_guard_test.py").write_text(f"open({FILE!r}).close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert end_of(harmless, what) is None


@pytest.mark.rule("X7")
def test_other_threads_and_other_code_are_not_guarded() -> None:
    read: list[str] = []

    class Elsewhere:
        def __call__(self) -> None:
            thread = threading.Thread(target=lambda: read.append(Path(FILE).read_text()))
            thread.start()
            thread.join()

    HIDDEN["thread"] = Elsewhere()
    try:
        end_of(guarded, "thread")
    finally:
        del HIDDEN["thread"]
    assert read or sys.version_info >= (3, 12)
    assert Path(FILE).read_text()


@pytest.mark.rule("X9")
def test_an_effect_outside_a_workflow_and_inside_a_side_effect_is_refused() -> None:
    with pytest.raises(ContinuumError, match="uuid4 is an effect"):
        uuid4()
    error = end_of(nested)
    assert error is not None and "uuid4 is an effect" in error.message


@pytest.mark.rule("X10")
def test_a_step_that_does_not_yield_is_reported_once_with_its_stack() -> None:
    watch = StepWatch()
    reports: list[object] = []

    class Sampling:
        """Called from workflow code, it is the watchdog's thread at three moments."""

        def __call__(self) -> None:
            reports.extend(watch.look(sys._getframe(), now) for now in (10.0, 11.9, 12.1, 20.0))

    HIDDEN["stuck"] = Sampling()
    try:
        assert end_of(guarded, "stuck") is None
    finally:
        del HIDDEN["stuck"]
    early, later, stuck, again = reports
    assert early is None and later is None and again is None
    assert stuck is not None
    assert stuck.run == f"{UUID(int=1)} (t.guarded)"  # type: ignore[attr-defined]
    assert "in guarded" in stuck.stack and stuck.seconds == pytest.approx(2.1)  # type: ignore[attr-defined]


@pytest.mark.rule("X10")
def test_the_watchdog_looks_from_a_thread_of_its_own() -> None:
    reported = threading.Event()
    names: list[str] = []
    moments = itertools.count(0.0, 10.0)

    def report(stuck: Stuck) -> None:
        names.append(stuck.run)
        reported.set()

    HIDDEN["waiting"] = lambda: reported.wait(30)
    try:
        with closing(Watchdog(lambda: next(moments), report)):
            assert end_of(guarded, "waiting") is None
    finally:
        del HIDDEN["waiting"]
    assert names == [f"{UUID(int=1)} (t.guarded)"]


@pytest.mark.rule("X10")
def test_a_thread_outside_workflow_code_is_never_stuck() -> None:
    watch = StepWatch()
    assert [watch.look(sys._getframe(), now) for now in (0.0, 100.0)] == [None, None]


def test_the_loop_refuses_threads() -> None:
    with warnings.catch_warnings(), pytest.raises(DeterminismError) as caught:
        WorkflowLoop.run_in_executor(None)  # type: ignore[arg-type]
    assert caught.value.rule == "threads"
