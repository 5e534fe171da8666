"""A durable timer: what ``sleep``, ``asyncio.sleep``, ``asyncio.timeout`` and ``loop.call_later`` come down to (T)."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from continuum.core.site import site_text, user_site
from continuum.core.step import TimerSet, more
from continuum.model.events import EventBody, TimerFired, TimerStarted

if TYPE_CHECKING:
    from continuum.core.machine import Machine


class DurableTimer(asyncio.TimerHandle):
    """A ``TimerHandle`` whose time is kept by the journal; ``seq`` is its ``TimerStarted``."""

    __slots__ = ("seq",)

    def __init__(
        self,
        seq: int,
        when: float,
        callback: Callable[..., object],
        args: Any,
        loop: AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.seq = seq


class PendingTimer:
    """``when``: the time it was set for, in microseconds since the epoch."""

    __slots__ = ("handle", "when")

    def __init__(self, handle: DurableTimer, when: int) -> None:
        self.handle, self.when = handle, when

    def arrive(self, machine: Machine, seq: int, body: EventBody) -> bool:
        if not isinstance(body, TimerFired):
            return False
        del machine.pending[seq]
        machine.loop.call_soon(self.handle._run)
        return True

    def withdrawn(self, machine: Machine, seq: int) -> None:
        machine.clear_timer(seq)


def start_timer(
    machine: Machine,
    delay_s: float | None,
    until: int | None,
    callback: Any,
    args: Any,
    context: Context | None,
) -> DurableTimer:
    """The code asks for a timer, of a duration or until a moment (microseconds since the epoch)."""
    cursor = machine.cursor
    site = site_text(user_site())
    recorded = cursor.expected()
    delay_s = None if delay_s is None else round(delay_s, 6)
    if recorded is None:
        cursor.issue(TimerStarted(delay_s, until, site, cursor.drawn))
        machine.out.timers_set = more(machine.out.timers_set, TimerSet(cursor.seq, delay_s, until))
    elif type(recorded) is TimerStarted and cursor.drew(recorded):
        cursor.accept()
    else:
        cursor.drifted("timer", site)
    when = cursor.at + round(delay_s * 1e6) if delay_s is not None else until or 0
    handle = DurableTimer(cursor.seq, when / 1e6, callback, args, machine.loop, context)
    machine.pending[cursor.seq] = PendingTimer(handle, when)
    return handle
