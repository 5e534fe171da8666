"""What code draws before a command, and which function a side effect runs, are part of what a replay compares (R10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from continuum.core.definitions import Workflow, workflow
from continuum.core.effects import (
    continue_as_new,
    patched,
    random,
    side_effect,
    sleep,
    start_child,
    uuid4,
    wait_signal,
)
from continuum.core.recorded import Recorded, recorded_of
from continuum.core.saga import saga
from continuum.core.snapshot import compact, expand
from continuum.core.verify import verify
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import EventRow, from_row, to_row
from tests.unit.machine_driver import RUN, Driver, double

DRAWN: list[Callable[[], object]] = []
"""What the workflows of this module draw; tests change it, as a change of the code would."""


def draw() -> None:
    for each in DRAWN:
        each()


@workflow(name="draws.child")
async def child() -> None: ...


@workflow(name="draws.activity")
async def by_activity() -> None:
    draw()
    await double(1)
    await double(2)


@workflow(name="draws.timer")
async def by_timer() -> None:
    draw()
    await sleep(1)


@workflow(name="draws.wait")
async def by_wait() -> None:
    draw()
    await wait_signal("go")


@workflow(name="draws.side_effect")
async def by_side_effect() -> None:
    draw()
    side_effect(lambda: 1)


@workflow(name="draws.start_child")
async def by_child() -> None:
    draw()
    await start_child(child())


@workflow(name="draws.continuation")
async def by_continuation() -> None:
    draw()
    continue_as_new(child())


@workflow(name="draws.compensation")
async def by_compensation() -> None:
    async with saga() as undo:
        undo.push(double(1))
        draw()
        raise ValueError("undo it")


COMMANDS = [
    by_activity,
    by_timer,
    by_wait,
    by_side_effect,
    by_child,
    by_continuation,
    by_compensation,
]
CHANGES = [
    pytest.param([], [random], "nothing", "1 random()", id="one more"),
    pytest.param([uuid4], [], "1 uuid4()", "nothing", id="one fewer"),
    pytest.param([random], [uuid4], "1 random()", "1 uuid4()", id="another kind"),
    pytest.param([random] * 2, [random] * 3, "2 random()", "3 random()", id="three for two"),
    pytest.param(
        [random, uuid4],
        [uuid4, random],
        "1 random() and 1 uuid4()",
        "1 random() and 1 uuid4() in another order",
        id="another order",
    ),
]


def both(rows: list[EventRow]) -> list[Recorded]:
    """The history as its events and as a snapshot of them."""
    return [recorded_of(rows), expand(compact(rows, RUN), RUN)]


def recorded(flow: Workflow[..., Any], drawn: list[Callable[[], object]]) -> list[EventRow]:
    DRAWN[:] = drawn
    run = Driver(flow)
    if flow is by_activity:
        run.complete(1, 2)
    return run.history


@pytest.mark.rule("R10", "P2")
@pytest.mark.parametrize("flow", COMMANDS, ids=lambda flow: flow.name)
@pytest.mark.parametrize(("before", "now", "told", "issued"), CHANGES)
def test_another_draw_before_a_recorded_command_is_drift_and_both_sides_are_told(
    flow: Workflow[..., Any],
    before: list[Callable[[], object]],
    now: list[Callable[[], object]],
    told: str,
    issued: str,
) -> None:
    history = recorded(flow, before)
    for each in both(history):
        Driver(flow, history=each)
    DRAWN[:] = now
    for each in both(history):
        with pytest.raises(ReplayDriftError) as drift:
            Driver(flow, history=each)
        assert drift.value.position == 1
        assert drift.value.recorded.endswith(f" after {told}")
        assert drift.value.commanded.endswith(f" after {issued}")


@pytest.mark.rule("R10", "P2")
def test_a_draw_between_two_activities_with_results_is_found_on_the_short_way_too() -> None:
    @workflow(name="draws.between")
    async def between() -> None:
        await double(1)
        draw()
        await double(2)
        await double(3)

    DRAWN[:] = []
    run = Driver(between)
    run.complete(1, 2)
    run.complete(3, 4)
    DRAWN[:] = [uuid4]
    for each in both(run.history):
        with pytest.raises(
            ReplayDriftError, match=r"event 3:\n.*double #2 .* after nothing\n.* after 1 uuid4"
        ):
            Driver(between, history=each)


@pytest.mark.rule("R10", "P2")
def test_a_draw_between_a_call_and_its_await_is_found() -> None:
    @workflow(name="draws.later")
    async def later() -> None:
        call = double(1)
        draw()
        await call

    DRAWN[:] = []
    run = Driver(later)
    run.complete(1, 2)
    DRAWN[:] = [uuid4]
    for each in both(run.history):
        with pytest.raises(ReplayDriftError, match=r"event 1:\n.* after nothing\n.* after 1 uuid4"):
            Driver(later, history=each)


@pytest.mark.rule("R10")
@pytest.mark.parametrize("flow", COMMANDS, ids=lambda flow: flow.name)
def test_histories_of_before_are_not_compared_in_what_was_drawn(flow: Workflow[..., Any]) -> None:
    old = [_of_before(row) for row in recorded(flow, [])]
    DRAWN[:] = [random, uuid4]
    for each in both(old):
        Driver(flow, history=each)


@pytest.mark.rule("R10")
def test_adopting_code_that_draws_otherwise_is_refused() -> None:
    history = recorded(by_activity, [])
    DRAWN[:] = [random]
    machine = Driver(by_activity).machine
    found = verify(machine.identity, by_activity, payload.encode([[], {}]), history)
    assert found is not None
    assert (found.position, found.commanded.endswith("after 1 random()")) == (1, True)


@pytest.mark.rule("R10")
def test_draws_on_the_other_way_of_a_patch_are_no_drift() -> None:
    @workflow(name="draws.patched")
    async def changed() -> None:
        if patched("draws"):
            uuid4()
        await double(1)

    history = recorded(by_activity, [])[:1]
    assert Driver(changed, history=history).types == ["activity_scheduled"]
    Driver(changed).replayed()


@pytest.mark.rule("R10")
def test_a_command_before_which_nothing_was_drawn_costs_its_event_one_byte() -> None:
    (row,) = recorded(by_timer, [])
    assert len(row.payload) == len(_of_before(row).payload) + 1


def one() -> int:
    return 1


def other() -> int:
    return 2


ORDER = [one, other]


@workflow(name="draws.named")
async def named() -> list[int]:
    return [side_effect(fn) for fn in ORDER]


@pytest.mark.rule("R10", "P2")
def test_two_side_effects_that_changed_places_are_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    history = Driver(named).history
    monkeypatch.setattr("tests.unit.test_draws.ORDER", [other, one])
    for each in both(history):
        with pytest.raises(ReplayDriftError, match=r"recorded: .*side effect #1 .*, one\)\n.*#1 .*, other\)"):
            Driver(named, history=each)


@pytest.mark.rule("R10")
def test_two_lambdas_that_changed_places_are_drift_by_their_code() -> None:
    @workflow(name="draws.lambdas")
    async def first() -> list[int]:
        return [side_effect(lambda: 1), side_effect(lambda: 2)]

    @workflow(name="draws.swapped")
    async def second() -> list[int]:
        return [side_effect(lambda: 2), side_effect(lambda: 1)]

    history = Driver(first).history
    assert Driver(first, history=history).result == [1, 2]
    with pytest.raises(ReplayDriftError, match=r"<lambda>, with other code\)"):
        Driver(second, history=history)


@pytest.mark.rule("R10")
def test_a_side_effect_of_before_is_not_compared_in_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [_of_before(row) for row in Driver(named).history]
    monkeypatch.setattr("tests.unit.test_draws.ORDER", [other, one])
    assert Driver(named, history=old).result == [1, 2]


@pytest.mark.rule("R10")
def test_a_renamed_workflow_runs_the_same_side_effect() -> None:
    @workflow(name="draws.old_name")
    async def old_name() -> int:
        return side_effect(lambda: 1)

    @workflow(name="draws.new_name")
    async def new_name() -> int:
        return side_effect(lambda: 1)

    assert Driver(new_name, history=Driver(old_name).history).result == 1


def test_side_effects_of_builtins_and_methods_are_told_by_their_names() -> None:
    @workflow(name="draws.builtins")
    async def builtins() -> list[object]:
        return [side_effect(dict), side_effect("a".upper), side_effect(UUID(int=1).__str__)]

    events = [from_row(row) for row in Driver(builtins).history]
    assert [getattr(event, "function", "") for event in events][:2] == ["dict#", "str.upper#"]
    Driver(builtins).replayed()


def _of_before(row: EventRow) -> EventRow:
    """The event as it was recorded before draws and functions were."""
    body = from_row(row)
    if hasattr(body, "draws"):
        body = msgspec.structs.replace(body, draws=None)
    if hasattr(body, "function"):
        body = msgspec.structs.replace(body, function="")
    whole = msgspec.msgpack.decode(to_row(row.seq, body).payload)
    kept = [field for field in body.__struct_fields__ if field not in ("draws", "function")]
    return msgspec.structs.replace(row, payload=msgspec.msgpack.encode(whole[: len(kept)]))
