"""Objects that workflow code makes: what their default factories draw is journaled, or refused where that cannot be."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field

from continuum.core.definitions import Workflow, workflow
from continuum.core.effects import side_effect, sleep
from continuum.core.recorded import recorded_of
from continuum.core.snapshot import compact, expand
from continuum.errors import ReplayDriftError
from continuum.testing import run_sync
from tests.unit.machine_driver import RUN, Driver
from tests.unit.snippets import findings_of


@dataclass(frozen=True)
class Order:
    n: int
    id: UUID = field(default_factory=uuid.uuid4)
    made: datetime = field(default_factory=lambda: datetime.now(UTC))
    lines: list[int] = field(default_factory=list)


class Model(BaseModel):
    n: int
    id: UUID = Field(default_factory=uuid.uuid4)
    made: datetime = Field(default_factory=lambda: datetime.now(UTC), alias="when")


@workflow(name="defaults.text")
async def text(value: str) -> str:
    return value


@workflow(name="defaults.made")
async def made() -> str:
    order = Order(1)
    return await text(f"{order.id} {order.made} {order.lines}")


@workflow(name="defaults.model")
async def model() -> str:
    made_here = Model(n=1)
    return await text(f"{made_here.id} {made_here.made}")


def make(n: int) -> Order:
    return Order(n)


@workflow(name="defaults.helped")
async def helped() -> str:
    orders = [make(1), make(2)]
    return await text(" ".join(str(order.id) for order in orders))


@pytest.mark.rule("R4", "X6", "P2")
@pytest.mark.parametrize("flow", [made, model, helped], ids=lambda flow: flow.name)
def test_what_a_default_factory_draws_in_workflow_code_is_the_same_in_every_replay(
    flow: Workflow[..., Any],
) -> None:
    run = Driver(flow)
    assert run.types == ["side_effect"] * (len(run.types) - 1) + ["child_started"]
    assert len(run.types) >= 3
    for history in (recorded_of(run.history), expand(compact(run.history, RUN), RUN)):
        assert not Driver(flow, history=history).steps[-1].events


def test_a_field_that_is_given_is_not_drawn_and_outside_of_workflows_nothing_changes() -> None:
    @workflow(name="defaults.given")
    async def given() -> int:
        by_name = Order(1, id=UUID(int=1), made=datetime(2030, 1, 1, tzinfo=UTC))
        by_place = Order(1, UUID(int=1), datetime(2030, 1, 1, tzinfo=UTC))
        aliased = Model(n=1, id=UUID(int=1), when=datetime(2030, 1, 1, tzinfo=UTC))
        drawn = side_effect(lambda: str(Order(2).id))
        return by_name.n + by_place.n + aliased.n + len(drawn)

    run = Driver(given)
    assert (run.types, run.result) == (["side_effect"], 39)
    assert Order(1).id != Order(1).id
    assert Order(1, UUID(int=3)).id == UUID(int=3)
    assert [each.name for each in fields(Order)] == ["n", "id", "made", "lines"]
    assert Model(n=1).id != Model(n=1).id
    assert Model.model_validate({"n": 1}).n == 1


@pytest.mark.rule("R4")
def test_a_history_of_before_replays_with_what_the_factory_gives_now() -> None:
    @workflow(name="defaults.slept")
    async def slept() -> str:
        order = Order(1)
        await sleep(1)
        return str(order.id)

    run = Driver(slept)
    old = [msgspec.structs.replace(run.history[-1], seq=1)]
    body = msgspec.msgpack.decode(old[0].payload)
    old[0] = msgspec.structs.replace(old[0], payload=msgspec.msgpack.encode(body[:3]))
    assert Driver(slept, history=old).types == ["timer_started"]


@pytest.mark.rule("R3")
def test_an_object_that_is_made_where_none_was_is_drift() -> None:
    @workflow(name="defaults.without")
    async def without() -> None:
        await sleep(1)

    @workflow(name="defaults.added")
    async def added() -> None:
        Order(1)
        await sleep(1)

    history = Driver(without).history
    with pytest.raises(ReplayDriftError, match=r"side effect #1 .*Order\.id\)"):
        Driver(added, history=history)


@pytest.mark.rule("X6")
@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("return Record(1).id", ["default-factory"]),
        ("return Record(n=1).id", ["default-factory"]),
        ("return Record(1, 'a').id", []),
        ("return Record(1, id='a').id", []),
        ("return Record(**x).id", []),
        ("return Steady(1).lines", []),
    ],
)
def test_a_constructor_that_cannot_journal_is_refused_without_the_field(
    tmp_path: Path, body: str, rules: list[str]
) -> None:
    above = """
        import msgspec, uuid
        class Record(msgspec.Struct):
            n: int
            id: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))
        class Steady(msgspec.Struct):
            n: int
            lines: list = msgspec.field(default_factory=list)
    """
    found = findings_of(tmp_path, body, above)
    assert [f.rule for f in found] == rules
    assert all(f.severity == "error" and "pass id=" in f.remedy for f in found)


def test_a_factory_whose_value_cannot_be_journaled_is_just_called() -> None:
    @dataclass
    class Held:
        n: int
        roll: Callable[[], UUID] = field(default_factory=lambda: (uuid.uuid4(), lambda: uuid.UUID(int=5))[1])

    @workflow(name="defaults.held")
    async def held() -> str:
        return str(Held(1).roll())

    assert run_sync(held()) == str(UUID(int=5))
