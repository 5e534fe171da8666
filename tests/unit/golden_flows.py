"""The workflows that made the golden journals in ``journals/``, and what each journal replays to.

A journal is a history that some version of Continuum wrote. Every later version must replay it: journals are only
ever added, never made anew. To add one:

1. write a workflow here, with a ``name=`` of its own, and a ``Golden`` with how it was driven and where it came to;
2. run ``python -m tests.unit.golden_flows`` in the checkout: it records every golden that has no file yet.

A workflow here must not change any more. If a replay fails, the change that broke it is wrong.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from continuum import (
    ActivityError,
    ChildError,
    Retry,
    Signal,
    WorkflowCall,
    activity,
    activity_info,
    compensate_all,
    days,
    hours,
    minutes,
    now,
    patched,
    random,
    run_info,
    saga,
    side_effect,
    sleep,
    sleep_until,
    start_child,
    today,
    uuid4,
    wait_signal,
    workflow,
)
from continuum.core.definitions import Workflow
from continuum.model.events import EventRow, Failure, from_row, to_row
from continuum.model.history import History
from continuum.testing import SyncRun, start_sync

FOLDER = Path(__file__).parent / "journals"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Line:
    sku: str
    count: int
    price: Decimal


approved = Signal("approved", bool)


@activity(name="golden.double")
def double(number: int) -> int:
    return 2 * number


@activity(name="golden.flaky", retry=Retry(max_attempts=5, initial=30.0, backoff=3.0))
def flaky(failures: int) -> int:
    if activity_info().attempt <= failures:
        raise ConnectionError(f"attempt {activity_info().attempt}")
    return failures


@activity(name="golden.refuse")
async def refuse(reason: str) -> None:
    raise PermissionError(reason)


@activity(name="golden.total")
def total(lines: list[Line]) -> Decimal:
    return sum((line.count * line.price for line in lines), Decimal(0))


@workflow(name="golden.chain")
async def chain(value: int, *, times: int) -> int:
    for _ in range(times):
        value = await double(value)
    return value


@workflow(name="golden.gather")
async def gathered(count: int) -> list[int]:
    return list(await asyncio.gather(*(double(number) for number in range(count))))


@workflow(name="golden.group")
async def grouped(count: int) -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(branch(number)) for number in range(count)]
    return sum(task.result() for task in tasks)


async def branch(number: int) -> int:
    await sleep(minutes(number))
    return await double(number)


@workflow(name="golden.retries")
async def retried() -> int:
    return await flaky(3)


@workflow(name="golden.handled")
async def handled() -> list[Any]:
    try:
        await refuse("closed")
    except ActivityError as error:
        return [error.type, error.message, error.attempts]
    return []


@workflow(name="golden.failed")
async def failing() -> None:
    await refuse("closed")


@workflow(name="golden.raises")
async def raises() -> None:
    await double(1)
    raise ValueError("declined") from KeyError("card")


@workflow(name="golden.sleeps")
async def sleeps() -> dt.timedelta:
    began = now()
    await sleep(hours(2))
    await asyncio.sleep(90)
    return now() - began


@workflow(name="golden.until")
async def until() -> bool:
    moment = dt.datetime(2999, 12, 31, 23, 59, tzinfo=dt.UTC)
    await sleep_until(moment)
    await sleep_until(dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    return now() >= moment


@workflow(name="golden.early_signal")
async def early_signal() -> list[Any]:
    return [await approved.wait(), await wait_signal("note")]


@workflow(name="golden.approval")
async def approval() -> str:
    try:
        return "yes" if await approved.wait(timeout=days(3)) else "no"
    except TimeoutError:
        return "nobody"


@workflow(name="golden.withdrawn_wait")
async def withdrawn_wait() -> list[Any]:
    try:
        async with asyncio.timeout(60):
            await wait_signal("note")
    except TimeoutError:
        pass
    return [await wait_signal("note"), await wait_signal("note")]


@workflow(name="golden.side_effects")
async def side_effects() -> list[Any]:
    seen: list[Any] = [side_effect(lambda: {"set": {1, 2}, "tuple": (1, 2)})]
    try:
        side_effect(lambda: 1 // 0)
    except ActivityError as error:
        seen.append(error.type)
    return seen


@workflow(name="golden.chance")
async def chance() -> list[Any]:
    number = random()
    await sleep(1)
    return [number, uuid4(), random(), today() == now().date(), run_info().workflow]


@workflow(name="golden.draws")
async def draws() -> list[Any]:
    uuid4()
    first = await double(1)
    random()
    uuid4()
    await sleep(1)
    random()
    seen = side_effect(lambda: "once")
    return [first, seen, await double(4)]


@workflow(name="golden.payloads")
async def payloads(lines: list[Line], when: dt.datetime) -> dict[str, Any]:
    return {"total": await total(lines), "when": when, "ids": [UUID(int=7)], "bytes": b"\x00\xff"}


@workflow(name="golden.race")
async def race() -> str:
    tasks = [asyncio.create_task(named(name)) for name in ("left", "right")]
    first: asyncio.Queue[str] = asyncio.Queue()
    for task in tasks:
        task.add_done_callback(lambda done: None if done.cancelled() else first.put_nowait(done.result()))
    winner = await first.get()
    for task in tasks:
        task.cancel()
    await double(1)
    return winner


async def named(name: str) -> str:
    await wait_signal(name)
    return name


@workflow(name="golden.primitives")
async def primitives() -> list[int]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    lock = asyncio.Lock()
    seen: list[int] = []

    async def produce(number: int) -> None:
        async with lock:
            await queue.put(await double(number))

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(produce(number))
        while len(seen) < 3:
            seen.append(await asyncio.wait_for(queue.get(), 60))
    return seen


@workflow(name="golden.abandoned")
async def abandoned() -> str:
    try:
        async with asyncio.timeout(45):
            await flaky(9)
    except TimeoutError:
        return f"gave up after {await double(21)}"
    return "done"


@workflow(name="golden.loop")
async def loop() -> int:
    count = 0
    while await approved.wait(timeout=days(1)):
        count += await double(1)
    return count


@workflow(name="golden.half")
async def half(number: int) -> int:
    await sleep(minutes(number))
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@workflow(name="golden.children")
async def children() -> list[Any]:
    ref = await start_child(half(8), id="eight")
    seen: list[Any] = list(await asyncio.gather(half(2), half(4)))
    try:
        await half(3)
    except ChildError as error:
        seen.append(error.state)
    try:
        async with asyncio.timeout(60):
            await half(100)
    except TimeoutError:
        seen.append("gave up")
    return [*seen, await ref]


@workflow(name="golden.saga")
async def undone(parallel: bool) -> None:
    async with saga() as undo:
        undo.parallel = parallel
        undo.push(double(1))
        undo.push(refuse("too late"))
        undo.push(double(await double(2)))
        raise ValueError("fully booked")


@workflow(name="golden.compensated")
async def compensated() -> int:
    number = await double(2).options(compensate=double)
    number = await double(number).options(compensate=refuse("too late"))
    await compensate_all()
    return number


@workflow(name="golden.patched")
async def changed() -> list[Any]:
    first = patched("first change")
    await sleep(1)
    return [first, patched("second change"), patched("first change"), await double(1)]


@dataclass(frozen=True)
class Golden:
    """``call`` makes the call that was recorded; ``drive`` brings its run to where the journal ends. ``value`` is the
    result, ``error`` the failure's type, and without either the journal ends at a wait."""

    file: str
    call: Callable[[], WorkflowCall[Any]]
    drive: Callable[[SyncRun[Any]], object] = SyncRun.run_out
    signals: tuple[tuple[str, object], ...] = ()
    value: Any = None
    error: str | None = None

    @property
    def workflow(self) -> Workflow[..., Any]:
        call = self.call()
        call.take()
        assert call.target is not None, "a golden calls a workflow of this module"
        return call.target

    @property
    def state(self) -> str:
        ended = "failed" if self.error is not None else "completed"
        return "suspended" if self.value is None and self.error is None else ended


