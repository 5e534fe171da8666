"""A failing activity looks the same to the workflow, whether a worker or the test kit has run it (A13)."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest

from continuum import ActivityError, PayloadError, Retry, activity, activity_info, workflow
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.run import RunSeed
from continuum.runtime.inprocess import InProcessNode, NoticeQueue
from continuum.testing import run_sync
from continuum.testing.sync import start_sync
from tests.integration.servers import wait_until
from tests.unit.stage import run_id

TWICE = Retry(max_attempts=2, initial=0.001)
released = threading.Event()


class Refused(Exception):  # noqa: N818
    pass


@activity(name="errors.value", retry=TWICE)
def value_error(number: int) -> int:
    raise ValueError(f"attempt {activity_info().attempt} of {number}")


@activity(name="errors.async", retry=TWICE)
async def async_error(number: int) -> int:
    await asyncio.sleep(0)
    return await deeper(number)


async def deeper(number: int) -> int:
    try:
        return [1, 2][number]
    except IndexError as error:
        raise Refused("no such number") from error


@activity(name="errors.final", retry=Retry(max_attempts=5, non_retryable=(LookupError,)))
def final(number: int) -> int:
    raise KeyError(number)


@activity(name="errors.exit")
def leave(number: int) -> int:
    raise SystemExit(number)


@activity(name="errors.cancel")
async def cancel_itself(number: int) -> int:
    raise asyncio.CancelledError("myself")


@activity(name="errors.late", timeout=0.02)
def late(number: int) -> int:
    released.wait(30)
    return number


@activity(name="errors.late_async", timeout=0.02, retry=TWICE)
async def late_async(number: int) -> int:
    await asyncio.sleep(3600)
    return number


@activity(name="errors.result", retry=TWICE)
def no_payload(number: int) -> Any:
    return object()


@activity(name="errors.refusal", retry=TWICE)
def refusal(number: int) -> int:
    raise PayloadError("made by hand")


@activity(name="errors.arguments", retry=TWICE)
def wants_text(number: str) -> int:
    return 0


FAILING: dict[str, Any] = {
    target.name: target
    for target in (
        value_error, async_error, final, leave, cancel_itself, late, late_async, no_payload, refusal, wants_text,
    )
}  # fmt: skip


@workflow(name="errors.flow")
async def flow(name: str) -> list[Any]:
    try:
        return [await FAILING[name](7)]
    except ActivityError as error:
        shape = re.findall(r'File ".*/(.*?)", line (\d+), in (\w+)', error.traceback)
        lines = [line for line in error.traceback.splitlines() if not line.startswith(" ")]
        return [type(error).__name__, error.type, error.message, error.attempts, shape, lines]


@pytest.fixture(scope="module")
def by_workers() -> dict[str, Any]:
    """What the workflow saw of every activity, with a real engine, worker and executor."""
    store, notices = MemoryStore(time.time), NoticeQueue()
    store.subscribe(notices.put)
    runs = {name: run_id(number) for number, name in enumerate(FAILING)}
    with InProcessNode(lambda: nullcontext(store), listener=notices):
        store.catalog.insert(
            [
                RunSeed(id=id, workflow="errors.flow", args=payload.encode([[name], {}]))
                for name, id in runs.items()
            ]
        )
        seen = {name: result_of(store, id) for name, id in runs.items()}
    released.set()
    return seen


def result_of(store: MemoryStore, id: UUID) -> Any:
    wait_until(lambda: store.catalog.endings([id])[id].state == "completed", "the run has completed")
    return payload.decode(store.catalog.endings([id])[id].result or b"")


@pytest.mark.rule("A13", "A4")
@pytest.mark.parametrize("name", FAILING)
def test_the_workflow_sees_the_same_error_in_memory_as_from_a_worker(
    name: str, by_workers: dict[str, Any]
) -> None:
    released.clear()
    assert run_sync(flow(name)) == by_workers[name]
    released.set()


@pytest.mark.rule("A13")
@pytest.mark.parametrize("name", ["errors.value", "errors.async", "errors.late_async"])
def test_every_attempt_stands_in_the_history(name: str) -> None:
    types = [event.type for event in start_sync(flow(name)).history]
    assert types == ["activity_scheduled", "activity_retried", "activity_failed"]
