"""What a checker knows inside a workflow: results come out of await, gather, groups, tasks and signals typed."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any, assert_type
from uuid import UUID

from continuum import (
    Signal,
    days,
    now,
    random,
    run_info,
    side_effect,
    sleep,
    sleep_until,
    today,
    uuid4,
    wait_signal,
    workflow,
)
from tests.typing.defining import Order, charge, count, refund

approved = Signal("approved", bool)
orders = Signal("orders", list[Order])
anything = Signal("anything")


@workflow
async def typed(order: Order) -> str:
    assert_type(await charge(order), str)
    assert_type(await count(), int)
    assert_type(await charge(order).options(queue="slow"), str)
    assert_type(await asyncio.gather(charge(order), count()), tuple[str, int])
    assert_type(await asyncio.gather(*[count() for _ in range(3)]), list[int])
    assert_type(await asyncio.create_task(count()), int)
    assert_type(await asyncio.wait_for(charge(order), 3), str)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(charge(order))
    assert_type(task.result(), str)
    assert_type(await approved.wait(), bool)
    assert_type(await approved.wait(timeout=days(3)), bool)
    assert_type(await orders.wait(), list[Order])
    assert_type(await anything.wait(), object)
    assert_type(await wait_signal("approved"), Any)
    assert_type(side_effect(lambda: 3), int)
    assert_type(now(), dt.datetime)
    assert_type(today(), dt.date)
    assert_type(uuid4(), UUID)
    assert_type(random(), float)
    assert_type(run_info().parent_run_id, UUID | None)
    return await charge(order)


@workflow
async def wrong(order: Order) -> int:
    await charge(order.id)  # E: arg-type
    await refund(await count())  # E: arg-type
    text: str = await count()  # E: assignment
    number: int = await approved.wait(timeout="soon")  # E: arg-type
    await sleep("1s")  # E: arg-type
    await sleep_until(dt.timedelta(days=1))  # E: arg-type
    first, second, third = await asyncio.gather(charge(order), count())  # E: misc
    orders.name = 3  # E: assignment
    return await charge(order)  # E: return-value
