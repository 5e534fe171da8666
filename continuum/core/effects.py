"""Effects: what workflow code awaits besides activities, and the deterministic time and randomness (API §2)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NoReturn, TypeVar, cast, overload
from uuid import UUID

import msgspec

from continuum.core.call import ActivityCall, Call, WorkflowCall
from continuum.core.commands import child, effect
from continuum.core.commands.child import ChildRef
from continuum.core.commands.continuation import leave
from continuum.core.commands.timer import start_timer
from continuum.core.draws import Draws
from continuum.core.loop import current_machine, running
from continuum.core.machine import Machine
from continuum.core.options import checked_name
from continuum.core.waiting import SignalWait
from continuum.model.restore import restorer
from continuum.model.retry import Duration, wait_s_of

T = TypeVar("T")
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class RunInfo(msgspec.Struct, frozen=True):
    """Who the running workflow is. ``correlation_id`` is the first run of its chain."""

    id: UUID
    workflow: str
    namespace: str
    parent_run_id: UUID | None
    correlation_id: UUID
    continued_from_run_id: UUID | None


class Signal(Generic[T]):
    """A typed mailbox name: ``approved = Signal("approved", bool)``.

    Raises:
        ValueError: the name is empty.
    """

    @overload
    def __init__(self: Signal[object], name: str) -> None: ...

    @overload
    def __init__(self, name: str, type: type[T]) -> None: ...

    def __init__(self, name: str, type: Any = object) -> None:
        checked_name("the name of a signal", name)
        self.name = name
        self.type = type
        self._restore = restorer(type)

    def wait(self, timeout: Duration | None = None) -> Coroutine[Any, Any, T]:
        """Return the next payload of this mailbox, in order of arrival.

        Raises:
            TimeoutError: ``timeout`` is over, by a durable timer, and no signal had come.
        """
        return SignalWait(self.name, self._restore, timeout)

    def __repr__(self) -> str:
        return f"Signal({self.name!r}, {getattr(self.type, '__name__', self.type)})"


def wait_signal(name: str, timeout: Duration | None = None) -> Coroutine[Any, Any, Any]:
    """Return the next payload of that mailbox as it was sent; see :meth:`Signal.wait`."""
    checked_name("the name of a signal", name)
    return SignalWait(name, restorer(object), timeout)


async def sleep(duration: Duration) -> None:
    """Sleep durably: ``asyncio.sleep`` inside a workflow is the same timer. What is 0 or negative is over at once.

    Raises:
        ValueError: the duration is not finite.
    """
    current_machine("sleep")
    await asyncio.sleep(wait_s_of(duration))


async def sleep_until(moment: dt.datetime) -> None:
    """Sleep durably until an aware datetime; one that is past returns at once, after a journaled timer.

    Raises:
        TypeError, ValueError: it is no datetime, or has no time zone.
    """
    machine = current_machine("sleep_until")
    if not isinstance(moment, dt.datetime):
        raise TypeError(f"sleep_until takes an aware datetime, not {moment!r}")
    if moment.tzinfo is None:
        raise ValueError(f"sleep_until takes an aware datetime; give {moment!r} a tzinfo")
    future = machine.loop.create_future()
    until = (
        moment - _EPOCH
    ) // _MICROSECOND  # a float cannot tell the last moment of year 9999 from the next one
    timer = start_timer(machine, None, until, _wake, (future,), None)
    try:
        await future
    finally:
        timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def start_child(call: WorkflowCall[T], id: str | None = None) -> ChildRef[T]:
    """Start a child workflow without waiting for it; ``await`` the reference that is returned for its result.

    The child's run is inserted with the journal entry that says so. Its id is derived from this run's and from ``id``,
    or, without one, from how many children came before it: no replay starts it twice. It goes on when this run ends.

    Raises:
        RunExistsError: this run has started a child under ``id`` already.
        ConfigurationError: this run has ten generations of parents, and may have no children.
        TypeError: ``call`` is no call of a workflow.
        ValueError: ``id`` is longer than 1,000 bytes.
    """
    machine = current_machine("start_child")
    if id is not None and not (isinstance(id, str) and id):
        raise TypeError(f"the id of a child is a text, not {id!r}")
    taken = _workflow_call("start_child", call)
    if id is not None:
        checked_name("the id of a child", id)
    return child.start_child(machine, taken, id)


def continue_as_new(call: WorkflowCall[Any]) -> NoReturn:
    """End this run as ``continued``; a successor runs ``call`` with an empty history, and inherits signals, children,
    attributes and whoever waits for the result.

    It works by an exception that ``except Exception`` does not catch; code after it never runs. Code that swallows it
    all the same fails the run with ``SuspendLeakError``. Called in a task, it ends the whole run.
    """
    machine = current_machine("continue_as_new")
    leave(machine, _workflow_call("continue_as_new", call))


def _workflow_call(effect_name: str, call: object) -> WorkflowCall[Any]:
    if isinstance(call, Call):
        call.take()
    if isinstance(call, WorkflowCall):
        return call
    what = f"{call.name}, an activity" if isinstance(call, ActivityCall) else repr(call)
    raise TypeError(f"{effect_name} takes the call of a workflow, such as checkout(order), not {what}")


def side_effect(fn: Callable[[], T]) -> T:
    """Run ``fn`` once, journal its result, return it; every replay returns the journaled value.

    The value comes back as a payload does: plain values and containers as they are, a dataclass as a dict. What
    ``fn`` raises is journaled too, and comes as an ``ActivityError``.

    Raises:
        PayloadError: the value cannot be a payload; it is refused again in every replay.
    """
    return cast("T", effect.side_effect(current_machine("side_effect"), fn))


def patched(id: str) -> bool:
    """Return whether the run takes the way of the change ``id``: true for new runs, false for a run whose history is
    from before the change.

    It is decided, and journaled, at the first call of that id, and stays so for the whole run, wherever it asks again.
    Outside a workflow it is false.

    Raises:
        ValueError: the id is no text, or empty, or longer than 1,000 bytes.
    """
    if not isinstance(id, str) or not id:
        raise ValueError(f"a patch has a name, not {id!r}")
    checked_name("the name of a patch", id)
    return in_workflow() and effect.patched(current_machine("patched"), id)


def now() -> dt.datetime:
    """Return the time of the event being processed, in UTC: the same in every replay."""
    at = current_machine("now").cursor.at
    try:
        return _EPOCH + at * _MICROSECOND
    except OverflowError:  # the time of a test kit goes as far as the code sleeps
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def today() -> dt.date:
    """Return the UTC date of :func:`now`."""
    return now().date()


def uuid4() -> UUID:
    """Return a random UUID that is the same in every replay of the run."""
    return _draws(current_machine("uuid4")).uuid()


def random() -> float:
    """Return a number from 0 up to 1 that is the same in every replay of the run."""
    return _draws(current_machine("random")).number()


def run_info() -> RunInfo:
    """Return who the running workflow is."""
    run = current_machine("run_info").identity
    return RunInfo(
        run.run_id,
        run.workflow,
        run.namespace,
        run.parent_run_id,
        run.correlation_id,
        run.continued_from_run_id,
    )


def in_workflow() -> bool:
    """True in workflow code: client functions refuse to run there."""
    return running.loop is not None


def seconds(value: float) -> dt.timedelta:
    """Return so many seconds as a timedelta, for whatever takes a duration."""
    return dt.timedelta(seconds=value)


def minutes(value: float) -> dt.timedelta:
    """Return so many minutes as a timedelta, for whatever takes a duration."""
    return dt.timedelta(minutes=value)


def hours(value: float) -> dt.timedelta:
    """Return so many hours as a timedelta, for whatever takes a duration."""
    return dt.timedelta(hours=value)


def days(value: float) -> dt.timedelta:
    """Return so many days as a timedelta, for whatever takes a duration."""
    return dt.timedelta(days=value)


def _draws(machine: Machine) -> Draws:
    draws = machine.cursor.draws
    if draws is None:
        draws = machine.cursor.draws = Draws(machine.identity.run_id)
    return draws
