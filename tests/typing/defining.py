"""What a checker knows of definitions: arguments are those of the function, and a call carries its result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from continuum import ActivityCall, Retry, WorkflowCall, activity, call, workflow


@dataclass(frozen=True)
class Order:
    id: str
    cents: int


@activity
def charge(order: Order, *, currency: str = "EUR") -> str:
    return f"{order.id} {currency}"


@activity(retry=Retry(max_attempts=3), timeout=timedelta(seconds=5), queue="slow")
async def refund(payment: str) -> None: ...


@activity(timeout=1)
def count() -> int:
    return 1


@workflow
async def checkout(order: Order, notify: bool = False) -> list[str]:
    return [await charge(order)]


@workflow(name="shop.plain")
async def plain() -> None: ...


assert_type(charge(Order("o", 1)), ActivityCall[str])
assert_type(charge(Order("o", 1), currency="USD").options(timeout=2.0), ActivityCall[str])
assert_type(refund("p"), ActivityCall[None])
assert_type(count(), ActivityCall[int])
assert_type(checkout(Order("o", 1), notify=True), WorkflowCall[list[str]])
assert_type(plain(), WorkflowCall[None])
call("shop.checkout", 1, 2, anything=True)

charge("o1")  # E: arg-type
charge()  # E: call-arg
charge(Order("o", 1), "USD")  # E: call-arg
charge(Order("o", 1), currency=3)  # E: arg-type
refund(1)  # E: arg-type
checkout(Order("o", 1), notify="yes")  # E: arg-type
checkout(order="o1")  # E: arg-type
plain(1)  # E: call-arg
activity(retry=3)  # E: call-overload
activity(timeout="1s")  # E: call-overload
Retry(max_attempts="3")  # E: arg-type


@workflow  # E: arg-type
def no_coroutine(order: Order) -> str:
    return order.id
