"""The run machine: history + arrivals → new events + commands (SEMANTICS R). Pure.

An arrival is appended when it is *delivered*, not when it happened, and after each one the code runs until it waits
(R4): so the journal is the order in which the code saw things, and live and replayed runs are the same walk
(:mod:`continuum.core.cursor`).

The shell feeds ``signal``, ``complete``, ``fail``, ``retry``, ``fire``, ``child_ended`` and ``cancel``, each of which
ignores what nothing waits for, so every arrival may come twice or too late; then it takes the :class:`Step`, commits
it, and only after that lets its outputs out (R8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from continuum.core.call import ActivityCall
from continuum.core.commands.activity import PendingActivity
from continuum.core.commands.child import Children, PendingChild
from continuum.core.commands.continuation import Leaving
from continuum.core.commands.effect import completed_arguments
from continuum.core.commands.timer import PendingTimer
from continuum.core.commands.wait import PendingWait, kept
from continuum.core.cursor import Cursor
from continuum.core.definitions import Workflow
from continuum.core.drift import Drift
from continuum.core.ending import ending_of
from continuum.core.failure import decode_failure
from continuum.core.inbox import Inbox
from continuum.core.loop import WorkflowLoop
from continuum.core.pending import Pending
from continuum.core.recorded import Recorded, recorded_of
from continuum.core.rollback import Rollback
from continuum.core.step import Crew, Dispatch, Outputs, PendingAttempt, RunIdentity, Step, more
from continuum.errors import JournalError, PayloadError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import (
    ActivityRetried,
    CancelRequested,
    ChildCancelled,
    ChildCompleted,
    ChildFailed,
    EventBody,
    EventRow,
    Failure,
    SignalReceived,
    TimerFired,
)
from continuum.model.retry import NODE_DRAINED
from continuum.model.run import RunState


class Machine:
    """One run in memory. One that waits is to be small, because there are many: what few runs need is made when they
    do."""

    __slots__ = (
        "_args",
        "_end_taken",
        "_out",
        "_rollback",
        "_task",
        "cancellation",
        "cancelled_at",
        "children",
        "crew",
        "cursor",
        "identity",
        "inbox",
        "leaving",
        "loop",
        "pending",
        "workflow",
    )

    def __init__(self, identity: RunIdentity, workflow: Workflow[..., Any], args: bytes, crew: Crew) -> None:
        self.identity = identity
        self.workflow = workflow
        self.crew = crew
        self.cursor = Cursor(identity.begun_at)
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]  # asyncio asks for less than typeshed
        self.pending: dict[int, Pending] = {}
        self.inbox = Inbox()
        self._rollback: Rollback | None = None
        self._out: Outputs | None = None
        self.children: Children | None = None
        self.leaving: Leaving | None = None
        self.cancellation: CancelRequested | None = None
        self.cancelled_at = 0  # seq of the cancellation
        self._args = args
        self._end_taken = False

    # -- life

    def begin(self, history: Recorded | Sequence[EventRow] = ()) -> None:
        """Run the code along ``history``, then on until it waits.

        Raises:
            ReplayDriftError: the code does not do what the journal says; the machine is of no use any more.
            JournalError: an event cannot be read, or says what no machine has written.
        """
        try:
            self._walk(history)
        except (ReplayDriftError, JournalError):
            raise
        except Exception as error:
            place = f"the replay broke at event {self.cursor.seq + 1}" if history else "the run cannot begin"
            raise JournalError("replay", f"{place}: {type(error).__name__}: {error}") from error

    def _walk(self, history: Recorded | Sequence[EventRow]) -> None:
        cursor = self.cursor
        cursor.load(history if isinstance(history, Recorded) else recorded_of(history))
        self.loop.call_soon(self._launch)
        self._drain()
        while cursor.left and not self.ended:
            self._replay_arrival()
        if cursor.left:
            raise cursor.leftover(cursor.seq, self.ended)
        cursor.end_of_history()

    def keep(self, signal_id: int, name: str, value: bytes) -> None:
        """This signal was there before the code: its wait will find it (S2)."""
        if self.inbox.learn(signal_id):
            self.inbox.keep(signal_id, name, value)

    def never_begin(self, asked: CancelRequested) -> None:
        """The run was cancelled before any of its code ran, and none will (B5)."""
        self.cancellation, self._args = asked, b""
        self._task = asyncio.Task(_failing(asyncio.CancelledError()), loop=self.loop, name=self.workflow.name)
        self._drain()

    def drop(self) -> None:
        """Forget the run: its coroutines are closed, and whatever they still try journals nothing."""
        self.cursor.closed = True
        if hasattr(self, "_task"):  # else it broke before its code began
            self.loop.close_all(self._task)
        self.pending.clear()

    def close(self) -> None:
        """The end is committed: untie what refers to itself, so that no collector has to find it."""
        self.cursor.closed = True
        if self.leaving is not None or self.loop.has_tasks:
            self.loop.close_all(self._task)
        self.pending.clear()
        del self.loop.machine

    @property
    def ended(self) -> bool:
        return self._task.done() or self.leaving is not None

    @property
    def changed(self) -> bool:
        """True if there is something to commit."""
        if self.cursor.new:
            return True
        out = self._out
        if out is not None and (out.timers_cleared or out.children_consumed):
            return True
        return not self._end_taken and (self._task.done() or self.leaving is not None)

    @property
    def out(self) -> Outputs:
        """What the next step lets out."""
        if self._out is None:
            self._out = Outputs()
        return self._out

    @property
    def rollback(self) -> Rollback:
        """What the run would undo."""
        if self._rollback is None:
            self._rollback = Rollback()
        return self._rollback

    @property
    def parked(self) -> bool:
        """True if no activity is under way: the run waits for signals, timers and children only."""
        for entry in self.pending.values():  # noqa: SIM110 - a generator costs on the hot path
            if isinstance(entry, PendingActivity):
                return False
        return True

    def attempts(self) -> list[PendingAttempt]:
        """The attempts under way, by seq; those of compensations are among them."""
        return [
            PendingAttempt(entry.dispatch(seq), entry.crew, entry.due_at)
            for seq, entry in self.pending.items()
            if isinstance(entry, PendingActivity)
        ]

    def dispatch(self, seq: int) -> Dispatch | None:
        """The attempt under way of an activity or compensation that the code waits for."""
        entry = self.pending.get(seq)
        return entry.dispatch(seq) if isinstance(entry, PendingActivity) else None

    def timers(self) -> list[tuple[int, int]]:
        """The timers that are set, by seq: none of them fires before its time (microseconds since the epoch)."""
        return [
            (seq, entry.when)
            for seq, entry in self.pending.items()
            if isinstance(entry, PendingTimer | PendingWait) and entry.when is not None
        ]

    def attempt(self, seq: int) -> tuple[ActivityCall[Any], int] | None:
        """The call of an activity or compensation that the code waits for, and its attempt."""
        entry = self.pending.get(seq)
        return (entry.call, entry.attempt) if isinstance(entry, PendingActivity) else None

    def counted(self, seq: int, attempt: int) -> int:
        """Return which one this attempt is of those that count."""
        entry = self.pending.get(seq)
        return attempt - entry.uncounted if isinstance(entry, PendingActivity) else attempt

    def awaiting(self, seq: int, attempt: int) -> PendingActivity | None:
        """What a run that has not ended keeps of this attempt; None if it waits for another, or for none."""
        entry = self.pending.get(seq)
        if isinstance(entry, PendingActivity) and entry.attempt == attempt:
            return None if self._task.done() or self.leaving is not None else entry
        return None

    def idempotency_key(self, seq: int) -> str | None:
        """The key under which the result of this activity is kept for other runs (A10)."""
        entry = self.pending.get(seq)
        return entry.key if isinstance(entry, PendingActivity) else None

    def take(self) -> Step:
        """Return all that changed since the last call, and forget it here."""
        base_seq, events = self.cursor.take()
        if not self._task.done() and self.leaving is None:
            out, self._out = self._out, None
            return Step(
                base_seq, events, "suspended" if self.parked else "running", None, None, out or Outputs()
            )
        signature, at = self.workflow.signature, self.cursor.at
        state, result, error = ending_of(self._task, self.leaving, self.cancellation, signature, at)
        if state != "continued":
            self._end_children()
        out, self._out = self._out, None
        if out is not None and state != "continued":
            out.successor = None
        self._end_taken = True
        return Step(base_seq, events, state, result, error, out or Outputs())

    # -- arrivals: each returns whether the run took it

    def signal(self, signal_id: int, name: str, value: bytes, at: int) -> bool:
        if self.ended or not self.inbox.learn(signal_id):
            return False
        seq = self.inbox.first_wait(name)
        if seq is None:
            self.inbox.keep(signal_id, name, value)
            return False
        self.cursor.see(at)
        self.out.signals_consumed = more(self.out.signals_consumed, signal_id)
        entry = self.pending.get(seq)
        if type(entry) is PendingWait:
            value = kept(entry.restore, value)
        return self._arrive(SignalReceived(name, signal_id, value, self.cursor.at, seq))

    def complete(self, seq: int, attempt: int, value: bytes, at: int) -> bool:
        entry = self.awaiting(seq, attempt)
        if entry is None:
            return False
        self.give(entry, seq, value, at)
        return True

    def give(self, entry: PendingActivity, seq: int, value: bytes, at: int) -> None:
        """`complete` what is `awaiting` its value."""
        entry.completed(self, seq, value, self.cursor.see(at))
        self._drain()

    def fail(self, seq: int, attempt: int, failure: Failure, timed_out: bool, at: int) -> bool:
        entry = self.awaiting(seq, attempt)
        if entry is None:
            return False
        self.cursor.see(at)
        return self._arrive(entry.final_failure(seq, failure, timed_out, self.cursor.at))

    def retry(
        self, seq: int, attempt: int, failure: Failure, delay_s: float, heartbeat: bytes = b"", at: int = 0
    ) -> bool:
        """``attempt`` failed, and the next one may start ``delay_s`` later. The code does not see it.
        ``heartbeat``: the details that ``attempt`` has sent last; if a drain has ended it, those of before will do."""
        entry = self.awaiting(seq, attempt)
        if entry is None:
            return False
        if failure.type == NODE_DRAINED:
            heartbeat = heartbeat or entry.last_heartbeat
        body = ActivityRetried(seq, attempt + 1, delay_s, failure, self.crew.text, heartbeat, at)
        entry.next_attempt(body)
        self.cursor.append(body)
        self.out.dispatches.append(entry.dispatch(seq))
        return True

    def fire(self, seq: int, at: int) -> bool:
        entry = self.pending.get(seq)
        timed = type(entry) is PendingTimer or (type(entry) is PendingWait and entry.when is not None)
        if self.ended or not timed:
            return False
        self.cursor.see(max(at, entry.when) if type(entry) is PendingTimer else at)
        self.out.timers_cleared = more(self.out.timers_cleared, seq)
        return self._arrive(TimerFired(seq, self.cursor.at))

    def child_ended(self, child_id: UUID, command: int, state: RunState, payload: bytes, at: int) -> bool:
        """A child has ended: ``payload`` is of the value if completed, an encoded ``Failure`` if failed. An end that
        nothing waits for leaves no event, and is consumed all the same."""
        if self.ended:
            return False
        self.children = self.children or Children()
        if child_id in self.children.ended:
            return False
        self.children.ended.add(child_id)
        self.out.children_consumed = more(self.out.children_consumed, child_id)
        child = self.pending.get(command)
        if type(child) is not PendingChild:
            return False
        self.cursor.see(at)
        match state:
            case "completed":
                if child.signature is not None:
                    payload = child.signature.completed_result(payload)
                return self._arrive(ChildCompleted(command, payload, self.cursor.at))
            case "failed":
                return self._arrive(ChildFailed(command, decode_failure(payload), self.cursor.at))
            case _:
                return self._arrive(ChildCancelled(command, self.cursor.at))

    def cancel(self, reason: str | None, cleanup_s: float, at: int) -> bool:
        """Raise ``CancelledError`` where the code waits (K4). What the code makes of it is how the run ends; whoever
        asked ends it for good when the time is over. ``at``: when it was asked for. Only the first one counts."""
        if self.ended or self.cancellation is not None:
            return False
        self.cursor.see(at)
        return self._arrive(CancelRequested(cleanup_s, at, reason))

    # -- commands end

    def withdraw(self, seq: int) -> None:
        """The code does not wait any more for this command (A15, S7)."""
        entry = self.pending.pop(seq, None)
        if entry is not None:
            entry.withdrawn(self, seq)

    def clear_timer(self, seq: int) -> None:
        """Its row goes with the next commit (T5); one never committed is just not set; in replay it is long gone."""
        out = self.out
        kept = [timer for timer in out.timers_set if timer.seq != seq]
        if len(kept) == len(out.timers_set) and not self.cursor.replaying:
            out.timers_cleared = more(out.timers_cleared, seq)
        out.timers_set = kept

    # -- inside

    def _launch(self) -> None:
        """Begin the code, in its loop: restoring its arguments may run code of the user's."""
        try:
            args, kwargs = payload.decode_arguments(completed_arguments(self, self._args))
        except (PayloadError, Drift) as error:
            if self.cursor.drift is None:
                self.cursor.drift = JournalError("read run", f"its arguments cannot be read: {error}")
            self._task = asyncio.Task(_failing(error), loop=self.loop)
            return
        try:
            positional, named = self.workflow.signature.restore_arguments(args, kwargs)
            code = self.workflow.fn(*positional, **named)
        except BaseException as error:  # noqa: BLE001 - it is how the run ends
            code = _failing(error)
        self._args = b""
        self._task = asyncio.Task(code, loop=self.loop, name=self.workflow.name)

    def _drain(self) -> None:
        self.loop.drain()
        if self.cursor.drift is not None:
            raise self.cursor.drift
        if self.leaving is not None:
            self.leaving.finish(self)

    def _arrive(self, body: EventBody) -> bool:
        """Record a live arrival, and let the code see it."""
        self.cursor.append(body)
        self._apply(body)
        self._drain()
        return True

    def _replay_arrival(self) -> None:
        """Let the code see the recorded arrival that is next."""
        position = self.cursor.seq
        if not self._apply(self.cursor.next_arrival()):
            raise self.cursor.leftover(position, self.ended)
        self._drain()

    def _apply(self, body: EventBody) -> bool:
        """Give the arrival to what waits for it; False if nothing does."""
        seq = getattr(body, "command", 0)
        entry = self.pending.get(seq)
        if entry is not None:
            return entry.arrive(self, seq, body)
        return type(body) is CancelRequested and self._cancel_code(body)

    def _cancel_code(self, body: CancelRequested) -> bool:
        self.cancellation, self.cancelled_at = body, self.cursor.seq
        return self._task.cancel(body.reason)

    def _end_children(self) -> None:
        """The run has ended without the children that belong to its awaits: they are cancelled (C6)."""
        for seq, entry in list(self.pending.items()):
            if type(entry) is PendingChild and entry.attached:
                del self.pending[seq]
                entry.withdrawn(self, seq)


async def _failing(error: BaseException) -> object:
    raise error
