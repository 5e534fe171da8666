"""The application that is measured: as little of its own as can be, so that what costs time is Continuum."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from continuum import Retry, Signal, activity, activity_info, now, sleep_until, workflow

STEPS = 10
CHAIN_EVENTS = 2 * STEPS  # each step is scheduled and completed; begin and end of a run are in its row

go = Signal("go", int)
until = Signal("until", datetime)


@activity
def add_one(value: int) -> int:
    return value + 1


@workflow
async def chain(value: int) -> int:
    for _ in range(STEPS):
        value = await add_one(value)
    return value


@workflow
async def count_up(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = await add_one(value)
    return value


@workflow
async def noop(value: int) -> int:
    return value


@workflow
async def one_step(value: int) -> int:
    return await add_one(value)


@workflow
async def waits_signal() -> int:
    return await go.wait()


@workflow
async def fan_out(width: int) -> int:
    return sum(await asyncio.gather(*(add_one(value) for value in range(width))))


@workflow
async def rests(in_a_wait: bool) -> None:
    """Once told until when, it waits for that moment, by a timer or by a wait that is limited."""
    moment = await until.wait()
    if in_a_wait:
        with suppress(TimeoutError):
            await go.wait(timeout=moment - now())
    else:
        await sleep_until(moment)


@workflow
async def sleeps_until(moment: datetime) -> None:
    await sleep_until(moment)


@activity(retry=Retry(max_attempts=2, initial=0.001))
async def hold_once() -> int:
    """The first attempt lasts until its worker dies, the second is done at once."""
    if activity_info().attempt == 1:
        await asyncio.sleep(3600)
    return activity_info().attempt


@workflow
async def holds_once() -> int:
    return await hold_once()
