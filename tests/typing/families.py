"""What a checker knows of children, sagas and continuations: the result of a child, and that nothing comes after."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type
from uuid import UUID

from continuum import (
    ChildRef,
    call,
    compensate,
    compensate_all,
    continue_as_new,
    patched,
    saga,
    start_child,
    workflow,
)
from continuum.testing import SyncRun, start_sync
from tests.typing.defining import Order, charge, checkout, count, plain, refund

ORDER = Order("o1", 4200)


@workflow
async def parent(order: Order) -> list[str]:
    assert_type(await checkout(order), list[str])
    assert_type(await asyncio.gather(checkout(order), charge(order)), tuple[list[str], str])
    assert_type(await asyncio.create_task(checkout(order, notify=True)), list[str])
    ref = await start_child(checkout(order), id="first")
    assert_type(ref, ChildRef[list[str]])
    assert_type(ref.id, UUID)
    assert_type(await ref, list[str])
    assert_type(await start_child(plain()), ChildRef[None])
    assert_type(await (await start_child(call("shop.checkout", 1))), Any)
    assert_type(patched("new way"), bool)
    return await ref


@workflow
async def wrong_parent(order: Order) -> int:
    await checkout("o1")  # E: arg-type
    text: str = await checkout(order)  # E: assignment
    await start_child(charge(order))  # E: arg-type
    await start_child(checkout)  # E: arg-type
    await start_child(checkout(order), id=1)  # E: arg-type
    ref: ChildRef[str] = await start_child(checkout(order))  # E: arg-type
    number: int = await (await start_child(checkout(order)))  # E: arg-type
    patched(1)  # E: arg-type
    return await checkout(order)  # E: return-value


@workflow
async def undoing(order: Order) -> str:
    async with saga() as undo:
        undo.parallel = True
        payment = await charge(order)
        undo.push(refund(payment))
        undo.push(refund)  # E: arg-type
        undo.push(lambda: refund(payment))  # E: arg-type
        undo.push("refund")  # E: arg-type
    assert_type(await charge(order).options(compensate=refund("p1")), str)
    assert_type(await charge(order).options(compensate=refund), str)
    assert_type(await charge(order).options(compensate=lambda payment: refund(payment[:9])), str)
    assert_type(await charge(order).options(compensate=None, timeout=3), str)
    await count().options(compensate=refund)  # E: arg-type
    await charge(order).options(compensate="refund")  # E: arg-type
    await compensate(refund(payment))
    await compensate_all(parallel=True)
    await compensate(refund)  # E: arg-type
    await compensate_all("all")  # E: arg-type
    return payment


@workflow
async def endless(cursor: int, found: str | None = None) -> str:
    if found is None:
        continue_as_new(endless(cursor + 1, await charge(ORDER)))
    assert_type(found, str)
    return found


@workflow
async def beyond(order: Order) -> str:
    continue_as_new(checkout(order))
    return 3  # no error: no code is reached here


@workflow
async def wrong_successor(order: Order) -> str:
    if order.cents:
        continue_as_new(charge(order))  # E: arg-type
    if order.id:
        continue_as_new(checkout)  # E: arg-type
    continue_as_new(checkout("o1"))  # E: arg-type


run = start_sync(parent(ORDER))
assert_type(run.children, tuple[SyncRun[Any], ...])
run.cancel(reason="enough", cleanup=30)
run.cancel(cleanup="30s")  # E: arg-type
