"""Code that does not fit its history is refused with both sides; what may change is no drift."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from continuum.core.definitions import Workflow, workflow
from continuum.core.effects import sleep
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ReplayDriftError
from continuum.model import payload
from tests.unit.machine_driver import BEGAN, RUN, Driver, Order, chain, charge, double, patient


@pytest.mark.rule("R3")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            "other", r"event 1:\n.*double #1 \(.*\.py:\d+\)\n.*charge #1 \(.*\.py:\d+\)", id="another target"
        ),
        pytest.param("kind", r"event 1:\n.*double #1.*\n.*timer #1", id="another kind"),
        pytest.param("fewer", r"event 3:\n.*double #2.*\n.*nothing: the workflow has ended", id="ends early"),
        pytest.param("more", r"event 2:\n.*activity_completed for event 1 .*\n.*double #2", id="issues more"),
    ],
)
def test_changed_code_is_refused_with_both_sides(changed: str, message: str) -> None:
    @workflow(name=f"t.changed.{changed}")
    async def code(value: int) -> object:
        if changed == "other":
            await charge(Order("x", 1))
        if changed == "kind":
            await sleep(5)
        if changed == "more":
            return await asyncio.gather(double(1), double(2))
        return await double(value)

    run = Driver(chain, 1)
    run.complete(1, 2)
    with pytest.raises(ReplayDriftError, match=message):
        Driver(code, 1, history=run.history)


@pytest.mark.rule("R3")
def test_drift_cannot_be_swallowed_and_commands_nothing() -> None:
    @workflow(name="t.swallow")
    async def swallow(value: int) -> object:
        try:
            await charge(Order("x", 1))
        except Exception:  # noqa: BLE001 - what careless code does
            return "swallowed"
        return None

    run = Driver(chain, 1)
    identity = RunIdentity(RUN, "t.swallow", "default", BEGAN, RUN)
    machine = Machine(identity, swallow, payload.encode([[1], {}]), Crew("b:0"))
    with pytest.raises(ReplayDriftError):
        machine.begin(run.history)
    assert not machine.take().events


@pytest.mark.rule("R3")
def test_changed_arguments_of_an_activity_are_no_drift() -> None:
    run = Driver(chain, 1)
    run.complete(1, 2)
    again = Driver(chain, 50, history=run.history)
    assert [d.seq for d in again.steps[-1].out.dispatches] == []
    again.complete(3, 7)
    assert again.types[-1] == "activity_scheduled"


@pytest.mark.rule("R2")
def test_lines_are_recorded_and_never_compared() -> None:
    source = "async def code(value):\n{pad}    return await double(value)\n"
    made: list[Workflow[..., Any]] = []
    for pad in ("", "\n\n\n"):
        names: dict[str, object] = {"double": double, "__name__": "t.lines"}
        exec(compile(source.format(pad=pad), f"/x/lines{len(made)}.py", "exec"), names)
        made.append(Workflow(cast("Any", names["code"]), "t.lines.code"))
    run = Driver(made[0], 4)
    again = Driver(made[1], 4, history=run.history)
    again.complete(1, 8)
    assert again.result == 8


@pytest.mark.rule("R5")
def test_history_left_over_at_the_end_is_drift_and_a_pending_wait_is_suspended() -> None:
    @workflow(name="t.short")
    async def short(value: int) -> int:
        return await double(value)

    run = Driver(chain, 1)
    run.complete(1, 2)
    with pytest.raises(ReplayDriftError, match="the workflow has ended"):
        Driver(short, 1, history=run.history)
    waiting = Driver(patient)
    assert waiting.replayed().steps[-1].state == "suspended"
    assert waiting.replayed().steps[-1].events == []
