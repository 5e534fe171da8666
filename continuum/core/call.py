"""A call: target, arguments, options, as a value. Making one runs nothing (API §1).

A call is a coroutine, the way calling an ``async def`` makes one: ``await`` it once, hand it to ``create_task`` or
``gather``, give it to a client. One that is dropped without any use warns, as an un-awaited coroutine does.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from continuum.core.commands.activity import given, schedule
from continuum.core.commands.child import run_child
from continuum.core.cursor import NOT_GIVEN
from continuum.core.loop import current_machine, running
from continuum.core.options import ActivityOptions, checked_name, checked_options
from continuum.core.site import Place, place_of_caller, site_of, user_place
from continuum.errors import ConfigurationError
from continuum.model import payload

if TYPE_CHECKING:
    from continuum.core.definitions import Activity, Workflow

R_co = TypeVar("R_co", covariant=True)
_KEPT: Any = object()  # an option that is not changed


class Call(Coroutine[Any, Any, R_co], Generic[R_co]):
    """What ``workflow(...)``, ``activity(...)`` and :func:`call` return. Equal by target, arguments and options."""

    __slots__ = ("_place", "_steps", "_used", "args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], place: Place | None) -> None:
        self.args = args
        self.kwargs = kwargs
        self._place = place
        self._used = False
        self._steps: Generator[Any, Any, R_co] | None = None

    @property
    def name(self) -> str:
        """The registered name of the target."""
        raise NotImplementedError

    @property
    def place(self) -> Place:
        """Where the call was made."""
        assert self._place is not None, "only a call of an activity leaves it open"
        return self._place

    def take(self) -> None:
        """Say that the call is used: it does not warn any more."""
        self._used = True

    def send(self, value: Any) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.throw(*error)

    def close(self) -> None:
        self._used = True
        if self._steps is not None:
            self._steps.close()

    def _same(self) -> tuple[Any, ...]:
        return (self.name, self.args, dict(self.kwargs))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._same() == other._same()

    def __hash__(self) -> int:
        """By identity, against the custom for values: ``asyncio.gather`` keeps its arguments in a dict, and would run
        two equal calls once."""
        return id(self)

    def __repr__(self) -> str:
        arguments = [repr(value) for value in self.args]
        arguments += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({', '.join(arguments)})"

    def __del__(self) -> None:
        try:
            if self._used or sys.is_finalizing():
                return
        except AttributeError:  # it never came to be
            return
        else:
            message = f"{self!r} was made but never awaited, started or passed on"
            warnings.warn_explicit(message, RuntimeWarning, *site_of(self.place), source=self)


class ActivityCall(Call[R_co]):
    """A call of an activity, with its policy: the call's options over the decorator's over the defaults (A2).

    ``compensation``: what undoes it, a call or a callable of its result; None if there is nothing. ``met_at``: where
    in its journal a replay met this activity with its result when the call was made, else -1. The place of such a call
    is not noted, because it costs as much as the rest of the way, and hardly ever matters.
    """

    __slots__ = ("compensation", "met_at", "policy", "target")

    def __init__(
        self,
        target: Activity[..., R_co],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        place: Place | None,
        policy: ActivityOptions | None = None,
        compensation: ActivityCall[Any] | Callable[[Any], Call[Any] | None] | None = None,
    ) -> None:
        super().__init__(args, kwargs, place)
        self.target, self.met_at = target, -1
        self.policy = target.options if policy is None else policy
        self.compensation = compensation

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def place(self) -> Place:
        if self._place is None:
            self._place = user_place() or (self.target.fn.__code__, 0)
        return self._place

    def options(
        self,
        *,
        compensate: Call[Any] | Callable[[R_co], Call[Any] | None] | None = _KEPT,
        **overrides: Any,
    ) -> ActivityCall[R_co]:
        """Return the same call under another policy: ``retry timeout heartbeat_timeout queue idempotency_key``.

        ``compensate`` is what undoes it once it has completed: a call of an activity, or a callable that makes one of
        the result (or None, if there is nothing to undo). ``compensate=None`` says on purpose that there is none.

        Raises:
            ConfigurationError: there is no such option.
            ValueError, TypeError: its value makes no sense.
            PayloadError: an argument of the compensation cannot be encoded.
        """
        policy = checked_options(self.policy, overrides)
        compensation = self.compensation if compensate is _KEPT else _checked_compensation(compensate)
        self.take()
        if compensation is not None:
            _ = (
                self.place
            )  # what undoes this call is journaled with its line, long after the code has left it
        changed = ActivityCall(self.target, self.args, self.kwargs, self._place, policy, compensation)
        changed.met_at = self.met_at
        return changed

    def packed(self) -> bytes:
        """Return the payload of its arguments.

        Raises:
            PayloadError: one of them cannot be encoded.
        """
        return payload.encode_arguments(self.args, self.kwargs, self.target.name)

    def __await__(self) -> Generator[Any, Any, R_co]:
        self._used = True
        loop = running.loop
        machine = current_machine(self.target.name) if loop is None else loop.machine
        if machine.cursor.replaying:
            value = given(machine, self)
            if value is not NOT_GIVEN:
                return value  # type: ignore[return-value]  # restored as one, by the annotation of the target
        return (yield from schedule(machine, self))  # type: ignore[no-any-return]

    def _same(self) -> tuple[Any, ...]:
        return (*super()._same(), self.policy, self.compensation)


class WorkflowCall(Call[R_co]):
    """A call of a workflow: what ``client.start`` takes. ``target`` is None for a call by name.

    Awaited inside a workflow it runs a child. Cancelling that await cancels the child.
    """

    __slots__ = ("_name", "target")

    def __init__(
        self,
        target: Workflow[..., R_co] | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        place: Place,
        name: str | None = None,
    ) -> None:
        super().__init__(args, kwargs, place)
        self.target = target
        self._name = name

    @property
    def name(self) -> str:
        return self.target.name if self.target is not None else str(self._name)

    def options(self, **overrides: Any) -> WorkflowCall[R_co]:
        """A workflow has no options.

        Raises:
            ConfigurationError: always, naming what was passed.
        """
        raise ConfigurationError(
            f"a workflow call takes no options, not {', '.join(overrides)}; pass them to client.start"
        )

    def __await__(self) -> Generator[Any, Any, R_co]:
        self._used = True
        return run_child(current_machine(self.name), self).__await__()


def compensating(call: object) -> ActivityCall[Any]:
    """Return ``call``, which is to undo something, and is used by that.

    Raises:
        TypeError: it is no call of an activity, or has a compensation of its own.
    """
    if not isinstance(call, ActivityCall):
        raise TypeError(f"a compensation is a call of an activity, such as refund(payment), not {call!r}")
    call.take()
    if call.compensation is not None:
        raise TypeError(
            f"{call!r} undoes something and cannot have a compensation itself; leave that option out"
        )
    return call


def _checked_compensation(
    value: object,
) -> ActivityCall[Any] | Callable[[Any], Call[Any] | None] | None:
    if value is None or (callable(value) and not isinstance(value, Call)):
        return value
    undo = compensating(value)
    undo.packed()  # what cannot be encoded is refused here, and not on the way back
    return undo


def call(name: str, *args: Any, **kwargs: Any) -> WorkflowCall[Any]:
    """Return a call of the workflow that is registered as ``name``, for clients that cannot import its code.

    Nothing checks the arguments before the run; a run of a name that no node has waits.

    Raises:
        TypeError, ValueError: the name is no text, or empty, or longer than 1,000 bytes.
    """
    checked_name("the name of a workflow", name)
    return WorkflowCall(None, args, kwargs, place_of_caller(), name)
