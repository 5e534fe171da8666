"""What an order goes through: charge, wait for an approval, hold for a while, ship; or give the money back.

`checkout` reads like a script that runs for a few days in one go. It may, in fact, be interrupted anywhere: a machine
that dies, a deployment, an approval that takes until Monday. It goes on at the line where it was.

    continuum node start shop.flows
    continuum run start shop.flows.checkout --args '[{"id": "o1", "cents": 4200}]'
    continuum run signal RUN approved true

`batch` sells many orders, each as a child.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from continuum import (
    ChildError,
    Retry,
    Signal,
    activity,
    activity_info,
    days,
    saga,
    seconds,
    sleep,
    workflow,
)

from . import ledger

HOLD = seconds(2)  # in which a customer may still call; in a real shop, an hour
ANSWER_S = 0.4  # what the bank and the carrier take to answer, here where they are only played


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


@dataclass(frozen=True)
class Receipt:
    """How an order ended. ``parcel`` is None when it was declined and the money was given back."""

    order: str
    payment: str
    parcel: str | None


@dataclass(frozen=True)
class Delivery:
    """How a batch ended: its orders by their ids, each list in the order in which they were given."""

    shipped: list[str]
    declined: list[str]
    failed: list[str]


approved = Signal("approved", bool)


def charge_key(order: Order) -> str:
    """The same in every attempt, so that the bank knows an attempt that it has seen."""
    return f"charge {order.id}"


def refund_key(order: Order) -> str:
    return f"refund {order.id}"


@activity(retry=Retry(max_attempts=5, initial=0.2, max_delay=30.0), timeout=10.0, idempotency_key=charge_key)
def charge(order: Order) -> str:
    """Take the money and return the payment's id. Safe to repeat: the key is entered once."""
    payment = ledger.enter("charge", key=_key(), order=order.id, cents=order.cents)
    time.sleep(ANSWER_S)  # the worst place to die: the money is taken, and nobody has been told
    return payment.id


@activity(retry=Retry(max_attempts=5, initial=0.2, max_delay=30.0), timeout=10.0, idempotency_key=refund_key)
def refund(order: Order) -> str:
    """Give the money back and return the id of that movement. Safe to repeat."""
    return ledger.enter("refund", key=_key(), order=order.id, cents=-order.cents).id


@activity(retry=Retry(max_attempts=5, initial=0.2, max_delay=30.0), timeout=10.0)
async def ship(order: Order) -> str:
    """Ask the carrier to fetch the parcel and return its number, which is the same however often we ask."""
    await asyncio.sleep(ANSWER_S)
    return f"parcel-{order.id}"


@workflow
async def checkout(order: Order) -> Receipt:
    """Sell an order to its end; what fails once the money is taken gives it back."""
    async with saga() as undo:
        payment = await charge(order)
        undo.push(refund(order))
        if not await _accepted():
            await refund(order)  # nothing has failed: the saga forgets its own
            return Receipt(order.id, payment, parcel=None)
        await sleep(HOLD)
        return Receipt(order.id, payment, parcel=await ship(order))


@workflow
async def batch(orders: list[Order]) -> Delivery:
    """Sell orders side by side, each as a run of its own; one that comes to nothing stops no other."""
    receipts = await asyncio.gather(*[_sold(order) for order in orders])
    delivery = Delivery([], [], [])
    for order, receipt in zip(orders, receipts, strict=True):
        if receipt is None:
            delivery.failed.append(order.id)
        elif receipt.parcel is None:
            delivery.declined.append(order.id)
        else:
            delivery.shipped.append(order.id)
    return delivery


async def _sold(order: Order) -> Receipt | None:
    try:
        return await checkout(order)
    except ChildError:  # it failed, and its saga gave the money back; or somebody cancelled it
        return None


async def _accepted() -> bool:
    try:
        return await approved.wait(timeout=days(3))
    except TimeoutError:
        return False


def _key() -> str:
    key = activity_info().idempotency_key
    assert key is not None, "the activities that move money have one"
    return key
