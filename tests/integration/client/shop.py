"""Workflows that the tests of clients start; the hand engine never runs their code."""

from __future__ import annotations

from dataclasses import dataclass

from continuum import activity, workflow


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


@dataclass(frozen=True)
class Receipt:
    order: str
    paid: bool


@activity
def charge(order: Order) -> str:
    return order.id


@workflow
async def checkout(order: Order) -> Receipt:
    await charge(order)
    return Receipt(order.id, paid=True)


@workflow
async def archive(order: Order) -> str:
    return order.id


ORDER = Order("o1", 4200)
