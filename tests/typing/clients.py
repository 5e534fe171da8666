"""What a checker knows of clients: a handle carries the result of the call that it was made from."""

from __future__ import annotations

from typing import Any, assert_type

import continuum
from continuum import AsyncClient, AsyncRunHandle, Client, RunHandle, Signal, call
from tests.typing.defining import Order, charge, checkout, plain

ORDER = Order("o1", 4200)
approved = Signal("approved", bool)


def blocking(client: Client) -> None:
    run = client.start(checkout(ORDER), id="o1", namespace="billing", attributes={"plan": "pro"})
    assert_type(run, RunHandle[list[str]])
    assert_type(run.result(timeout=30), list[str])
    assert_type(client.start_many([checkout(ORDER), checkout(ORDER)]), list[RunHandle[list[str]]])
    assert_type(client.start(call("shop.checkout", 1)).result(), Any)
    assert_type(client.result(run.id), Any)
    assert_type(continuum.start(plain()), RunHandle[None])
    assert_type(continuum.start_many([checkout(ORDER)])[0].result(), list[str])
    client.signal(run.id, approved, True)
    client.signal(run.id, "approved", {"any": "payload"})
    run.signal(approved, False)

    client.start(charge(ORDER))  # E: arg-type
    client.start(checkout)  # E: arg-type
    client.start(checkout("o1"))  # E: arg-type
    client.start(checkout(ORDER), if_exists="replace")  # E: arg-type
    client.start_many(checkout(ORDER))  # E: arg-type
    number: int = client.start(checkout(ORDER)).result()  # E: assignment
    client.signal(run.id, approved, "yes")  # E: misc
    run.signal(approved, "yes")  # E: misc
    continuum.start(plain(), delay="1h")  # E: arg-type


async def asynchronous(client: AsyncClient) -> None:
    run = await client.start(checkout(ORDER))
    assert_type(run, AsyncRunHandle[list[str]])
    assert_type(await run.result(), list[str])
    assert_type(await client.start_many([plain()]), list[AsyncRunHandle[None]])
    assert_type(client.handle("o1"), AsyncRunHandle[Any])
    await client.signal(run.id, approved, True)

    await client.start(charge(ORDER))  # E: arg-type
    number: int = await run.result()  # E: assignment
    await client.signal(run.id, approved, 7)  # E: misc
    nothing = await (await client.start(plain())).result()  # E: func-returns-value
