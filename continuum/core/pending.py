"""Commands that the code waits for."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from continuum.errors import PayloadError
from continuum.model import payload
from continuum.model.events import EventBody

if TYPE_CHECKING:
    from continuum.core.machine import Machine

Restore = Callable[[object], object]


class Pending(Protocol):
    """What a machine keeps of a command until its answer."""

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        """Take an arrival, recorded or live; False if this command does not wait for such a thing. A command that has
        its answer removes itself from ``machine.pending``."""
        ...

    def withdrawn(self, machine: Machine, seq: int) -> None:
        """The code waits no more (A15, S7); it is removed already."""
        ...


class CommandFuture(Future[Any]):
    """What the code awaits. Cancelling it (``timeout``, ``TaskGroup``, ``task.cancel()``) withdraws the command."""

    __slots__ = ("machine", "seq")

    machine: Machine
    seq: int

    def cancel(self, msg: Any | None = None) -> bool:
        if super().cancel(msg):
            self.machine.withdraw(self.seq)
            return True
        return False


def command_future(machine: Machine, seq: int) -> CommandFuture:
    """Return what the code awaits of this command."""
    future = CommandFuture(loop=machine.loop)
    future.machine, future.seq = machine, seq
    return future


def settle(machine: Machine, future: Future[Any], restore: Restore, value: bytes, path: str) -> Future[Any]:
    """Return the future: it gives the awaiting code the restored value, or the error that says why there is none. A
    value that is no payload at all ends the walk."""
    try:
        decoded = payload.decode(value, path=path)
    except PayloadError as error:
        machine.cursor.damaged(error)
        return future
    try:
        result = restore(decoded)
    except Exception as error:  # noqa: BLE001 - restoring runs the user's constructors
        future.set_exception(error)
    else:
        future.set_result(result)
    return future
