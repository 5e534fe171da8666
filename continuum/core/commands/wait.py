"""A wait for a signal, with or without a limit (chapter S)."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Any, TypeGuard

from continuum.core.loop import outside
from continuum.core.pending import CommandFuture, Restore, command_future, settle
from continuum.core.site import site_text, user_site
from continuum.core.step import TimerSet, more
from continuum.model.events import EventBody, SignalAwaited, SignalReceived, TimerFired
from continuum.model.restore import DrawingRestorer

if TYPE_CHECKING:
    from continuum.core.machine import Machine


class PendingWait:
    """A wait for a signal. ``when``: the time it ends at, in microseconds since the epoch, None for never; its timer,
    of the same sequence number, is set by the commit, and fires no sooner."""

    __slots__ = ("future", "name", "restore", "when")

    def __init__(self, name: str, restore: Restore, future: CommandFuture, when: int | None) -> None:
        self.name, self.restore, self.future, self.when = name, restore, future, when

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if isinstance(body, SignalReceived):
            self._end(machine, seq)
            if self.when is not None:
                machine.clear_timer(seq)
            machine.inbox.learn(body.signal_id)
            settle(machine, self.future, self.restore, body.value, f"signal {self.name}")
        elif isinstance(body, TimerFired) and self.when is not None:
            self._end(machine, seq)
            self.future.set_exception(TimeoutError(f"no signal {self.name!r} in time"))
        else:
            return False
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        machine.inbox.end_wait(self.name, seq)
        if self.when is not None:
            machine.clear_timer(seq)

    def _end(self, machine: Machine, seq: int) -> None:
        del machine.pending[seq]
        machine.inbox.end_wait(self.name, seq)


def wait(machine: Machine, name: str, restore: Restore, timeout_s: float | None) -> Future[Any]:
    """The code waits for the next signal of that name."""
    cursor = machine.cursor
    site = site_text(user_site())
    recorded = cursor.expected()
    if recorded is None:
        early = machine.inbox.take(name)
        if early is not None:
            signal_id, value = early[0], kept(restore, early[1])
            cursor.issue(SignalReceived(name, signal_id, value, cursor.at, 0, site, cursor.drawn))
            machine.out.signals_consumed = more(machine.out.signals_consumed, signal_id)
            return settle(machine, machine.loop.create_future(), restore, value, name)
        cursor.issue(SignalAwaited(name, timeout_s, site, cursor.drawn))
        if timeout_s is not None:
            machine.out.timers_set = more(machine.out.timers_set, TimerSet(cursor.seq, timeout_s, None))
    elif type(recorded) is SignalAwaited and recorded.name == name and cursor.drew(recorded):
        cursor.accept()
        timeout_s = recorded.timeout_s
    elif _came_early(recorded, name) and cursor.drew(recorded):
        cursor.accept()
        machine.inbox.learn(recorded.signal_id)
        return settle(machine, machine.loop.create_future(), restore, recorded.value, name)
    else:
        cursor.drifted(f"wait for signal {name}", site)
    seq = cursor.seq
    future = command_future(machine, seq)
    when = None if timeout_s is None else cursor.at + round(timeout_s * 1e6)
    machine.pending[seq] = PendingWait(name, restore, future, when)
    machine.inbox.add_wait(name, seq)
    return future


def kept(restore: Restore, value: bytes) -> bytes:
    """Return what the journal keeps of the payload of a signal that is restored so."""
    if type(restore) is not DrawingRestorer:
        return value
    with outside():
        return restore.completed(value)


def _came_early(recorded: EventBody, name: str) -> TypeGuard[SignalReceived]:
    """True for a signal that was there before its wait (S2)."""
    return type(recorded) is SignalReceived and recorded.command == 0 and recorded.name == name
