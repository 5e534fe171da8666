"""Runs in memory under a clock that jumps: what an engine, a worker and a timer are to a journal, without any of them.

::

    arrival ──► machine advances ──► release(): events into the run's journal, outputs into the world
                    ▲                                     │ attempts that may run now ─► ready
                    └── deliver: ready attempts, alarms ◄─┘ timers, attempts after a back-off ─► alarms

Time stands still while anything can be done at this moment, and then jumps to the next alarm. An activity takes no
time at all. `World.release` is the one place that reads what a step lets out.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any

from continuum.core.definitions import Activity, Workflow
from continuum.core.drift import describe
from continuum.core.machine import Machine
from continuum.core.step import Crew, Dispatch, Step
from continuum.errors import RunWaitingError
from continuum.model.events import EventRow, from_row
from continuum.model.history import History, Origin
from continuum.model.run import LIVE_STATES, RunState
from continuum.testing.attempt import deliver, perform_inline
from continuum.testing.walk import check_if_paranoid, identity_of

_SECOND = 1_000_000
_CREW = "test:0"


class MemoryRun:
    """A run: its machine, and what a database would hold of it. ``error``: an encoded ``Failure``."""

    def __init__(self, origin: Origin, workflow: Workflow[..., Any]) -> None:
        self.origin, self.workflow = origin, workflow
        self.machine = Machine(identity_of(origin), workflow, origin.args, Crew(_CREW))
        self.rows: list[EventRow] = []
        self.state: RunState = "running"
        self.result: bytes | None = None
        self.error: bytes | None = None
        self.reason: str | None = None
        self.timers: dict[int, int] = {}  # seq -> when it is due, in microseconds since the epoch

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def history(self) -> History:
        return History(self.origin, self.rows)

    def record(self, step: Step, now_us: int) -> None:
        """Write what a commit would write."""
        self.rows += [EventRow(row.seq, row.kind, row.payload, now_us / _SECOND) for row in step.events]
        self.state, self.result, self.error = step.state, step.result, step.error

    def waits_for(self) -> tuple[str, ...]:
        """Say for people what the code waits for, with the source lines."""
        recorded = [from_row(row) for row in self.rows]
        return tuple(describe(recorded, seq - 1) for seq in self.machine.pending)

    def end(self) -> None:
        """Nothing more comes to it."""
        self.timers.clear()
        if self.machine.ended:
            self.machine.close()
        else:
            self.machine.drop()


class World:
    """``stand_ins``: what runs instead of an activity, by its name."""

    def __init__(self, stand_ins: Mapping[str, Activity[..., Any]]) -> None:
        self.now_us = time.time_ns() // 1000
        self._stand_ins = stand_ins
        self._random = Random(0)
        self._signal_ids = 0
        self._ready: deque[tuple[MemoryRun, Dispatch]] = deque()
        self._alarms: list[
            tuple[int, int, MemoryRun, int | Dispatch]
        ] = []  # due, order, run, timer or attempt
        self._order = 0

    # -- what comes to a run

    def begin(self, run: MemoryRun) -> None:
        """Let its code run until it waits."""
        run.machine.begin()
        self.release(run)

    def keep_signal(self, run: MemoryRun, name: str, value: bytes) -> None:
        """Put a signal into the mailbox of a run that has not begun."""
        self._signal_ids += 1
        run.machine.inbox.learn(self._signal_ids)
        run.machine.inbox.keep(self._signal_ids, name, value)

    def signal(self, run: MemoryRun, name: str, value: bytes) -> None:
        self._signal_ids += 1
        run.machine.signal(self._signal_ids, name, value, self.now_us)
        self.release(run)

    def cancel(self, run: MemoryRun, reason: str | None) -> None:
        run.state, run.reason = "cancelled", reason
        run.end()

    # -- what goes on

    def settle(self) -> None:
        """Do all that can be done at this moment, and the attempts whose back-off ends before the next timer."""
        while True:
            while self._ready:
                self._attempt(*self._ready.popleft())
            alarm = self._next()
            if alarm is None or not isinstance(alarm[3], Dispatch):
                return
            self.skip()

    def skip(self, until_us: int | None = None) -> bool:
        """Jump to the next alarm and let it ring; False if there is none, or none until then."""
        alarm = self._next()
        if alarm is None or (until_us is not None and alarm[0] > until_us):
            return False
        due_us, _, run, what = heapq.heappop(self._alarms)
        self.now_us = max(self.now_us, due_us)
        if isinstance(what, Dispatch):
            self._ready.append((run, what))
        else:
            run.machine.fire(what, self.now_us)
            self.release(run)
        return True

    def skip_to_timer(self) -> bool:
        """Jump to the next timer, over what else is due before; False if no timer is set."""
        while (alarm := self._next()) is not None:
            self.skip()
            if not isinstance(alarm[3], Dispatch):
                return True
            self.settle()
        return False

    def waiting(self, run: MemoryRun, advice: str) -> RunWaitingError:
        return RunWaitingError(run.origin.run_id, run.waits_for(), advice)

    # -- inside

    def release(self, run: MemoryRun) -> None:
        """Record what the run did, and let out what the step lets out."""
        if not run.machine.changed:
            return
        step = run.machine.take()
        run.record(step, self.now_us)
        for seq in step.out.timers_cleared:
            run.timers.pop(seq, None)
        if not run.live:
            check_if_paranoid(run.history, run.workflow, step)
            run.end()
            return
        for timer in step.out.timers_set:
            delay_us = None if timer.delay_s is None else round(timer.delay_s * _SECOND)
            due_us = self.now_us + delay_us if delay_us is not None else timer.until or 0
            run.timers[timer.seq] = due_us
            self._set_alarm(due_us, run, timer.seq)
        for dispatch in step.out.dispatches:
            if dispatch.delay_s > 0:
                self._set_alarm(self.now_us + round(dispatch.delay_s * _SECOND), run, dispatch)
            else:
                self._ready.append((run, dispatch))

    def _attempt(self, run: MemoryRun, dispatch: Dispatch) -> None:
        if not _waits(run, dispatch):
            return
        activity = self._stand_ins.get(dispatch.call.name, dispatch.call.target)
        outcome = perform_inline(activity, dispatch, run.origin.run_id)
        if _waits(run, dispatch):  # what it did may have ended the run
            deliver(run.machine, dispatch, outcome, self.now_us, self._random.random)
            self.release(run)

    def _set_alarm(self, due_us: int, run: MemoryRun, what: int | Dispatch) -> None:
        self._order += 1
        heapq.heappush(self._alarms, (due_us, self._order, run, what))

    def _next(self) -> tuple[int, int, MemoryRun, int | Dispatch] | None:
        """The next alarm that somebody still waits for."""
        while self._alarms:
            due_us, _, run, what = self._alarms[0]
            if _waits(run, what) if isinstance(what, Dispatch) else run.timers.get(what) == due_us:
                return self._alarms[0]
            heapq.heappop(self._alarms)
        return None


def _waits(run: MemoryRun, dispatch: Dispatch) -> bool:
    current = run.machine.attempt(dispatch.seq)
    return run.live and current is not None and current[1] == dispatch.attempt
