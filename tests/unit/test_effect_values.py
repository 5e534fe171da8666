"""A side effect whose value cannot be journaled is refused in words that code can catch, in every replay again."""

from __future__ import annotations

from typing import Any

import pytest

from continuum import PayloadError, RunFailedError, activity, side_effect, workflow
from continuum.testing import replay, run_sync, start_sync


class Unreadable:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def cycle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


VALUES = {
    "object": object,
    "generator": lambda: (n for n in range(3)),
    "surrogate": lambda: "\ud800",
    "large": lambda: "x" * 3_000_000,
    "cycle": cycle,
    "unreadable": Unreadable,
}


@activity(name="effect_values.double")
def double(number: int) -> int:
    return 2 * number


@workflow(name="effect_values.caught")
async def caught(kind: str) -> str:
    try:
        side_effect(VALUES[kind])
    except PayloadError as error:
        await double(1)
        return str(error)
    return "not refused"


@workflow(name="effect_values.passed")
async def passed(kind: str) -> object:
    return side_effect(VALUES[kind])


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_cannot_be_journaled_is_a_payload_error_that_code_can_catch(kind: str) -> None:
    run = start_sync(caught(kind))
    run.run_out()
    assert run.result().startswith("side_effect")
    assert replay(caught, run.history).result == run.result()


@pytest.mark.parametrize("kind", VALUES)
def test_a_run_that_lets_it_pass_fails_in_its_words(kind: str) -> None:
    with pytest.raises(RunFailedError, match=r"continuum\.errors\.PayloadError: side_effect"):
        run_sync(passed(kind))
