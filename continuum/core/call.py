"""A call: target, arguments, options, as a value. Making one runs nothing (API §1).

A call is a coroutine, the way calling an ``async def`` makes one: ``await`` it once, hand it to ``create_task`` or
``gather``, give it to a client. One that is dropped without any use warns, as an un-awaited coroutine does.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from continuum.core.commands.activity import schedule
from continuum.core.loop import current_machine
from continuum.core.options import ActivityOptions, checked_options
from continuum.errors import ConfigurationError

if TYPE_CHECKING:
    from continuum.core.definitions import Activity, Workflow

R_co = TypeVar("R_co", covariant=True)
Site = tuple[str, int]  # file and line, for people


def call_site(depth: int = 2) -> Site:
    """Return file and line of the frame ``depth`` above this one."""
    frame = sys._getframe(depth)
    return frame.f_code.co_filename, frame.f_lineno


class Call(Coroutine[Any, Any, R_co], Generic[R_co]):
    """What ``workflow(...)``, ``activity(...)`` and :func:`call` return. Equal by target, arguments and options."""

    __slots__ = ("_steps", "_used", "args", "kwargs", "site")

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], site: Site) -> None:
        self.args = args
        self.kwargs = kwargs
        self.site = site
        self._used = False
        self._steps: Generator[Any, Any, R_co] | None = None

    @property
    def name(self) -> str:
        """The registered name of the target."""
        raise NotImplementedError

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
        return hash(self.name)

    def __repr__(self) -> str:
        arguments = [repr(value) for value in self.args]
        arguments += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({', '.join(arguments)})"

    def __del__(self) -> None:
        if not getattr(self, "_used", True) and not sys.is_finalizing():
            message = f"{self!r} was made but never awaited, started or passed on"
            warnings.warn_explicit(message, RuntimeWarning, *self.site, source=self)


class ActivityCall(Call[R_co]):
    """A call of an activity, with its policy: the call's options over the decorator's over the defaults (A2)."""

    __slots__ = ("policy", "target")

    def __init__(
        self,
        target: Activity[..., R_co],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        site: Site,
        policy: ActivityOptions | None = None,
    ) -> None:
        super().__init__(args, kwargs, site)
        self.target = target
        self.policy = target.options if policy is None else policy

    @property
    def name(self) -> str:
        return self.target.name

    def options(self, **overrides: Any) -> ActivityCall[R_co]:
        """Return the same call under another policy: ``retry timeout heartbeat_timeout queue idempotency_key``.

        Raises:
            ConfigurationError: there is no such option.
            ValueError, TypeError: its value makes no sense.
        """
        self.take()
        return ActivityCall(
            self.target, self.args, self.kwargs, self.site, checked_options(self.policy, overrides)
        )

    def __await__(self) -> Generator[Any, Any, R_co]:
        self._used = True
        return schedule(current_machine(self.name), self).__await__()

    def _same(self) -> tuple[Any, ...]:
        return (*super()._same(), self.policy)


class WorkflowCall(Call[R_co]):
    """A call of a workflow: what ``client.start`` takes. ``target`` is None for a call by name."""

    __slots__ = ("_name", "target")

    def __init__(
        self,
        target: Workflow[..., R_co] | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        site: Site,
        name: str | None = None,
    ) -> None:
        super().__init__(args, kwargs, site)
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
        current_machine(self.name)
        raise ConfigurationError(
            f"{self!r}: this version runs no workflow inside another; start it with a client, from an activity"
        )


def call(name: str, *args: Any, **kwargs: Any) -> WorkflowCall[Any]:
    """Return a call of the workflow that is registered as ``name``, for clients that cannot import its code.

    Nothing checks the arguments before the run; a run of a name that no node has waits.
    """
    return WorkflowCall(None, args, kwargs, call_site(), name)
