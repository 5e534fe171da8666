"""Runs in memory under a clock that jumps: what an engine, a worker and a timer are to a journal, without any of them.

::

    arrival ──► machine advances ──► release(): events into the run's journal, outputs into the world
                    ▲                                     │ attempts, new runs, ends of children ─► ready
                    └── deliver: ready work, alarms ◄─────┘ timers, back-offs, clean-up times ─► alarms

Time stands still while anything can be done at this moment, and then jumps to the next alarm. An activity takes no
time at all. `World.release` is the one place that reads what a step lets out.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from random import Random
from typing import Any

from continuum.core.definitions import Activity
from continuum.core.failure import cancellation, encode_failure
from continuum.core.step import Dispatch, Outputs
from continuum.errors import ContinuumError, RunWaitingError
from continuum.testing.attempt import deliver, perform_inline
from continuum.testing.memory_run import MemoryRun, Note, child_of, continuation_of
from continuum.testing.walk import check_if_paranoid

_SECOND = 1_000_000

Alarm = tuple[
    int, int, MemoryRun, int | Dispatch | Note
]  # due, order, run, timer or attempt or end of a clean-up


class World:
    """``stand_ins``: what runs instead of an activity, by its name. ``events_max``: of all runs while no time passes;
    more of them, and they would go on for ever."""

    def __init__(self, stand_ins: Mapping[str, Activity[..., Any]], events_max: int) -> None:
        self.now_us = time.time_ns() // 1000
        self.events = 0
        self._stand_ins, self._events_max = stand_ins, events_max
        self._random = Random(0)
        self._signal_ids = 0
        self._ready: deque[Callable[[], None]] = deque()
        self._alarms: list[Alarm] = []
        self._order = 0

    # -- what comes to a run

    def begin(self, run: MemoryRun) -> None:
        """Let its code run until it waits. A successor finds the signals and the cancel of its predecessor."""
        if not run.live:
            return  # cancelled before it began
        if run.note is not None and run.first is run:
            self.cancel(run, run.note.reason)  # it has nothing to clean up (B5)
            return
        for signal_id, (name, value) in run.letters.items():
            run.machine.keep(signal_id, name, value)
        run.begun = True
        run.machine.begin()
        if run.note is not None:
            self._heed(run, run.note)
        self.release(run)

    def keep_signal(self, run: MemoryRun, name: str, value: bytes) -> int:
        """Put a signal into the mailbox of a run; return its id."""
        self._signal_ids += 1
        run.letters[self._signal_ids] = name, value
        return self._signal_ids

    def signal(self, run: MemoryRun, name: str, value: bytes) -> None:
        signal_id = self.keep_signal(run, name, value)
        if run.begun:
            run.machine.signal(signal_id, name, value, self.now_us)
            self.release(run)

    def cancel(self, run: MemoryRun, reason: str | None) -> None:
        """End what lives of the run and below it (K1)."""
        for doomed in list(run.family()):
            if doomed.live:
                doomed.state, doomed.error = "cancelled", encode_failure(cancellation(reason))
                doomed.end()
                self._ready.append(partial(self._tell_parent, doomed))

    def ask_to_end(self, run: MemoryRun, reason: str | None, cleanup_s: float) -> None:
        """Raise ``CancelledError`` in what lives of the run and below it; end it when the time is over (K4)."""
        note = Note(reason, cleanup_s, self.now_us)
        for asked in list(run.family()):
            if not asked.live:
                continue
            if asked.note is None or note.due_us < asked.note.due_us:
                asked.note = note
            if asked.begun:
                self._heed(asked, note)
                self.release(asked)

    # -- what goes on

    def settle(self) -> None:
        """Do all that can be done at this moment, and the attempts whose back-off ends before the next timer.

        Raises:
            ContinuumError: there is no end to it.
        """
        events_max = self.events + self._events_max
        while True:
            while self._ready:
                self._ready.popleft()()
                if self.events > events_max:
                    raise ContinuumError(
                        f"more than {self._events_max:,} events were made without waiting for anything, and there is"
                        " no end to it; let a workflow that goes on for ever wait for a signal or a timer"
                    )
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
        match what:
            case Dispatch():
                self._ready.append(partial(self._attempt, run, what))
            case Note():
                self.cancel(run, what.reason)
            case _:
                run.machine.fire(what, self.now_us)
                self.release(run)
        return True

    def skip_to_timer(self) -> bool:
        """Jump to the next timer, or end of a clean-up, over what else is due before; False if there is none."""
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
        if not run.live or not run.machine.changed:
            return
        step = run.machine.take()
        run.record(step, self.now_us)
        self.events += len(step.events)
        for seed in step.out.children_started:
            self._ready.append(partial(self.begin, child_of(run, seed, self.now_us)))
        self._cancel_children(run, step.out.children_cancelled)
        if run.live:
            self._let_out(run, step.out)
            return
        check_if_paranoid(run.history, run.workflow, step)
        run.end()
        if step.out.successor is not None:
            successor = continuation_of(run, step.out.successor, self.now_us)
            self._ready.append(partial(self.begin, successor))
        else:
            self._ready.append(partial(self._tell_parent, run))

    def _let_out(self, run: MemoryRun, out: Outputs) -> None:
        for seq in out.timers_cleared:
            run.timers.pop(seq, None)
        for timer in out.timers_set:
            delay_us = None if timer.delay_s is None else round(timer.delay_s * _SECOND)
            due_us = self.now_us + delay_us if delay_us is not None else timer.until or 0
            run.timers[timer.seq] = due_us
            self._set_alarm(due_us, run, timer.seq)
        for dispatch in out.dispatches:
            if dispatch.delay_s > 0:
                self._set_alarm(self.now_us + round(dispatch.delay_s * _SECOND), run, dispatch)
            else:
                self._ready.append(partial(self._attempt, run, dispatch))

    def _cancel_children(self, run: MemoryRun, commands: Collection[int]) -> None:
        for child in [child for child in run.children if child.awaited and child.command in commands]:
            child.awaited = False
            self.cancel(child, None)

    def _tell_parent(self, child: MemoryRun) -> None:
        """The end of a child comes to the run that waits for it, once (C2)."""
        parent = child.parent
        if not child.awaited or parent is None or not parent.live:
            return
        assert child.command is not None, "it answers the command that started it"
        child.awaited = False
        ended = child.result if child.state == "completed" else child.error
        parent.machine.child_ended(child.origin.run_id, child.command, child.state, ended or b"", self.now_us)
        self.release(parent)

    def _heed(self, run: MemoryRun, note: Note) -> None:
        """Let the code hear of a cancel, and see to it that it ends in time."""
        self._set_alarm(note.due_us, run, note)
        run.machine.cancel(note.reason, note.cleanup_s, note.asked_us)

    def _attempt(self, run: MemoryRun, dispatch: Dispatch) -> None:
        if not _waits(run, dispatch):
            return
        activity = self._stand_ins.get(dispatch.call.name, dispatch.call.target)
        outcome = perform_inline(activity, dispatch, run.origin.run_id)
        if _waits(run, dispatch):  # what it did may have ended the run
            deliver(run.machine, dispatch, outcome, self.now_us, self._random.random)
            self.release(run)

    def _set_alarm(self, due_us: int, run: MemoryRun, what: int | Dispatch | Note) -> None:
        self._order += 1
        heapq.heappush(self._alarms, (due_us, self._order, run, what))

    def _next(self) -> Alarm | None:
        """The next alarm that somebody still waits for."""
        while self._alarms:
            due_us, _, run, what = self._alarms[0]
            match what:
                case Dispatch():
                    wanted = _waits(run, what)
                case Note():
                    wanted = run.note is what and any(member.live for member in run.family())
                case _:
                    wanted = run.timers.get(what) == due_us
            if wanted:
                return self._alarms[0]
            heapq.heappop(self._alarms)
        return None


def _waits(run: MemoryRun, dispatch: Dispatch) -> bool:
    current = run.machine.attempt(dispatch.seq)
    return run.live and current is not None and current[1] == dispatch.attempt
