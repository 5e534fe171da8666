"""Random families: runs with children, grandchildren and successors, and the right result of each beside it.

A part is data: ``["add", n]``, ``["child" | "ref" | "limit", parts]``, ``["signal"]``, ``["again"]``. The last two
stand at the top only: signals are answered in order, and a continuation goes on with the parts after it.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from continuum.core.definitions import workflow
from continuum.core.effects import continue_as_new, start_child, wait_signal
from tests.simulation.programs import add

Part = list[Any]
LATE = "late"


@workflow(name="sim.family")
async def family(parts: list[Part], done: list[Any]) -> list[Any]:
    for number, (kind, *rest) in enumerate(parts):
        match kind:
            case "add":
                done.append(await add(rest[0], 1))
            case "child":
                done.append(await family(rest[0], []))
            case "ref":
                ref = await start_child(family(rest[0], []), id=f"ref {number} of {len(done)}")
                done.append(await add(number, 1))
                done.append(await ref)
            case "limit":
                done.append(await _limited(rest[0]))
            case "both":
                done.append(list(await asyncio.gather(*(family(branch, []) for branch in rest[0]))))
            case "signal":
                done.append(await wait_signal("s"))
            case "again":
                continue_as_new(family(parts[number + 1 :], done))
    return done


async def _limited(parts: list[Part]) -> list[Any] | str:
    try:
        async with asyncio.timeout(2.0):
            return await family(parts, [])
    except TimeoutError:
        return LATE


def draw(random: Random, depth: int = 0) -> list[Part]:
    parts: list[Part] = []
    for _ in range(random.randint(1, 5 - 2 * min(depth, 2))):
        kinds = ["add"] + (["child", "ref", "limit", "both"] if depth < 2 else [])
        kinds += ["signal"] if depth == 0 else []
        kinds += ["again"] if depth < 2 else []
        kind = random.choice(kinds)
        match kind:
            case "add":
                parts.append([kind, random.randint(0, 9)])
            case "both":
                parts.append([kind, [draw(random, depth + 1) for _ in range(2)]])
            case "signal" | "again":
                parts.append([kind])
            case _:
                parts.append([kind, draw(random, depth + 1)])
    return parts


def signals_in(parts: list[Part]) -> int:
    return sum(kind == "signal" for kind, *_ in parts)


def is_right(parts: list[Part], result: Any) -> bool:
    """True if ``result`` is one that these parts may give, whatever died while they ran."""
    values = list(result)
    signals = number = done = 0  # ``number``: of the part in its run; a continuation begins to count anew
    for kind, *rest in parts:
        match kind:
            case "again":
                number = 0
                continue
            case "add":
                right = values.pop(0) == rest[0] + 1
            case "child":
                right = is_right(rest[0], values.pop(0))
            case "ref":
                right = values.pop(0) == number + 1 and is_right(rest[0], values.pop(0))
                done += 1
            case "limit":
                value = values.pop(0)
                right = value == LATE or is_right(rest[0], value)
            case "both":
                right = all(is_right(b, v) for b, v in zip(rest[0], values.pop(0), strict=True))
            case _:
                signals += 1
                right = values.pop(0) == signals
        if not right:
            return False
        number += 1
    return not values
