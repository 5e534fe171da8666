"""A workflow whose history a test makes larger than an engine's memory, and one that shows that others go on."""

from __future__ import annotations

from continuum.core.definitions import activity, workflow
from continuum.core.effects import wait_signal


@activity(name="large.add_one")
def add_one(number: int) -> int:
    return number + 1


@workflow(name="large.collects")
async def collects() -> int:
    total = 0
    while (value := await wait_signal("go")) is not None:
        total += len(str(value))
    return total


@workflow(name="large.neighbour")
async def neighbour(turns: int) -> int:
    number = 0
    for _ in range(turns):
        number = await add_one(number)
    return number
