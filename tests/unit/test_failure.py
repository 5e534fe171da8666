"""Exceptions as text: whatever a user's exception does, there is a text, and it can be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from continuum.core.attempt import ActivityInfo, perform
from continuum.core.definitions import activity, workflow
from continuum.core.effects import Signal, side_effect
from continuum.core.failure import decode_failure, encode_failure, failure_of
from continuum.errors import ActivityError
from tests.unit.engine_house import House
from tests.unit.machine_driver import Driver


class _CauseRaisesError(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise ValueError("no cause")


class _FalseyError(Exception):
    def __bool__(self) -> bool:
        raise ValueError("neither")


class _Leaves(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit(9)


class _Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise AttributeError(name)
        return super().__getattribute__(name)


class _HiddenError(Exception, metaclass=_Nameless):
    pass


def _chained() -> Exception:
    error = ValueError("outer")
    error.__cause__ = _FalseyError("inner")
    return error


ODD: list[Callable[[], Exception]] = [
    lambda: ValueError("a\ud800"),
    lambda: type("Odd", (Exception,), {"__module__": "m\ud800"})("x"),
    lambda: _CauseRaisesError("x"),
    _chained,
    lambda: _Leaves("x"),
    lambda: _HiddenError("x"),
]


@pytest.mark.rule("W3")
@pytest.mark.parametrize("make", ODD)
def test_an_odd_exception_is_a_failure_that_can_be_stored(make: Callable[[], Exception]) -> None:
    failure = failure_of(make())
    assert decode_failure(encode_failure(failure)) == failure
    assert failure.type


@pytest.mark.rule("A4", "A13")
@pytest.mark.parametrize("make", ODD)
def test_an_activity_that_raises_it_is_a_failed_attempt(make: Callable[[], Exception]) -> None:
    @activity(name=f"failure.odd{ODD.index(make)}")
    def odd() -> None:
        raise make()

    info = ActivityInfo(run_id=House().stage.insert()[0], activity="odd", attempt=1)
    outcome = perform(odd, b"\x92\x90\x80", lambda: info)
    assert not outcome.ok
    assert decode_failure(outcome.payload).type


@pytest.mark.parametrize("make", ODD)
def test_a_workflow_that_raises_it_fails_and_nobody_else(make: Callable[[], Exception]) -> None:
    @workflow(name=f"failure.flow{ODD.index(make)}")
    async def flow() -> None:
        raise make()

    assert Driver(flow).failure.type


def test_a_side_effect_that_raises_it_is_recorded() -> None:
    @workflow(name="failure.effect")
    async def flow() -> str:
        try:
            side_effect(lambda: [][int("\udcff")])
        except ActivityError as error:
            return error.type
        return "nothing"

    assert Driver(flow).result == "ValueError"


@pytest.mark.rule("A2")
@pytest.mark.parametrize("name", ["q\ud800", "a\0b", "a" * 3_000_000, "", 5])
def test_names_that_no_database_can_hold_are_refused_where_they_are_given(name: Any) -> None:
    @activity(name="failure.named")
    def named() -> None: ...

    call = named()
    call.take()
    for give in (lambda: call.options(queue=name), lambda: Signal(name)):
        with pytest.raises((TypeError, ValueError)):
            give()


def test_a_step_that_cannot_be_written_parks_its_run_and_not_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    chain = house.start.__globals__["chain"]
    bad = house.start(chain, 1, number=1)
    (task,) = house.executes()
    good = house.start(chain, 1, number=2)
    (other,) = house.executes()
    broken = next(run for run in house.engine._runs.values() if run.lease.run_id == bad)
    monkeypatch.setattr(type(broken.machine), "take", _taking(type(broken.machine).take, broken.machine))
    house.finish(task, 5)
    house.finish(other, 6)
    assert house.result(good) == 6
    row = house.stage.store.catalog.get(bad)
    assert row is not None
    assert row.state == "suspended"
    assert "cannot be written" in str(row.attention)


def _taking(take: Callable[[Any], Any], broken: object) -> Callable[[Any], Any]:
    def taking(machine: Any) -> Any:
        if machine is broken:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
        return take(machine)

    return taking
