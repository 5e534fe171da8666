"""Commands that the code waits for: what a machine keeps of each until its arrival."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Any, Protocol

from continuum.core.call import ActivityCall
from continuum.core.failure import failure_of
from continuum.core.loop import WorkflowLoop
from continuum.core.step import Dispatch
from continuum.model import payload
from continuum.model.events import SideEffect

Restore = Callable[[object], object]


class Withdrawing(Protocol):
    """The machine, as its futures see it."""

    loop: WorkflowLoop

    def withdraw(self, seq: int) -> None: ...


class CommandFuture(Future[Any]):
    """What the code awaits. Cancelling it (``timeout``, ``TaskGroup``, ``task.cancel()``) withdraws the command."""

    def __init__(self, machine: Withdrawing, seq: int) -> None:
        super().__init__(loop=machine.loop)
        self._machine, self._seq = machine, seq

    def cancel(self, msg: Any | None = None) -> bool:
        if super().cancel(msg):
            self._machine.withdraw(self._seq)
            return True
        return False


class PendingActivity:
    """An attempt that the code waits for."""

    __slots__ = ("args", "attempt", "call", "crew", "delay_s", "future", "key")

    def __init__(
        self, call: ActivityCall[Any], args: bytes, key: str | None, future: CommandFuture, crew: str
    ) -> None:
        self.call, self.args, self.key, self.future, self.crew = call, args, key, future, crew
        self.attempt, self.delay_s = 1, 0.0

    def next_attempt(self, attempt: int, delay_s: float, crew: str) -> None:
        self.attempt, self.delay_s, self.crew = attempt, delay_s, crew

    def dispatch(self, seq: int) -> Dispatch:
        return Dispatch(seq, self.attempt, self.call, self.args, self.key, self.delay_s)


class PendingWait:
    """A wait for a signal, with a timer of its own if ``timed``."""

    __slots__ = ("future", "name", "restore", "timed")

    def __init__(self, name: str, restore: Restore, future: CommandFuture, timed: bool) -> None:
        self.name, self.restore, self.future, self.timed = name, restore, future, timed


def settle(future: Future[Any], restore: Restore, value: bytes, path: str) -> Future[Any]:
    """Return the future: it gives the awaiting code the restored value, or the error that says why there is none."""
    try:
        future.set_result(restore(payload.decode(value, path=path)))
    except Exception as error:  # noqa: BLE001 - restoring runs the user's constructors
        future.set_exception(error)
    return future


def idempotency_key_of(call: ActivityCall[Any]) -> str | None:
    key = call.policy.idempotency_key
    if key is None:
        return None
    value = key(*call.args, **call.kwargs)
    if not isinstance(value, str) or not value:
        raise TypeError(f"idempotency_key of {call.name} returned {value!r}; it must return a text")
    return value


def performed(fn: Callable[[], object], site: str) -> SideEffect:
    try:
        return SideEffect(payload.encode(fn(), path="side_effect"), site)
    except Exception as error:  # noqa: BLE001 - what fn raises is recorded like what it returns
        return SideEffect(b"", site, failure_of(error, skip_frames=1))
