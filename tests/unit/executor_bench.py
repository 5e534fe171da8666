"""The executor of a real worker, with real threads and a real loop, and a worker's loop reduced to what it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from continuum.core.definitions import Activity
from continuum.core.failure import decode_failure
from continuum.core.options import ActivityOptions
from continuum.errors import UnknownWorkflowError
from continuum.model import payload
from continuum.model.events import Failure
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.wire.messages import Execute, Finished, Key

RUN = UUID(int=5)
SLOTS = 4
LIMIT_S = 10.0


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()


class Bench:
    """An executor, and a worker's loop reduced to what it needs."""

    def __init__(self) -> None:
        self.activities: dict[str, Activity[..., Any]] = {}
        self.wakes = Event()
        self.executor = ThreadAndLoopExecutor(self.lookup, SLOTS, self.wakes.set, RealClock())
        self.results: dict[Key, Finished] = {}
        self._seq = 0

    def lookup(self, name: str) -> Activity[..., Any]:
        try:
            return self.activities[name]
        except KeyError:
            raise UnknownWorkflowError(name) from None

    def start(
        self,
        fn: Callable[..., Any] | str,
        *args: object,
        timeout_s: float | None = None,
        heartbeat_timeout_s: float | None = None,
        last_heartbeat: bytes | None = None,
    ) -> Key:
        name = fn if isinstance(fn, str) else fn.__qualname__
        if not isinstance(fn, str):
            self.activities[name] = Activity(fn, name, ActivityOptions())
        self._seq += 1
        task = Execute(
            RUN.bytes,
            self._seq,
            1,
            name,
            payload.encode([list(args), {}]),
            timeout_s,
            "key",
            heartbeat_timeout_s,
            last_heartbeat,
        )
        self.executor.start(task)
        return task.key

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            wait_s = min(self.executor.wake_at() - time.monotonic(), 0.01)
            self.wakes.wait(max(0.0, wait_s))
            self.wakes.clear()
            self.executor.tick()
            self.results.update((result.key, result) for result in self.executor.finished())

    def result(self, key: Key) -> Finished:
        self.until(lambda: key in self.results)
        return self.results[key]

    def value(self, key: Key) -> object:
        result = self.result(key)
        assert result.ok, decode_failure(result.payload)
        return payload.decode(result.payload)

    def failure(self, key: Key) -> Failure:
        result = self.result(key)
        assert not result.ok
        return decode_failure(result.payload)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.executor.close()


@dataclass
class Order:
    id: str
    cents: int


def double(order: Order) -> Order:
    return Order(order.id, 2 * order.cents)


async def double_async(order: Order) -> Order:
    await asyncio.sleep(0)
    return Order(order.id, 2 * order.cents)
