"""The short way of a replay: an activity whose result is the very next event. It sees all that the long way sees."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from continuum.core.definitions import Workflow, activity, workflow
from continuum.core.effects import wait_signal
from continuum.core.recorded import recorded_of
from continuum.core.saga import compensate_all
from continuum.core.snapshot import compact, expand
from continuum.errors import JournalError, PayloadError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, ActivityCompleted, ActivityScheduled, EventRow, to_row
from continuum.model.retry import Retry
from tests.unit.machine_driver import RUN, Driver, double


@dataclass(frozen=True)
class Parcel:
    weight: int

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError("lighter than nothing")


@activity(name="short.weigh")
def weigh(parcel: Parcel) -> Parcel:
    return parcel


@activity(name="short.same")
def same(value: Any) -> Any:
    return value


def pairs(*steps: tuple[str, object, object]) -> list[EventRow]:
    """A history of activities, each with its result as the next event: (activity, argument, result)."""
    rows: list[EventRow] = []
    for name, argument, result in steps:
        seq = len(rows) + 1
        args = payload.encode([[argument], {}])
        rows.append(to_row(seq, ActivityScheduled(name, args, "there.py:1", "b:0")))
        rows.append(to_row(seq + 1, ActivityCompleted(seq, payload.encode(result), seq)))
    return rows


def both(rows: list[EventRow]) -> list[Any]:
    """The history as its events and as a snapshot of them."""
    return [recorded_of(rows), expand(compact(rows, RUN), RUN)]


@workflow(name="short.weighs")
async def weighs(first: int, second: int) -> object:
    one = await weigh(Parcel(first))
    try:
        two = await weigh(Parcel(second))
    except PayloadError as error:
        return [one.weight, str(error)]
    return [one.weight, two.weight]


def result_of(run: Driver) -> object:
    assert run.steps[-1].result is not None, run.steps[-1]
    return payload.decode(run.steps[-1].result)


@pytest.mark.rule("R4")
def test_values_of_the_users_types_are_restored_and_what_does_not_fit_is_raised_at_the_await() -> None:
    good = pairs(("short.weigh", {"weight": 1}, {"weight": 2}), ("short.weigh", {"weight": 3}, {"weight": 4}))
    bad = pairs(("short.weigh", {"weight": 1}, {"weight": 2}), ("short.weigh", {"weight": 3}, {"weight": -1}))
    for history in both(good):
        assert result_of(Driver(weighs, 1, 3, history=history)) == [2, 4]
    for history in both(bad):
        found = result_of(Driver(weighs, 1, 3, history=history))
        assert isinstance(found, list) and found[0] == 2 and "lighter than nothing" in found[1]


SCALARS = [
    None,
    True,
    0,
    -1,
    127,
    128,
    -33,
    2**63,
    -(2**63),
    1.5,
    float("inf"),
    "",
    "é" * 40,
    b"",
    b"\x01",
    b"\xc0",
]
OTHERS = [[], [1, [2]], {"a": 1}, {1: (2, 3)}, (1,), {4, 5}, 2**70]


@workflow(name="short.keeps")
async def keeps(count: int) -> object:
    return [await same(number) for number in range(count)]


def test_every_value_comes_back_as_it_was_from_events_and_from_a_snapshot() -> None:
    values = [*SCALARS, *OTHERS]
    rows = pairs(*[("short.same", number, value) for number, value in enumerate(values)])
    for history in both(rows):
        found = result_of(Driver(keeps, len(values), history=history))
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]


@workflow(name="short.refused")
async def refused() -> object:
    try:
        await same(object())
    except PayloadError:
        return await same("the other way")
    return "not refused"


@pytest.mark.rule("R4")
def test_a_call_that_was_refused_when_it_was_new_is_refused_again() -> None:
    run = Driver(refused)
    run.complete(1, "done")
    assert result_of(run) == "done"
    for history in both(run.history):
        assert result_of(Driver(refused, history=history)) == "done"


@workflow(name="short.side_by_side")
async def side_by_side() -> object:
    async def other() -> str:
        return str(await wait_signal("go"))

    task = asyncio.create_task(other())
    first = await double(1)  # the task is ready to run, and issues its command before this result is seen
    return [first, await task]


@pytest.mark.rule("R4")
def test_a_task_that_is_ready_goes_first() -> None:
    run = Driver(side_by_side)
    run.complete(1, 2)
    run.signal(1, "go", "x")
    assert run.types == ["activity_scheduled", "signal_awaited", "activity_completed", "signal_received"]
    for history in both(run.history):
        again = Driver(side_by_side, history=history)
        assert (result_of(again), again.steps[-1].events) == ([2, "x"], [])


@workflow(name="short.swallows")
async def swallows() -> object:
    for _ in range(3):
        try:
            await double(1)
        except Exception:  # noqa: BLE001 - as a user might
            return "swallowed"
    return "passed"


@pytest.mark.parametrize("position", [2, 3])
def test_an_event_that_cannot_be_read_stops_the_walk_and_no_code_can_swallow_it(position: int) -> None:
    rows = pairs(*[(double.name, 1, 2)] * 3)
    rows[position] = msgspec.structs.replace(rows[position], payload=b"\x93\xc1")
    with pytest.raises(JournalError, match=f"event {position + 1} .* is damaged"):
        Driver(swallows, history=rows)


def test_a_kind_that_nobody_knows_is_found_before_any_code_runs() -> None:
    rows = pairs((double.name, 1, 2))
    for kind in (99, 300):
        with pytest.raises(JournalError, match=f"event 2 is a kind {kind}"):
            recorded_of([rows[0], msgspec.structs.replace(rows[1], kind=kind)])


@workflow(name="short.later")
async def later() -> object:
    waiting = double(1)  # made where its pair is next, awaited where it is not
    first = await double(1)
    return [first, await waiting]


@workflow(name="short.drifts_later")
async def drifts_later() -> object:
    waiting = double(1)
    first = await double(1)
    return [first, await asyncio.create_task(waiting)]


@pytest.mark.rule("R3")
def test_a_call_that_is_awaited_later_than_it_is_made_matches_what_is_recorded_then() -> None:
    run = Driver(later)
    run.complete(1, 2)
    run.complete(3, 4)
    for history in both(run.history):
        assert result_of(Driver(later, history=history)) == [2, 4]
    other = pairs((double.name, 1, 2), ("short.same", 1, 4))
    for target in (later, drifts_later):
        for history in both(other):
            with pytest.raises(ReplayDriftError) as drift:
                Driver(target, history=history)
            assert drift.value.position == 3
            assert f"activity {double.name} #2 (unit/" in drift.value.commanded


@pytest.mark.parametrize("target", [later, drifts_later])
def test_a_call_whose_place_was_not_noted_can_still_be_journaled(target: Workflow[..., Any]) -> None:
    run = Driver(target, history=pairs((double.name, 1, 2)))
    (event,) = run.steps[-1].events
    assert run.types[-1] == "activity_scheduled" and b"unit/" in event.payload


@workflow(name="short.drops")
async def drops() -> int:
    double(1)
    return await double(1)


def test_a_dropped_call_warns_in_a_replay_too() -> None:
    for history in both(pairs((double.name, 1, 2))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Driver(drops, history=history)
            gc.collect()
        texts = [str(w.message) for w in caught if "was made but never" in str(w.message)]
        assert [text.partition(" was made")[0] for text in texts] == [f"{double.name}(1)"]


@activity(name="short.undo")
def undo(value: int) -> None: ...


@workflow(name="short.undoes")
async def undoes() -> int:
    first = await double(1).options(retry=Retry(max_attempts=2), compensate=None)
    await double(first).options(
        compensate=undo(first),
    )
    await compensate_all()
    return first


LINE_OF_THE_CALL = undoes.fn.__code__.co_firstlineno + 3


@pytest.mark.rule("R4")
def test_calls_with_options_replay_and_a_compensation_is_journaled_with_the_line_of_its_call() -> None:
    rows = pairs((double.name, 1, 2), (double.name, 2, 4))
    for history in both(rows):
        run = Driver(undoes, history=history)
        (event,) = run.steps[-1].events
        assert EVENT_TYPES[event.kind] == "compensation_scheduled"
        assert f"unit/test_short_way.py:{LINE_OF_THE_CALL}".encode() in event.payload
