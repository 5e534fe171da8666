"""What the executor of a worker gives an activity, and what it makes of whatever comes out of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from continuum.core.attempt import ActivityInfo, activity_info
from continuum.errors import ContinuumError
from tests.unit.executor_bench import RUN, Bench, Order, bench, double, double_async

__all__ = ["bench"]  # a fixture


@pytest.mark.parametrize("fn", [double, double_async])
def test_arguments_are_typed_and_the_result_is_a_payload(bench: Bench, fn: Callable[..., Any]) -> None:
    assert bench.value(bench.start(fn, Order("o", 21))) == {"id": "o", "cents": 42}


def raise_value_error() -> None:
    raise ValueError("no")


async def raise_value_error_async() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("fn", [raise_value_error, raise_value_error_async])
def test_an_exception_is_a_retryable_failure_without_our_frames(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn)
    failure = bench.failure(key)
    assert (failure.type, failure.message) == ("ValueError", "no")
    assert fn.__name__ in failure.traceback
    assert "attempt.py" not in failure.traceback
    assert bench.results[key].retryable


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit(3)


def leave() -> None:
    raise SystemExit(1)


def interrupt() -> None:
    raise KeyboardInterrupt


def raise_unspeakable() -> None:
    raise Unspeakable


async def raise_unspeakable_async() -> None:
    raise Unspeakable


async def leave_async() -> None:
    raise SystemExit(1)


async def interrupt_async() -> None:
    raise KeyboardInterrupt


async def cancel_itself() -> None:
    raise asyncio.CancelledError


@pytest.mark.rule("A4")
@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (leave, "SystemExit"),
        (leave_async, "SystemExit"),
        (interrupt, "KeyboardInterrupt"),
        (interrupt_async, "KeyboardInterrupt"),
        (cancel_itself, "CancelledError"),
        (raise_unspeakable, "Unspeakable"),
        (raise_unspeakable_async, "Unspeakable"),
    ],
)
def test_nothing_that_an_activity_raises_ends_the_worker(
    bench: Bench, fn: Callable[..., Any], kind: str
) -> None:
    assert bench.failure(bench.start(fn)).type.rpartition(".")[2] == kind
    assert bench.value(bench.start(double, Order("o", 1))) == {"id": "o", "cents": 2}
    assert bench.value(bench.start(double_async, Order("o", 1))) == {"id": "o", "cents": 2}


def return_a_function() -> object:
    return double


async def return_a_function_async() -> object:
    return double


@pytest.mark.parametrize("fn", [return_a_function, return_a_function_async])
def test_a_result_that_is_no_payload_fails_for_good(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn)
    assert bench.failure(key).type == "continuum.errors.PayloadError"
    assert "result" in bench.failure(key).message
    assert not bench.results[key].retryable


@pytest.mark.parametrize("fn", [double, double_async])
def test_arguments_that_do_not_fit_fail_for_good(bench: Bench, fn: Callable[..., Any]) -> None:
    key = bench.start(fn, "not an order")
    assert bench.failure(key).type == "continuum.errors.PayloadError"
    assert not bench.results[key].retryable


def test_an_unknown_activity_may_be_known_to_another_worker(bench: Bench) -> None:
    key = bench.start("nobody.has_this")
    assert bench.failure(key).type == "continuum.UnknownActivity"
    assert "nobody.has_this" in bench.failure(key).message
    assert bench.results[key].retryable


infos: list[ActivityInfo] = []


def note_info() -> None:
    infos.append(activity_info())


async def note_info_async() -> None:
    await asyncio.sleep(0)
    infos.append(activity_info())


@pytest.mark.parametrize("fn", [note_info, note_info_async])
def test_an_activity_can_ask_which_attempt_it_is(bench: Bench, fn: Callable[..., Any]) -> None:
    infos.clear()
    bench.value(bench.start(fn, timeout_s=60.0))
    (info,) = infos
    assert (info.run_id, info.activity, info.attempt, info.idempotency_key) == (RUN, fn.__name__, 1, "key")
    assert info.deadline is not None
    assert info.deadline.tzinfo is not None


def test_outside_an_activity_there_is_no_attempt_to_ask_for() -> None:
    with pytest.raises(ContinuumError, match="outside an activity"):
        activity_info()
