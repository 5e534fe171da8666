"""Heartbeats: from the body of an activity to the attempt after it (A11)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from continuum import activity, heartbeat, last_heartbeat, workflow
from continuum.core.failure import encode_failure
from continuum.errors import ContinuumError, PayloadError
from continuum.model import payload
from continuum.model.events import ActivityRetried, Failure, from_row
from continuum.model.retry import Retry
from continuum.runtime.worker import BEATS_S
from continuum.wire.messages import Execute, Finished, Heartbeat, Recover
from tests.unit.engine_house import RUN, House
from tests.unit.executor_bench import Bench, bench
from tests.unit.test_worker import Scene, scene, successor

__all__ = ["bench", "scene"]  # fixtures


@activity(name="beating.walk", retry=Retry(max_attempts=3, initial=1.0, jitter=0.0), heartbeat_timeout=20.0)
def walk(distance: int) -> int:
    return distance


@workflow(name="beating.walks")
async def walks() -> int:
    return await walk(1)


@workflow(name="beating.impatient")
async def impatient() -> int:
    return await walk(1).options(heartbeat_timeout=2.5)


# -- in the body


@pytest.mark.rule("A11")
@pytest.mark.parametrize("function", [heartbeat, last_heartbeat])
def test_outside_an_activity_there_is_a_clear_error(function: Callable[[], object]) -> None:
    with pytest.raises(ContinuumError, match=rf"{function.__name__}\(\) was called outside an activity"):
        function()


def say(seen: list[object]) -> None:
    seen.append(last_heartbeat())
    heartbeat("row", 7)


async def say_async(seen: list[object]) -> None:
    say(seen)


seen: list[object] = []


def say_half_way() -> None:
    say(seen)


async def say_half_way_async() -> None:
    say(seen)


@pytest.mark.rule("A11")
@pytest.mark.parametrize("fn", [say_half_way, say_half_way_async])
@pytest.mark.parametrize(("last", "found"), [(None, None), ([], ()), (["row", 3], ("row", 3))])
def test_an_attempt_sees_the_last_details_of_the_one_before_and_says_its_own(
    bench: Bench, fn: Callable[..., Any], last: list[object] | None, found: object
) -> None:
    seen.clear()
    key = bench.start(fn, last_heartbeat=None if last is None else payload.encode(last))
    assert bench.result(key).ok
    assert seen == [found]
    assert [(of, payload.decode(details)) for of, details in bench.executor.heartbeats()] == [
        (key, ["row", 7])
    ]


def say_what_cannot_be_stored() -> str:
    try:
        heartbeat(object())
    except PayloadError as error:
        return str(error)
    return "no error"


def test_details_that_cannot_be_stored_are_refused_where_they_are_said(bench: Bench) -> None:
    assert "heartbeat[0]" in str(bench.value(bench.start(say_what_cannot_be_stored)))


def say_and_fail() -> None:
    heartbeat("row", 9)
    raise ValueError("no")


@pytest.mark.rule("A11")
def test_a_failed_attempt_brings_its_last_details_along(bench: Bench) -> None:
    result = bench.result(bench.start(say_and_fail))
    assert payload.decode(result.details) == ["row", 9]


# -- silence


silent_until = Event()


def be_silent() -> None:
    heartbeat("begun")
    silent_until.wait(10)


async def be_silent_async() -> None:
    heartbeat("begun")
    await asyncio.sleep(10)


@pytest.mark.rule("A11")
@pytest.mark.parametrize("fn", [be_silent, be_silent_async])
def test_an_attempt_that_says_nothing_for_too_long_has_failed(bench: Bench, fn: Callable[..., Any]) -> None:
    silent_until.clear()
    key = bench.start(fn, heartbeat_timeout_s=0.05)
    failure = bench.failure(key)
    assert (failure.type, bench.results[key].timed_out) == ("TimeoutError", True)
    assert "no heartbeat within its heartbeat_timeout of 0.05 s" in failure.message
    assert payload.decode(bench.results[key].details) == ["begun"]
    silent_until.set()


def talk() -> str:
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        heartbeat()
        silent_until.wait(0.01)
    return "done"


async def talk_async() -> str:
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        heartbeat()
        await asyncio.sleep(0.01)
    return "done"


@pytest.mark.rule("A11")
@pytest.mark.parametrize("fn", [talk, talk_async])
def test_an_attempt_that_talks_may_take_longer_than_its_heartbeat_timeout(
    bench: Bench, fn: Callable[..., Any]
) -> None:
    silent_until.clear()
    assert bench.value(bench.start(fn, heartbeat_timeout_s=0.3)) == "done"


# -- on the way


def beats(messages: list[Any]) -> list[bytes]:
    return [details for message in messages for _, details in message.beats]


def test_a_worker_passes_heartbeats_on_at_most_once_a_second(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.stage.advance(BEATS_S)
    said = []
    for n in range(30):
        scene.executor.beats[scene.task().key] = b"%d" % n
        scene.stage.advance(0.1)
        said += beats(scene.engine.take(Heartbeat))
    scene.stage.advance(BEATS_S)
    said += beats(scene.engine.take(Heartbeat))
    assert len(said) <= 5
    assert said[-1] == b"29", "the last one is never left out"


def test_the_next_owner_of_an_attempt_hears_what_was_said_before(scene: Scene) -> None:
    scene.send(scene.engine, scene.task())
    scene.executor.beats[scene.task().key] = b"far"
    scene.stage.settle()
    new = successor(scene)
    new.send("worker-1", Recover([scene.task().key]))
    scene.stage.settle()
    assert beats(new.take(Heartbeat)) == [b"far"]


# -- in the engine


def details_of(house: House) -> list[bytes]:
    bodies = [from_row(row) for row in house.stage.store.catalog.events(RUN)]
    return [body.details for body in bodies if isinstance(body, ActivityRetried)]


def one(house: House) -> Execute:
    (task,) = house.executes()
    return task


@pytest.mark.rule("A11", "A2")
def test_the_timeout_of_the_call_is_over_that_of_the_decorator() -> None:
    for target, timeout_s in ((walks, 20.0), (impatient, 2.5)):
        house = House()
        house.start(target)
        assert one(house).heartbeat_timeout_s == timeout_s


@pytest.mark.rule("A11", "A4")
def test_what_a_dead_worker_said_last_reaches_the_next_attempt_and_no_other() -> None:
    house = House()
    house.start(walks)
    task = one(house)
    assert task.last_heartbeat is None
    house.worker.send("engine-1", Heartbeat([(task.key, b"near")]), Heartbeat([(task.key, b"far")]))
    house.settle()
    house.stage.kill("worker-1")
    house.worker = house.stage.extra("worker-1", "b-2")
    house.says_ready(house.worker, 10)
    house.advance(1.5)
    second = one(house)
    assert (second.attempt, second.last_heartbeat) == (2, b"far")
    house.fail(second, Failure("ValueError", "no"))
    house.advance(2.5)
    third = one(house)
    assert (third.attempt, third.last_heartbeat) == (3, None), "the attempt before said nothing"
    assert details_of(house) == [b"far", b""]


@pytest.mark.rule("A11")
def test_what_comes_with_the_failure_is_newer_than_any_message() -> None:
    house = House()
    house.start(walks)
    task = one(house)
    house.worker.send("engine-1", Heartbeat([(task.key, b"near")]))
    failure = encode_failure(Failure("ValueError", "no"))
    house.worker.send("engine-1", Finished(*task.key, False, failure, details=b"far"))
    house.settle()
    house.worker.send("engine-1", Heartbeat([(task.key, b"late")]))
    house.advance(1.5)
    assert one(house).last_heartbeat == b"far"


@pytest.mark.rule("A11", "A12")
def test_details_travel_with_an_attempt_that_goes_into_the_database() -> None:
    house = House()
    house.start(walks)
    house.worker.send("engine-1", Heartbeat([(one(house).key, b"far")]))
    house.settle()
    house.engine.drain()
    house.stage.kill("worker-1")
    house.advance(2.0)
    dispatch = house.stage.store.dispatch
    claimer = house.stage.owner("dispatcher")
    house.stage.clock.now += 60
    (row,) = dispatch.claim_tasks(claimer, ["default"], 10)
    assert (row.attempt, row.heartbeat_timeout_s, row.last_heartbeat) == (2, 20.0, b"far")
