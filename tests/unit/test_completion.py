"""What default factories give for fields that a payload lacks is drawn once, and the same in every replay."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field

from continuum.core.definitions import Workflow, activity, workflow
from continuum.core.effects import Signal
from continuum.core.effects import uuid4 as durable_uuid4
from continuum.core.recorded import recorded_of
from continuum.core.snapshot import compact, expand
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.completion import may_draw
from continuum.model.events import ActivityCompleted, from_row
from continuum.testing import replay, run_sync, start_sync
from tests.unit.machine_driver import BEGAN, RUN, Driver

T = TypeVar("T")
numbers = itertools.count(1)


@dataclass
class Order:
    n: int
    id: UUID = field(default_factory=uuid.uuid4)
    made: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Stamped:
    n: int
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or str(uuid.uuid4())


@dataclass
class Numbered:
    n: int
    id: int = field(default_factory=lambda: next(numbers), init=False)


class Record(msgspec.Struct):
    n: int
    id: UUID = msgspec.field(default_factory=uuid.uuid4)


class Model(BaseModel):
    n: int
    id: UUID = Field(default_factory=uuid.uuid4)


@dataclass
class Holder:
    items: list[Order]
    by_name: dict[str, Model] | None = None


@dataclass
class Box(Generic[T]):
    value: T


class Row(NamedTuple):
    order: Order


@dataclass
class Counted:
    """Each restoring adds one: it must not be restored once more than without."""

    n: int

    def __post_init__(self) -> None:
        self.n += 1


news = Signal("news", Order)


@activity(name="completion.order")
def order() -> Order:
    return {"n": 1}  # type: ignore[return-value]  # as another version returned it


@workflow(name="completion.text")
async def text(value: str) -> str:
    return value


@workflow(name="completion.by_argument")
async def by_argument(order: Order) -> str:
    return await text(f"{order.id} {order.made}")


@workflow(name="completion.by_name")
async def by_name(*, order: Order) -> str:
    return await text(f"{order.id} {order.made}")


@workflow(name="completion.by_signal")
async def by_signal() -> str:
    given = await news.wait()
    return await text(f"{given.id} {given.made}")


@workflow(name="completion.by_result")
async def by_result() -> str:
    given = await order()
    return await text(f"{given.id} {given.made}")


@workflow(name="completion.child")
async def child() -> Order:
    return {"n": 1}  # type: ignore[return-value]


@workflow(name="completion.by_child")
async def by_child() -> str:
    given = await child()
    return await text(f"{given.id} {given.made}")


@workflow(name="completion.by_early_signal")
async def by_early_signal() -> str:
    await order()
    given = await news.wait()
    return await text(f"{given.id} {given.made}")


def sent(flow: Workflow[..., Any], *args: Any) -> Driver:
    """The run of a flow, as far as the child that tells what it has seen."""
    run = Driver(flow, *args)
    if flow is by_signal:
        run.signal(1, "news", {"n": 2})
    if flow is by_early_signal:
        run.signal(1, "news", {"n": 2})
    if flow in (by_result, by_early_signal):
        run.complete(1, {"n": 1})
    if flow is by_child:
        (seed,) = run.steps[0].out.children_started
        run.machine.child_ended(seed.id, 1, "completed", payload.encode({"n": 1}), BEGAN)
        run.take()
    return run


FLOWS: list[tuple[Workflow[..., Any], list[Any]]] = [
    (by_argument, [{"n": 1}]),
    (by_signal, []),
    (by_early_signal, []),
    (by_result, []),
    (by_child, []),
]


@pytest.mark.rule("R4", "P2")
@pytest.mark.parametrize(("flow", "args"), FLOWS, ids=lambda value: getattr(value, "name", ""))
def test_a_field_that_came_without_its_value_is_drawn_once(flow: Workflow[..., Any], args: list[Any]) -> None:
    run = sent(flow, *args)
    assert run.types[-1] == "child_started"
    for history in (recorded_of(run.history), expand(compact(run.history, RUN), RUN)):
        assert not Driver(flow, *args, history=history).steps[-1].events


@pytest.mark.rule("R4")
def test_an_argument_that_is_passed_by_name_is_completed_too() -> None:
    run = start_sync(by_name(order={"n": 1}))  # type: ignore[arg-type]
    assert replay(by_name, run.history).state == "completed"


TYPES = [
    (Order, {"n": 1}),
    (Stamped, {"n": 1}),
    (Numbered, {"n": 1}),
    (Record, {"n": 1}),
    (Model, {"n": 1}),
    (Holder, {"items": [{"n": 1}]}),
    (list[Order], [{"n": 1}, {"n": 2}]),
    (dict[str, Order], {"a": {"n": 1}}),
    (Order | None, {"n": 1}),
    (Box[Order], {"value": {"n": 1}}),
    (Row, [{"n": 1}]),
]


@pytest.mark.rule("R4")
@pytest.mark.parametrize(("kind", "raw"), TYPES, ids=str)
def test_every_kind_of_record_is_seen_the_same_in_the_first_pass_and_in_a_replay(
    kind: Any, raw: object
) -> None:
    async def flow(value: Any) -> object:
        return value

    flow.__annotations__["value"] = kind
    made: Workflow[..., Any] = Workflow(flow, f"completion.{kind}")
    run = Driver(made, raw)
    assert run.types == ["side_effect"]
    again = Driver(made, raw, history=run.history)
    assert (again.result, again.steps[-1].events) == (run.result, [])


@pytest.mark.rule("R4")
def test_whole_values_and_steady_types_are_journaled_as_they_came() -> None:
    whole = payload.decode(payload.encode(Order(1)))
    assert "side_effect" not in sent(by_argument, whole).types

    async def flow(value: Counted) -> int:
        return value.n

    flow.__annotations__["value"] = Counted
    run = Driver(Workflow(flow, "completion.counted"), {"n": 1})
    assert (run.result, run.types) == (2, [])


@pytest.mark.parametrize("kind", [int, str, list[int], dict[str, Any], Any, Box[int], UUID, datetime])
def test_types_that_draw_nothing_are_not_looked_at_twice(kind: Any) -> None:
    assert not may_draw(kind)


def test_a_type_that_refers_to_itself_is_looked_at_once() -> None:
    assert may_draw(Node) and not may_draw(Plain)


@dataclass
class Node:
    id: UUID = field(default_factory=uuid.uuid4)
    next: Node | None = None


@dataclass
class Plain:
    items: list[Plain] = field(default_factory=list)


@pytest.mark.rule("R4")
def test_a_history_of_before_replays_without_the_event() -> None:
    @workflow(name="completion.unused")
    async def unused(order: Order) -> int:
        await text("the same")
        return order.n

    run = Driver(unused, {"n": 1})
    assert run.types == ["side_effect", "child_started"]
    old = [msgspec.structs.replace(run.history[1], seq=1)]
    assert Driver(unused, {"n": 1}, history=old).types == ["child_started"]


@pytest.mark.rule("R10")
def test_a_factory_that_is_an_effect_draws_as_often_in_a_replay() -> None:
    @dataclass
    class Drawn:
        n: int
        id: UUID = field(default_factory=durable_uuid4)

    async def flow(value: Drawn) -> object:
        await order()
        return str(value.id)

    flow.__annotations__["value"] = Drawn
    made: Workflow[..., Any] = Workflow(flow, "completion.drawn")
    run = Driver(made, {"n": 1})
    run.complete(1, {"n": 1})
    assert Driver(made, {"n": 1}, history=run.history).result == run.result


@pytest.mark.rule("R3")
def test_another_argument_of_a_child_is_still_drift() -> None:
    run = sent(by_argument, {"n": 1})
    with pytest.raises(ReplayDriftError, match=r"child completion\.text"):
        Driver(by_argument, {"n": 1}, history=[msgspec.structs.replace(run.history[1], seq=1)])


def test_the_result_of_a_run_is_the_same_for_everybody_who_asks() -> None:
    run = Driver(child)
    assert dict(cast("Any", run.result)).keys() == {"n", "id", "made"}
    assert run_sync(by_child())


@pytest.mark.rule("R4")
def test_the_kit_replays_what_it_completed() -> None:
    run = sent(by_result)
    told = [from_row(row) for row in run.history]
    assert isinstance(told[1], ActivityCompleted)
    assert dict(cast("Any", payload.decode(told[1].value))).keys() == {"n", "id", "made"}
    replay(by_result, run.history)
