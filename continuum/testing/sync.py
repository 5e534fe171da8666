"""``run_sync`` and ``start_sync``: a run in memory with its children and successors, to its end or step by step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from continuum.core.call import ActivityCall, WorkflowCall
from continuum.core.definitions import Activity, Workflow, registry
from continuum.core.effects import Signal, in_workflow
from continuum.core.failure import decode_failure
from continuum.core.options import checked_name
from continuum.errors import (
    ContinuumError,
    DeterminismError,
    RunCancelledError,
    RunFailedError,
    RunTerminalError,
)
from continuum.model import payload
from continuum.model.history import History, Origin
from continuum.model.ids import time_ordered_id
from continuum.model.retry import Duration, seconds_of
from continuum.testing.attempt import off_loop, stand_in
from continuum.testing.memory_run import MemoryRun
from continuum.testing.world import World

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Fakes = Mapping[Activity[..., Any] | str, Callable[..., Any]]
Signals = Iterable[tuple[Signal[Any] | str, object]]

EVENTS_MAX = (
    100_000  # of all runs of one ``run_sync``: a workflow that never ends is told apart from a long one
)


class SyncRun(Generic[R_co]):
    """A run in memory that stands still until it is told to go on. Made by `start_sync`.

    Its time is its own: it begins now, and moves by `advance` and `fire_timer` only, or over the back-off of an
    activity that is tried again when no timer is due before. Its children live in the same time, and go on with it.

    A run that continues as new is one with its successors: all but `id` is of the one that goes on, as for a client.
    """

    def __init__(self, world: World, run: MemoryRun) -> None:
        self._world, self._first = world, run

    @property
    def id(self) -> UUID:
        """The id it was started under, and its chain is known by."""
        return self._first.origin.run_id

    @property
    def state(self) -> str:
        """``suspended`` while it waits for a signal or a timer; otherwise as ``Run.state``.

        A ``str`` and no ``Literal``: a checker would take it for unchanged after the next step.
        """
        return self._run.state

    @property
    def history(self) -> History:
        """The events so far, with all that `replay` needs; of the last run of a chain."""
        return self._run.history

    @property
    def chain(self) -> tuple[History, ...]:
        """The history of each run of the chain, from the first one; of one alone if it was never continued as new."""
        return tuple(run.history for run in self._first.chain())

    @property
    def children(self) -> tuple[SyncRun[Any], ...]:
        """The children that were started, to be looked at and driven as any run. Those that moved to a successor come
        after those that ended before."""
        return tuple(
            SyncRun(self._world, child.first) for run in self._first.chain() for child in run.children
        )

    def result(self) -> R_co:
        """Return the value of the run, as a client does.

        Raises:
            RunFailedError, RunCancelledError: it ended so.
            RunWaitingError: it has not ended; says what it waits for.
        """
        run = self._run
        if run.live:
            raise self._world.waiting(
                run,
                "Let it go on with inject_signal(...), fire_timer() or advance(...), or ask after its end",
            )
        if run.state == "completed":
            value = payload.decode(run.result or b"", path="result")
            return cast("R_co", run.workflow.signature.restore_result(value))
        failure = decode_failure(run.error or b"")
        if run.state == "cancelled":
            raise RunCancelledError(self.id, failure.message or None)
        raise RunFailedError(
            self.id,
            type=failure.type,
            message=failure.message,
            traceback=failure.traceback,
            cause=failure.cause,
        )

    def inject_signal(self, signal: Signal[Any] | str, payload: object = None) -> None:
        """Put a signal into the mailbox of the run, and let the run go on until it waits again.

        Raises:
            RunTerminalError: it has ended.
            PayloadError: the payload cannot be encoded.
        """
        name, value = _letter(signal, payload)
        self._demand_live()
        self._go(lambda: self._world.signal(self._run, name, value))

    def fire_timer(self) -> None:
        """Jump to the next timer, and let the run go on until it waits again. Timers of children are timers too, and so
        is the end of the time for a clean-up.

        Raises:
            RunTerminalError: it has ended.
            RunWaitingError: it waits for no timer.
        """
        self._demand_live()
        if not off_loop(self._world.skip_to_timer):
            raise self._world.waiting(self._run, "No timer is set: nothing was fired")
        self._go()

    def advance(self, duration: Duration) -> None:
        """Let so much time pass (seconds or timedelta): every timer that is due until then fires, in order."""
        until_us = self._world.now_us + round(seconds_of(duration) * 1e6)

        def pass_time() -> None:
            while self._world.skip(until_us):
                self._world.settle()
            self._world.now_us = max(self._world.now_us, until_us)

        self._go(pass_time)

    def cancel(self, *, reason: str | None = None, cleanup: Duration | None = None) -> None:
        """End the run as ``cancelled``, at once, with all its descendants.

        With ``cleanup`` (seconds or timedelta) ``asyncio.CancelledError`` is raised in their code instead, and they go
        on until they wait again. Who has not ended when so much time has passed is ended then.

        Raises:
            RunTerminalError: it has ended already.
        """
        cleanup_s = None if cleanup is None else seconds_of(cleanup)
        self._demand_live()
        if cleanup_s is None:
            self._go(lambda: self._world.cancel(self._run, reason))
        else:
            self._go(lambda: self._world.ask_to_end(self._run, reason, cleanup_s))

    def run_out(self) -> R_co:
        """Skip all time until the run ends, and return its value: what `run_sync` does.

        Raises:
            RunFailedError, RunCancelledError: it ended so.
            RunWaitingError: it waits for something that no time brings.
            ContinuumError: it made more than 100,000 events.
        """
        off_loop(self._run_out)
        return self.result()

    def __repr__(self) -> str:
        return f"<SyncRun of {self._run.origin.workflow}: {self.state}, {len(self._run.rows)} events>"

    @property
    def _run(self) -> MemoryRun:
        return self._first.last

    def _run_out(self) -> None:
        world = self._world
        while (run := self._run).live:
            if world.events > EVENTS_MAX:
                raise ContinuumError(
                    f"{run.origin.workflow} made more than {EVENTS_MAX:,} events and has not ended; run one that"
                    " goes on for ever step by step, with start_sync"
                )
            if not world.skip():
                raise world.waiting(
                    run,
                    "Nothing in this test will bring it: pass signals=[(name, payload)], or go step by step with"
                    " start_sync",
                )
            world.settle()

    def _demand_live(self) -> None:
        if not self._run.live:
            raise RunTerminalError(self.id, self.state)

    def _go(self, first: Callable[[], None] | None = None) -> None:
        def go() -> None:
            if first is not None:
                first()
            self._world.settle()

        off_loop(go)


def run_sync(call: WorkflowCall[R], *, activities: Fakes | None = None, signals: Signals | None = None) -> R:
    """Run a workflow in memory, at once, and return its value: activities run inline, children and successors as runs
    beside it, and time is skipped.

    ``activities``: what runs instead of an activity, by the activity or its name: a function of its arguments, or of
    none, ``async`` or not; what it raises is a failed attempt. ``signals``: pairs of name (or ``Signal``) and payload
    that are in the mailbox before the run begins.

    Raises:
        RunFailedError: an exception left the workflow.
        RunWaitingError: it waits for something that never comes; says for what.
        TypeError, UnknownWorkflowError: this is no call of a workflow, or a fake is for no activity.
        PayloadError: an argument, or a signal's payload, cannot be encoded.
    """
    return start_sync(call, activities=activities, signals=signals).run_out()


def start_sync(
    call: WorkflowCall[R], *, activities: Fakes | None = None, signals: Signals | None = None
) -> SyncRun[R]:
    """Start a workflow in memory and let it run until it waits for a signal or a timer; see `run_sync`.

    Raises:
        TypeError, UnknownWorkflowError, PayloadError: as for `run_sync`; nothing was run.
    """
    workflow = _workflow_of(call)
    if in_workflow():
        raise DeterminismError("a workflow cannot run another in memory; await the call itself")
    args = payload.encode([list(call.args), dict(call.kwargs)], path=workflow.name)
    letters = [_letter(signal, value) for signal, value in signals or ()]
    world = World(_stand_ins(activities or {}), EVENTS_MAX)
    run_id = time_ordered_id(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))
    origin = Origin(
        run_id=run_id,
        workflow=workflow.name,
        args=args,
        created_at=world.now_us,
        correlation_id=run_id,
        version_hash=workflow.version_hash,
    )
    run = MemoryRun(origin, workflow)
    for name, value in letters:
        world.keep_signal(run, name, value)
    started: SyncRun[R] = SyncRun(world, run)
    started._go(lambda: world.begin(run))
    return started


def _workflow_of(call: object) -> Workflow[..., Any]:
    if isinstance(call, WorkflowCall):
        call.take()
        return call.target or registry.workflow(call.name)
    if isinstance(call, ActivityCall):
        call.take()
        raise TypeError(f"{call.name} is an activity; call its function to test it: {call.name}.fn(...)")
    raise TypeError(f"run_sync and start_sync take the call of a workflow, checkout(order), not {call!r}")


def _stand_ins(fakes: Fakes) -> dict[str, Activity[..., Any]]:
    found: dict[str, Activity[..., Any]] = {}
    for key, fake in fakes.items():
        if not isinstance(key, Activity | str):
            raise TypeError(f"activities= maps activities, or their names, to functions; {key!r} is neither")
        replaced = registry.activity(key) if isinstance(key, str) else key
        body = fake.fn if isinstance(fake, Activity) else fake
        if not callable(body):
            raise TypeError(
                f"{replaced.name} is replaced by a function, not {fake!r}; write `lambda: {fake!r}`"
            )
        found[replaced.name] = stand_in(replaced, body)
    return found


def _letter(signal: Signal[Any] | str, value: object) -> tuple[str, bytes]:
    name = signal.name if isinstance(signal, Signal) else signal
    if not isinstance(name, str) or not name:
        raise TypeError(f"a signal is a Signal or a name, not {signal!r}")
    checked_name("the name of a signal", name)
    return name, payload.encode(value, path=f"signal {name}")
