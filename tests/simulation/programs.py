"""Random workflows: a program is data, so that a seed can draw one, and its right result can be computed beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from continuum.core.attempt import activity_info
from continuum.core.call import Call
from continuum.core.definitions import activity, workflow
from continuum.core.effects import side_effect, sleep, uuid4, wait_signal
from continuum.core.saga import compensate_all, saga
from continuum.errors import ActivityError
from continuum.model.retry import Retry

Step = list[Any]
LOST = "lost"  # an activity with one attempt, whose worker died


@activity(name="sim.add", retry=Retry(max_attempts=50, initial=0.2, max_delay=2.0))
def add(a: int, b: int) -> int:
    return a + b


@activity(name="sim.once", retry=Retry(max_attempts=1))
def once(a: int) -> int:
    return a + 1


@activity(
    name="sim.flaky", retry=Retry(max_attempts=50, initial=0.1, max_delay=8.0, non_retryable=("KeyError",))
)
def flaky(a: int, failures: int) -> int:
    if activity_info().attempt <= failures:
        raise ValueError("not yet")
    return a + failures


@activity(name="sim.refused", retry=Retry(max_attempts=5, non_retryable=(LookupError,)))
def refused(a: int) -> int:
    raise KeyError(a)


@activity(name="sim.slow", retry=Retry(max_attempts=200, initial=0.1, max_delay=0.5), timeout=1.0)
def slow(a: int) -> int:
    return a + 2


@activity(name="sim.undo", retry=Retry(max_attempts=50, initial=0.1, max_delay=2.0))
def undo(tag: int, index: int) -> None: ...


@activity(name="sim.undo-once", retry=Retry(max_attempts=1))
def undo_once(tag: int, index: int) -> None: ...


@workflow(name="sim.program")
async def program(steps: list[Step]) -> list[Any]:
    return await _run(steps)


async def _run(steps: list[Step]) -> list[Any]:
    out: list[Any] = []
    for kind, *rest in steps:
        out.append(await _EFFECTS[kind](*rest))
    return out


async def _once(a: int) -> Any:
    try:
        return await once(a)
    except ActivityError as error:
        return LOST if error.type == "attempts_exhausted" else error.type


async def _refused(a: int) -> str:
    try:
        return str(await refused(a))
    except ActivityError as error:
        return f"{error.type} {error.attempts}"


async def _gather(branches: list[list[Step]]) -> list[Any]:
    return list(await asyncio.gather(*(_run(branch) for branch in branches)))


async def _deadline(limit: float, a: int) -> str:
    try:
        async with asyncio.timeout(limit):
            await add(a, 1)
            return "in time"
    except TimeoutError:
        return "late"


async def _saga(tag: int, count: int, fails: bool, parallel: bool, limit: float | None) -> list[Any]:
    """What the scope is left with, and how many calls it was given."""
    pushed = 0
    try:
        async with asyncio.timeout(limit), saga() as scope:
            scope.parallel = parallel
            for index in range(count):
                await (once(index) if index % 2 else add(index, tag))
                scope.push(_undo(tag, index))
                pushed += 1
            if fails:
                await refused(tag)
    except ActivityError:
        return ["failed", pushed]
    except TimeoutError:
        return ["late", pushed]
    return ["fine", pushed]


async def _undoing(tag: int, count: int, fails: bool, parallel: bool) -> list[Any]:
    for index in range(count):
        call = add(index, tag)
        if index % 2:
            await call.options(compensate=lambda total: _undo(tag, total - tag))
        else:
            await call.options(compensate=_undo(tag, index))
    if fails:
        await compensate_all(parallel)
        await compensate_all(parallel)
    return ["failed" if fails else "fine", count]


def _undo(tag: int, index: int) -> Call[None]:
    return (undo_once if index % 3 == 2 else undo)(tag, index)


async def _sleep(duration: float) -> str:
    await sleep(duration)
    return "slept"


async def _maybe(name: str, timeout: float) -> str:
    try:
        return str(await wait_signal(name, timeout=timeout))
    except TimeoutError:
        return "nobody"


async def _effect() -> bool:
    return bool(side_effect(lambda: 7) == 7 and uuid4().version == 4)


_EFFECTS: dict[str, Any] = {
    "add": add,
    "once": _once,
    "flaky": flaky,
    "refused": _refused,
    "slow": slow,
    "sleep": _sleep,
    "signal": wait_signal,
    "maybe": _maybe,
    "gather": _gather,
    "deadline": _deadline,
    "effect": _effect,
    "saga": _saga,
    "undoing": _undoing,
}


def draw(random: Random, depth: int = 0) -> list[Step]:
    """Return a random program. Signals are only awaited outside branches, so that their order is certain."""
    steps: list[Step] = []
    for _ in range(random.randint(1, 4 if depth else 7)):
        n = random.randint(0, 9)
        choices: list[Step] = [
            ["add", n, n],
            ["add", n, n],
            ["once", n],
            ["flaky", n, random.randint(0, 3)],
            ["refused", n],
            ["slow", n],
            ["sleep", random.choice([0.0, 0.01, 1.0, 7.5, 25.0])],
            ["deadline", random.choice([0.05, 0.5, 20.0]), n],
            ["effect"],
            _draw_saga(random),
        ]
        if depth == 0:
            choices.append(["undoing", random.getrandbits(24), n % 4, random.random() < 0.5, n > 4])
            choices += [["signal", "s"], ["signal", "t"], ["maybe", "u", random.choice([0.5, 10.0])]]
        if depth < 2:
            choices.append(["gather", [draw(random, depth + 1) for _ in range(random.randint(2, 3))]])
        steps.append(random.choice(choices))
    return steps


def _draw_saga(random: Random) -> Step:
    tag, count, limit = random.getrandbits(24), random.randint(0, 4), random.choice([None, None, 0.5, 5.0])
    return ["saga", tag, count, random.random() < 0.7, random.random() < 0.5, limit]


def undone(steps: list[Step], result: list[Any]) -> list[list[int]]:
    """The (tag, index) of all that a program with this result has undone, in no order."""
    found: list[list[int]] = []
    kept: list[list[int]] = []
    for (kind, *rest), value in zip(steps, result, strict=True):
        if kind == "gather":
            for branch, part in zip(rest[0], value, strict=True):
                found += undone(branch, part)
        elif kind == "saga" and value[0] != "fine":
            found += [[rest[0], index] for index in range(value[1])]
        elif kind == "undoing":
            kept += [[rest[0], index] for index in range(value[1])]
            if value[0] == "failed":
                found, kept = found + kept, []
    return found


def signals_of(steps: list[Step]) -> list[tuple[str, int]]:
    """The signals that the program waits for without a limit, and what they carry: a count per name."""
    counts: dict[str, int] = {}
    signals = []
    for kind, *rest in steps:
        if kind == "signal":
            counts[rest[0]] = counts.get(rest[0], 0) + 1
            signals.append((str(rest[0]), counts[rest[0]]))
    return signals


def is_right(steps: list[Step], result: list[Any]) -> bool:
    """True if ``result`` is one that the program may give, whatever died while it ran."""
    counts: dict[str, int] = {}
    return len(steps) == len(result) and all(
        _is_right(step, value, counts) for step, value in zip(steps, result, strict=True)
    )


def _is_right(step: Step, value: Any, counts: dict[str, int]) -> bool:
    kind, *rest = step
    if kind == "signal":
        counts[rest[0]] = counts.get(rest[0], 0) + 1
        return bool(value == counts[rest[0]])
    if kind == "gather":
        return all(is_right(branch, part) for branch, part in zip(rest[0], value, strict=True))
    if kind == "refused":
        return str(value).startswith("KeyError ")
    if kind == "saga":
        _, count, fails, _, limit = rest
        usual = ("failed", count) if fails else ("fine", count)
        early = count > 1 or (limit is not None and value[0] == "late")  # a lost step, or the time was over
        return tuple(value) == usual or (early and value[0] != "fine" and 0 <= value[1] <= count)
    return value in _possible(kind, rest)


def _possible(kind: str, rest: list[Any]) -> tuple[Any, ...]:
    values: dict[str, Callable[[], tuple[Any, ...]]] = {
        "add": lambda: (rest[0] + rest[1],),
        "once": lambda: (rest[0] + 1, LOST),
        "flaky": lambda: (rest[0] + rest[1],),
        "slow": lambda: (rest[0] + 2,),
        "sleep": lambda: ("slept",),
        "maybe": lambda: ("hello", "nobody"),
        "deadline": lambda: ("in time", "late"),
        "effect": lambda: (True,),
        "undoing": lambda: (["failed" if rest[2] else "fine", rest[1]],),
    }
    return values[kind]()
