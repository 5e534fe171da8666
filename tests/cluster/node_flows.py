"""The application of the node tests."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from continuum.core.attempt import activity_info, heartbeat, last_heartbeat
from continuum.core.definitions import activity, workflow
from continuum.core.effects import start_child, wait_signal
from continuum.errors import ActivityError
from continuum.model.retry import Retry

TRIES = Retry(max_attempts=5, initial=0.05)  # the tests kill workers


@activity(retry=TRIES)
def increment(number: int) -> int:
    return number + 1


@activity(retry=TRIES)
async def increment_on_loop(number: int) -> int:
    return number + 1


@activity
def hang(marker: str) -> None:
    """Say so, and never end."""
    Path(marker).write_text(str(os.getpid()))
    threading.Event().wait()


@workflow
async def chain(length: int) -> int:
    number = 0
    for step in range(length):
        number = await (increment(number) if step % 2 else increment_on_loop(number))
    return number


@workflow
async def wait_then_chain(length: int) -> int:
    await increment(0)
    await wait_signal("go")
    number = 0
    for _ in range(length):
        number = await increment(number)
    return number


@workflow
async def stuck(marker: str) -> None:
    await hang(marker)


@activity(isolate=True)
def isolated_pids() -> list[int]:
    return [os.getpid(), os.getppid()]


@activity(isolate=True, retry=TRIES)
def hang_isolated(marker: str) -> int:
    """Say so, and end only in a second attempt."""
    if activity_info().attempt > 1:
        return activity_info().attempt
    Path(marker).write_text(str(os.getpid()))
    threading.Event().wait()
    return 0


@activity
def hang_once(marker: str) -> list[object]:
    """Say so, and end only in a second attempt."""
    attempt, before = activity_info().attempt, last_heartbeat()
    if attempt == 1:
        heartbeat("half")
        Path(marker).write_text(str(os.getpid()))
        threading.Event().wait()
    return [attempt, before]


@workflow
async def hangs_once(marker: str) -> list[object]:
    return await hang_once(marker)


@activity(retry=Retry(max_attempts=2, initial=3.0, jitter=0.0))
def fail_once(marker: str) -> int:
    """Say so and fail; the second attempt is the last."""
    if activity_info().attempt == 1:
        Path(marker).write_text(str(os.getpid()))
        raise ValueError("not yet")
    return activity_info().attempt


@workflow
async def fails_once(marker: str) -> int:
    return await fail_once(marker)


@activity
def occupy(marker: str, gate: str, mark: str) -> str:
    """Say that this has begun, and end when the gate is opened."""
    with Path(marker).open("a") as file:
        file.write(f"{mark}\n")
    while not Path(gate).exists():
        threading.Event().wait(0.02)
    return mark


@workflow
async def occupies(marker: str, gate: str, mark: str) -> str:
    try:
        return await occupy(marker, gate, mark)
    except ActivityError as error:
        return error.type


@workflow
async def alone() -> list[int]:
    return await isolated_pids()


@workflow
async def hangs_alone(marker: str) -> int:
    return await hang_isolated(marker)


@activity
async def hang_until_told(marker: str, told: str) -> None:
    """Say so, wait, and say that it was told to stop."""
    Path(marker).write_text(str(os.getpid()))
    try:
        await asyncio.Event().wait()
    finally:
        Path(told).write_text("told")


@workflow
async def hangs_until_told(marker: str, told: str) -> None:
    await hang_until_told(marker, told)


@workflow
async def family(size: int) -> int:
    """Children that may run anywhere."""
    await wait_signal("go")
    refs = [await start_child(chain(1)) for _ in range(size)]
    return sum([await ref for ref in refs])
