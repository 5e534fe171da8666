"""A workflow whose activity says when it begins and never ends, and one that waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

from continuum.core.definitions import activity, workflow
from continuum.core.effects import wait_signal


@activity
async def work(folder: str) -> str:
    Path(folder, "begun").touch()
    await asyncio.Event().wait()
    return "never"


@workflow
async def working(folder: str) -> str:
    return await work(folder)


@workflow
async def answering() -> str:
    return str(await wait_signal("answer"))
