"""The run machine: history + arrivals → new events + commands (SEMANTICS R). Pure.

Replay is a walk along the journal with one rule on each side::

    the code issues a command  ->  the next event must be that command, or the machine is on new ground
    the code waits             ->  the next event must be an arrival, which is delivered

An arrival is appended when it is *delivered*, not when it happened, and after each one the code runs until it waits
(R4): so the journal is the order in which the code saw things, and live and replayed runs are the same walk.

The shell feeds ``signal``, ``complete``, ``fail``, ``retry`` and ``fire``, each of which ignores what nothing waits
for, so every arrival may come twice or too late; then it takes the :class:`Step`, commits it, and only after that
lets its commands out (R8).
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, NoReturn, cast

from continuum.core.call import ActivityCall
from continuum.core.definitions import Workflow
from continuum.core.drift import Drift, drift_error
from continuum.core.ending import ending_of
from continuum.core.failure import activity_error
from continuum.core.inbox import Inbox
from continuum.core.loop import DurableTimer, WorkflowLoop
from continuum.core.pending import (
    CommandFuture,
    PendingActivity,
    PendingWait,
    Restore,
    idempotency_key_of,
    performed,
    settle,
)
from continuum.core.site import site_text, user_site
from continuum.core.step import Crew, Dispatch, PendingAttempt, RunIdentity, Step, TimerSet
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityRetried,
    ActivityScheduled,
    EventBody,
    EventRow,
    Failure,
    SideEffect,
    SignalAwaited,
    SignalReceived,
    TimerFired,
    TimerStarted,
    from_row,
    to_row,
)


class Machine:
    """One run in memory. ``at`` is the time of the event being processed, in microseconds since the epoch."""

    def __init__(self, identity: RunIdentity, workflow: Workflow[..., Any], args: bytes, crew: Crew) -> None:
        self.identity = identity
        self.workflow = workflow
        self._crew = crew
        self.at = identity.created_at
        self.seq = 0
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]  # asyncio asks for less than typeshed
        self.random: Any = None  # made by the effect that wants it: a generator is 2.5 KB
        self._args = args
        self._recorded: Sequence[EventBody] = ()
        self._pending: dict[int, PendingActivity | PendingWait | DurableTimer] = {}
        self.inbox = Inbox()
        self._drift: ReplayDriftError | None = None
        self._dropped = False
        self._replaying = False
        self._end_taken = False
        self._taken = 0  # seq of the last event that was taken
        self._new: list[EventBody] = []
        self._dispatches: list[Dispatch] = []
        self._abandoned: list[tuple[int, int]] = []
        self._timers_set: list[TimerSet] = []
        self._timers_cleared: list[int] = []
        self._consumed: list[int] = []

    # -- life

    def begin(self, history: Sequence[EventRow] = ()) -> None:
        """Run the code along ``history``, then on until it waits.

        Raises:
            ReplayDriftError: the code does not do what the journal says; the machine is of no use any more.
            JournalError: an event cannot be read.
        """
        self._recorded = [from_row(row) for row in history]
        self._taken = len(self._recorded)
        self._replaying = bool(self._recorded)
        self._task = asyncio.Task(self._main(), loop=self.loop)
        self._drain()
        while self.seq < len(self._recorded) and not self._task.done():
            self._replay_arrival(self._recorded[self.seq])
            self._drain()
        if self.seq < len(self._recorded):
            raise self._leftover(self.seq)
        self._recorded, self._replaying = (), False

    def drop(self) -> None:
        """Forget the run: its coroutines are closed, and whatever they still try journals nothing."""
        self._dropped = True
        self.loop.close_all(self._task)
        self._pending.clear()

    def close(self) -> None:
        """The end is committed: untie what refers to itself, so that no collector has to find it."""
        self._pending.clear()
        del self.loop.machine

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def changed(self) -> bool:
        """True if there is something to commit."""
        return bool(self._new or self._timers_cleared or (self.ended and not self._end_taken))

    @property
    def parked(self) -> bool:
        """True if no activity is under way: the run waits for signals and timers only."""
        for entry in self._pending.values():  # noqa: SIM110 - a generator costs on the hot path
            if type(entry) is PendingActivity:
                return False
        return True

    def attempts(self) -> list[PendingAttempt]:
        """The attempts under way, by seq."""
        return [
            PendingAttempt(entry.dispatch(seq), entry.crew)
            for seq, entry in self._pending.items()
            if type(entry) is PendingActivity
        ]

    def attempt(self, seq: int) -> tuple[ActivityCall[Any], int] | None:
        """The call of an activity that the code waits for, and its attempt."""
        entry = self._pending.get(seq)
        return (entry.call, entry.attempt) if type(entry) is PendingActivity else None

    def take(self) -> Step:
        """Return all that changed since the last call, and forget it here."""
        base = self._taken
        events = [to_row(base + index, body) for index, body in enumerate(self._new, 1)]
        self._taken = base + len(events)
        if self.ended:
            state, result, error = ending_of(self._task)
        else:
            state, result, error = ("suspended" if self.parked else "running"), None, None
        step = Step(
            base, events, state, result, error, self._dispatches, self._abandoned,
            self._timers_set, self._timers_cleared, self._consumed,
        )  # fmt: skip
        self._end_taken = self.ended
        self._new, self._dispatches, self._abandoned = [], [], []
        self._timers_set, self._timers_cleared, self._consumed = [], [], []
        return step

    # -- arrivals: each returns whether the run took it

    def signal(self, signal_id: int, name: str, value: bytes, at: int) -> bool:
        if self.ended or not self.inbox.learn(signal_id):
            return False
        seq = self.inbox.first_wait(name)
        if seq is None:
            self.inbox.keep(signal_id, name, value)
            return False
        self._see(at)
        self._consumed.append(signal_id)
        return self._arrive(SignalReceived(name, signal_id, value, self.at, seq))

    def complete(self, seq: int, attempt: int, value: bytes, at: int) -> bool:
        if not self._awaits_attempt(seq, attempt):
            return False
        self._see(at)
        return self._arrive(ActivityCompleted(seq, value, self.at))

    def fail(self, seq: int, attempt: int, failure: Failure, timed_out: bool, at: int) -> bool:
        if not self._awaits_attempt(seq, attempt):
            return False
        self._see(at)
        return self._arrive(ActivityFailed(seq, failure, attempt, self.at, timed_out))

    def retry(self, seq: int, attempt: int, failure: Failure, delay_s: float) -> bool:
        """``attempt`` failed, and the next one may start ``delay_s`` later. The code does not see it."""
        entry = self._pending.get(seq)
        if not self._awaits_attempt(seq, attempt) or type(entry) is not PendingActivity:
            return False
        entry.next_attempt(attempt + 1, delay_s, self._crew.text)
        self._append(ActivityRetried(seq, entry.attempt, delay_s, failure, entry.crew))
        self._dispatches.append(entry.dispatch(seq))
        return True

    def fire(self, seq: int, at: int) -> bool:
        entry = self._pending.get(seq)
        if self.ended or not (type(entry) is DurableTimer or (type(entry) is PendingWait and entry.timed)):
            return False
        self._see(max(at, round(entry.when() * 1e6)) if type(entry) is DurableTimer else at)
        self._timers_cleared.append(seq)
        return self._arrive(TimerFired(seq, self.at))

    # -- commands, from effects

    def schedule(self, call: ActivityCall[Any]) -> Future[Any]:
        """The code calls an activity: record it, or find it recorded."""
        args = payload.encode([list(call.args), dict(call.kwargs)], path=call.name)
        key = idempotency_key_of(call)
        crew = self._crew.text
        recorded = self._next_recorded()
        if recorded is None:
            self._append(ActivityScheduled(call.name, args, site_text(call.site), crew))
        elif type(recorded) is ActivityScheduled and recorded.activity == call.name:
            self.seq += 1
            args, crew = recorded.args, recorded.crew
        else:
            self._drifted(f"activity {call.name}", site_text(call.site))
        future = CommandFuture(self, self.seq)
        entry = PendingActivity(call, args, key, future, crew)
        self._pending[self.seq] = entry
        if recorded is None:
            self._dispatches.append(entry.dispatch(self.seq))
        return future

    def wait(self, name: str, restore: Restore, timeout_s: float | None) -> Future[Any]:
        """The code waits for the next signal of that name."""
        site = site_text(user_site())
        recorded = self._next_recorded()
        if recorded is None:
            early = self.inbox.take(name)
            if early is not None:
                signal_id, value = early
                self._append(SignalReceived(name, signal_id, value, self.at, 0, site))
                self._consumed.append(signal_id)
                return settle(self.loop.create_future(), restore, value, name)
            self._append(SignalAwaited(name, timeout_s, site))
            if timeout_s is not None:
                self._timers_set.append(TimerSet(self.seq, timeout_s, None))
        elif type(recorded) is SignalReceived and recorded.command == 0 and recorded.name == name:
            self.seq += 1
            self.inbox.learn(recorded.signal_id)
            return settle(self.loop.create_future(), restore, recorded.value, name)
        elif type(recorded) is SignalAwaited and recorded.name == name:
            self.seq += 1
            timeout_s = recorded.timeout_s
        else:
            self._drifted(f"wait for signal {name}", site)
        future = CommandFuture(self, self.seq)
        self._pending[self.seq] = PendingWait(name, restore, future, timeout_s is not None)
        self.inbox.add_wait(name, self.seq)
        return future

    def start_timer(
        self, delay_s: float | None, until: int | None, callback: Any, args: Any, context: Context | None
    ) -> DurableTimer:
        """The code asks for a durable timer, whose end is a callback on the loop."""
        site = site_text(user_site())
        recorded = self._next_recorded()
        delay_s = None if delay_s is None else round(delay_s, 6)
        if recorded is None:
            self._append(TimerStarted(delay_s, until, site))
            self._timers_set.append(TimerSet(self.seq, delay_s, until))
        elif type(recorded) is TimerStarted:
            self.seq += 1
        else:
            self._drifted("timer", site)
        when = self.at / 1e6 + delay_s if delay_s is not None else (until or 0) / 1e6
        timer = DurableTimer(self.seq, when, callback, args, self.loop, context)
        self._pending[self.seq] = timer
        return timer

    def side_effect(self, fn: Callable[[], object]) -> object:
        """Run ``fn`` once and journal what it gave; a replay gives the journaled value."""
        site = site_text(user_site())
        recorded = self._next_recorded()
        if recorded is None:
            effect = performed(fn, site)
            self._append(effect)
        elif type(recorded) is SideEffect:
            effect = recorded
            self.seq += 1
        else:
            self._drifted("side effect", site)
        if effect.failure is not None:
            raise activity_error(effect.failure, 1, False)
        return payload.decode(effect.value, path="side_effect")

    def withdraw(self, seq: int) -> None:
        """The code does not wait any more for this command (A15, S7)."""
        entry = self._pending.pop(seq, None)
        if type(entry) is PendingActivity:
            self._abandoned.append((seq, entry.attempt))
            self._dispatches = [d for d in self._dispatches if d.seq != seq]
        elif type(entry) is PendingWait:
            self.inbox.end_wait(entry.name, seq)
            if entry.timed:
                self._clear_timer(seq)
        elif entry is not None:
            self._clear_timer(seq)

    # -- inside

    async def _main(self) -> object:
        args, kwargs = cast("tuple[list[object], dict[str, object]]", payload.decode(self._args, path="args"))
        positional, named = self.workflow.signature.restore_arguments(args, kwargs)
        return await self.workflow.fn(*positional, **named)

    def _drain(self) -> None:
        self.loop.drain()
        if self._drift is not None:
            raise self._drift

    def _see(self, at: int) -> None:
        assert self.seq >= len(self._recorded), "live arrivals wait for the end of the journal"
        self.at = max(self.at, at)

    def _append(self, body: EventBody) -> None:
        self.seq += 1
        self._new.append(body)

    def _next_recorded(self) -> EventBody | None:
        """The event that a command issued now must match, None on new ground; a dropped run unwinds here."""
        if self._dropped or self._drift is not None:
            raise Drift
        return self._recorded[self.seq] if self.seq < len(self._recorded) else None

    def _drifted(self, commanded: str, site: str) -> NoReturn:
        self._drift = drift_error(self._recorded, self.seq, commanded, site)
        raise Drift

    def _leftover(self, position: int) -> ReplayDriftError:
        now = "the workflow has ended" if self._task.done() else "the workflow waits"
        return drift_error(self._recorded, position, None, now)

    def _arrive(self, body: EventBody) -> bool:
        """Record a live arrival, and let the code see it."""
        self._append(body)
        self._apply(body)
        self._drain()
        return True

    def _replay_arrival(self, body: EventBody) -> None:
        """Let the code see the recorded arrival that is next."""
        position, self.seq = self.seq, self.seq + 1
        self.at = max(self.at, getattr(body, "at", 0))
        if not self._apply(body):
            raise self._leftover(position)

    def _apply(self, body: EventBody) -> bool:
        """Give the arrival to what waits for it; False if nothing does."""
        seq = getattr(body, "command", 0)
        entry = self._pending.get(seq)
        match body, entry:
            case ActivityCompleted(value=value), PendingActivity(future=future, call=call):
                del self._pending[seq]
                settle(future, call.target.signature.restore_result, value, "result")
            case ActivityFailed(), PendingActivity(future=future):
                del self._pending[seq]
                future.set_exception(activity_error(body.failure, body.attempts, body.timed_out))
            case ActivityRetried(attempt=attempt, delay_s=delay_s, crew=crew), PendingActivity():
                entry.next_attempt(attempt, delay_s, crew)
            case SignalReceived(signal_id=signal_id, value=value), PendingWait(name=name, future=future):
                self._end_wait(seq, entry)
                if entry.timed:
                    self._clear_timer(seq)
                self.inbox.learn(signal_id)
                settle(future, entry.restore, value, f"signal {name}")
            case TimerFired(), PendingWait(name=name, future=future, timed=True):
                self._end_wait(seq, entry)
                future.set_exception(TimeoutError(f"no signal {name!r} in time"))
            case TimerFired(), DurableTimer():
                del self._pending[seq]
                self.loop.call_soon(entry._run)
            case _:
                return False
        return True

    def _end_wait(self, seq: int, wait: PendingWait) -> None:
        del self._pending[seq]
        self.inbox.end_wait(wait.name, seq)

    def _awaits_attempt(self, seq: int, attempt: int) -> bool:
        entry = self._pending.get(seq)
        return type(entry) is PendingActivity and entry.attempt == attempt and not self.ended

    def _clear_timer(self, seq: int) -> None:
        """Its row goes with the next commit (T5); one never committed is just not set; in replay it is long gone."""
        kept = [timer for timer in self._timers_set if timer.seq != seq]
        if len(kept) == len(self._timers_set) and not self._replaying:
            self._timers_cleared.append(seq)
        self._timers_set = kept
