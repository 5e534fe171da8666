"""A workflow that kills the engine that runs it, and some that do no harm."""

from __future__ import annotations

from continuum.config import configure
from continuum.core.definitions import activity, workflow
from continuum.core.effects import sleep
from tests.cluster import harm

configure(trusted_modules=["tests.cluster.harm"])


@activity
def add_one(number: int) -> int:
    return number + 1


@workflow
async def killer(how: str) -> int:
    number = await add_one(0)
    harm.do(how)
    return await add_one(number)


@workflow
async def neighbour(turns: int) -> int:
    number = 0
    for _ in range(turns):
        number = await add_one(number)
        await sleep(0.1)
    return number