def _each(*steps: Callable[[SyncRun[Any]], object]) -> Callable[[SyncRun[Any]], None]:
    def drive(run: SyncRun[Any]) -> None:
        for step in steps:
            step(run)

    return drive


def _signal(name: str, payload: object) -> Callable[[SyncRun[Any]], None]:
    return lambda run: run.inject_signal(name, payload)


_LINES = [Line("book", 2, Decimal("9.90")), Line("pen", 1, Decimal("0.55"))]
_WHEN = dt.datetime(2030, 5, 17, 12, 30, tzinfo=dt.UTC)

# What the run of journals/chance.json has drawn: the generator must never draw anything else for it.
CHANCE = [
    0.5641422489949565,
    UUID("672a4797-1ed9-4e78-912e-ef27ea80b358"),
    0.945938003628104,
    True,
    "golden.chance",
]

GOLDENS = (
    Golden("chain", lambda: chain(3, times=4), value=48),
    Golden("gather", lambda: gathered(5), value=[0, 2, 4, 6, 8]),
    Golden("group", lambda: grouped(4), value=12),
    Golden("retries", retried, value=3),
    Golden("handled", handled, value=["PermissionError", "closed", 1]),
    Golden("failed", failing, error="continuum.errors.ActivityError"),
    Golden("raises", raises, error="ValueError"),
    Golden("sleeps", sleeps, value=dt.timedelta(seconds=7290)),
    Golden("until", until, value=True),
    Golden("early_signal", early_signal, signals=(("note", [1]), ("approved", True)), value=[True, [1]]),
    Golden("approved", approval, _signal("approved", True), value="yes"),
    Golden("approval_too_late", approval, SyncRun.fire_timer, value="nobody"),
    Golden("approval_pending", approval, lambda run: run.advance(hours(71))),
    Golden(
        "withdrawn_wait",
        withdrawn_wait,
        _each(SyncRun.fire_timer, _signal("note", "a"), _signal("note", "b")),
        value=["a", "b"],
    ),
    Golden("side_effects", side_effects, value=[{"set": {1, 2}, "tuple": (1, 2)}, "ZeroDivisionError"]),
    Golden("chance", chance, value=CHANCE),
    Golden("draws", draws, value=[2, "once", 8]),
    Golden(
        "payloads",
        lambda: payloads(_LINES, _WHEN),
        value={"total": Decimal("20.35"), "when": _WHEN, "ids": [UUID(int=7)], "bytes": b"\x00\xff"},
    ),
    Golden("race", race, _signal("right", None), value="right"),
    Golden("primitives", primitives, value=[0, 2, 4]),
    Golden("abandoned", abandoned, value="gave up after 42"),
    Golden(
        "loop",
        loop,
        _each(*[_signal("approved", True)] * 3, SyncRun.fire_timer),
        error="TimeoutError",
    ),
    Golden("children", children, value=[1, 2, "failed", "gave up", 4]),
    Golden("saga", lambda: undone(False), error="ValueError"),
    Golden("saga_parallel", lambda: undone(True), error="ValueError"),
    Golden("compensated", compensated, value=8),
    Golden("patched", changed, value=[True, True, True, 2]),
)


def record(golden: Golden) -> History:
    """Run a golden and return its history, with nothing in it of the machine that it ran on."""
    run = start_sync(golden.call(), signals=golden.signals)
    try:
        golden.drive(run)
    except Exception:
        if golden.error is None:
            raise
    history = run.history
    return History(history.origin, [_without_place(row) for row in history.rows])


def _without_place(row: EventRow) -> EventRow:
    body = from_row(row)
    failure = getattr(body, "failure", None)
    if not isinstance(failure, Failure):
        return row
    clean = msgspec.structs.replace(failure, traceback=failure.traceback.replace(f"{ROOT}/", ""))
    moved = to_row(row.seq, msgspec.structs.replace(body, failure=clean))
    return msgspec.structs.replace(moved, inserted_at=row.inserted_at)


def main() -> None:
    """Record what has no journal yet."""
    FOLDER.mkdir(exist_ok=True)
    for golden in GOLDENS:
        file = FOLDER / f"{golden.file}.json"
        if not file.exists():
            file.write_text(record(golden).to_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
