"""Workflows and activities as they are defined, and the registry of names in this process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import cached_property
from types import FunctionType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from continuum.core.call import ActivityCall, WorkflowCall
from continuum.core.decorated import Kind, decorated_function
from continuum.core.defaults import keep_defaults  # noqa: F401 - the scan hands it what it finds
from continuum.core.determinism import scan
from continuum.core.determinism.sources import source_of
from continuum.core.loop import running
from continuum.core.naming import is_same_place, name_of, unreachable
from continuum.core.options import ActivityOptions, checked_name, defined_options
from continuum.core.site import place_of_caller
from continuum.core.version import version_hash_of
from continuum.errors import ConfigurationError, UnknownWorkflowError
from continuum.model.events import scheduled_begins
from continuum.model.restore import SignatureRestorer, signature_restorers
from continuum.model.retry import Duration, Retry

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
_blank = object.__new__
Versioning = Literal["pinned", "adopt"]


class Definition(Generic[P, R_co]):
    """What workflows and activities have in common: a name, the raw function, and how to restore its values."""

    kind = "function"

    def __init__(self, fn: Callable[P, Any], name: str) -> None:
        checked_name(f"the name of this {self.kind}", name)
        self.fn = fn
        self.name = name
        self.signature: SignatureRestorer = signature_restorers(fn)
        self.__name__ = getattr(fn, "__name__", name)
        self.__qualname__ = getattr(fn, "__qualname__", name)
        self.__module__ = fn.__module__
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


class Workflow(Definition[P, R_co]):
    """What ``@workflow`` returns. Calling it makes a ``WorkflowCall``; ``.fn`` is the raw function.
    ``older``: it finishes the runs that are pinned to it; who starts one by its name gets another.
    ``unreachable``: why no node can import it."""

    kind = "workflow"

    def __init__(
        self,
        fn: Callable[P, Any],
        name: str,
        snapshot_every: int | None = None,
        *,
        older: bool = False,
        versioning: Versioning = "pinned",
        unreachable: str | None = None,
    ) -> None:
        super().__init__(fn, name)
        self.unreachable = unreachable
        self.snapshot_every = snapshot_every
        self.older = older
        self.versioning: Versioning = versioning

    @cached_property
    def version_hash(self) -> str:
        """SHA-256 of the normalized source, as it was loaded, of the function and what it reaches, in hexadecimal
        (D2)."""
        return version_hash_of(self.fn, source_of)

    @property
    def newest(self) -> Workflow[..., Any]:
        """The version of this workflow that a successor gets in this process (N3)."""
        return registry.workflows.get(self.name, self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> WorkflowCall[R_co]:
        if scan.waiting:
            scan.settle(self.name)
        self.signature.bind(args, kwargs)
        return WorkflowCall(self, args, kwargs, place_of_caller())


class Activity(Definition[P, R_co]):
    """What ``@activity`` returns. Calling it makes an ``ActivityCall``; ``.fn`` is the raw function. ``begins``: how
    the body of its ``ActivityScheduled`` begins."""

    kind = "activity"

    def __init__(self, fn: Callable[P, Any], name: str, options: ActivityOptions) -> None:
        super().__init__(fn, name)
        self.options = options
        self.is_async = inspect.iscoroutinefunction(fn)
        self.begins = scheduled_begins(name)
        self._counts = self.signature.counts

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ActivityCall[R_co]:
        if kwargs or len(args) not in self._counts:
            self.signature.bind(args, kwargs)
        # As `ActivityCall(self, args, kwargs, place)` does, for half of its price: a replay makes thousands.
        call: ActivityCall[R_co] = _blank(ActivityCall)
        call.args, call.kwargs = args, kwargs
        call._used, call._steps = False, None
        call.target, call.policy, call.compensation = self, self.options, None
        loop = running.loop
        cursor = None if loop is None else loop.machine.cursor
        if cursor is not None and cursor.replaying and cursor.meets(self.name, self.begins):
            call._place, call.met_at = None, cursor.seq
        else:
            call._place, call.met_at = place_of_caller(), -1
        return call


class Registry:
    """The workflows and activities of this process, by name. Of a workflow with several versions ``workflows`` has
    the newest: the one that is not ``older``; if all are, the one that was defined last (D3)."""

    def __init__(self) -> None:
        self.workflows: dict[str, Workflow[..., Any]] = {}
        self.activities: dict[str, Activity[..., Any]] = {}
        self._older: dict[str, dict[str, Workflow[..., Any]]] = {}  # by name, by place

    def add_workflow(self, definition: Workflow[..., Any]) -> None:
        """Add a version. One from the same place replaces that of before: its module was loaded again.

        Raises:
            ConfigurationError: another place has that name, and neither says that it is a version of the other.
        """
        older = self._older.setdefault(definition.name, {})
        newest = self.workflows.get(definition.name)
        if definition.older:
            older.pop(_place(definition.fn), None)
            older[_place(definition.fn)] = definition
            if newest is None or newest.older:
                self.workflows[definition.name] = definition
        elif newest is None or newest.older:
            self.workflows[definition.name] = definition
        else:
            _add(self.workflows, definition)

    def add_activity(self, definition: Activity[..., Any]) -> None:
        _add(self.activities, definition)

    def workflow(self, name: str, version_hash: str | None = None) -> Workflow[..., Any]:
        """Return that version of the workflow of that name, the newest if none is asked for.

        Raises:
            UnknownWorkflowError: it is not loaded in this process.
        """
        newest = self.workflows.get(name)
        if newest is None:
            raise UnknownWorkflowError(name, list(self.workflows))
        if version_hash is None or newest.version_hash == version_hash:
            return newest
        for version in self._older.get(name, {}).values():
            if version.version_hash == version_hash:
                return version
        raise UnknownWorkflowError(name, list(self.workflows), version_hash)

    def versions(self) -> list[tuple[str, str]]:
        """Return (name, version_hash) of every workflow in every version that is loaded in this process."""
        older = [version for versions in self._older.values() for version in versions.values()]
        loaded = [*self.workflows.values(), *older]
        return sorted({(version.name, version.version_hash) for version in loaded})

    def activity(self, name: str) -> Activity[..., Any]:
        """Return the activity of that name.

        Raises:
            UnknownWorkflowError: none is loaded in this process.
        """
        found = self.activities.get(name)
        if found is None:
            raise UnknownWorkflowError(name, list(self.activities))
        return found


registry = Registry()


def _add(names: dict[str, Any], definition: Definition[..., Any]) -> None:
    """A module that is loaded again replaces its own definitions; two places with one name are a mistake."""
    before = names.get(definition.name)
    if before is not None and not is_same_place(before.fn, definition.fn):
        raise ConfigurationError(
            f"two {definition.kind} functions are named {definition.name!r}: {_place(before.fn)} and "
            f"{_place(definition.fn)}; give one of them another name="
        )
    names[definition.name] = definition


def _function_of(given: object, kind: Kind, name: str | None) -> FunctionType:
    if isinstance(given, Definition):
        what = "an activity" if given.kind == "activity" else "a workflow"
        raise TypeError(f"@{kind} takes a function, and {given.name} is {what} already; decorate it once")
    return decorated_function(given, kind, name)


def _place(fn: Callable[..., Any]) -> str:
    return f"{fn.__code__.co_filename}:{fn.__qualname__}"


@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


@overload
def workflow(
    *,
    name: str | None = None,
    logical: str | None = None,
    snapshot_every: int | None = None,
    versioning: Versioning = "pinned",
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Workflow[P, R]]: ...


def workflow(
    fn: Any = None,
    /,
    *,
    name: str | None = None,
    logical: str | None = None,
    snapshot_every: int | None = None,
    versioning: Versioning = "pinned",
) -> Any:
    """Define a durable workflow: an ``async def`` whose effects are journaled and replayed.

    Calling the result makes a :class:`WorkflowCall` and runs nothing. ``name`` is its name in the database,
    ``module.qualname`` by default.

    ``logical`` makes the function one more version of the workflow of that name. It is an older one, which only
    finishes the runs that are pinned to it, unless its own name is the logical one too; if there are only older
    ones, new runs get the one that was defined last.

    ``versioning``: a run goes on only with the version that it is ``"pinned"`` to; ``"adopt"`` takes over runs of
    versions that are not loaded here if their whole history replays with this code.

    ``snapshot_every``: so many events apart the history of a long run is compacted, so that it resumes sooner; it is
    never needed.

    Raises:
        TypeError: it is not an ``async def`` (D1).
        ValueError: ``versioning`` is something else, or ``snapshot_every`` no number from 1.
        DeterminismError: it does what a replay cannot repeat; all findings together (X1).
    """
    if versioning not in ("pinned", "adopt"):
        raise ValueError(f'versioning is "pinned" or "adopt", not {versioning!r}')

    if snapshot_every is not None and (isinstance(snapshot_every, bool) or snapshot_every < 1):
        raise ValueError(f"snapshot_every is a number of events from 1, not {snapshot_every!r}")

    def define(function: Callable[..., Any]) -> Workflow[..., Any]:
        function = _function_of(function, "workflow", name)
        own = name or name_of(function)
        older = logical is not None and own != logical
        definition: Workflow[..., Any] = Workflow(
            function,
            logical or own,
            snapshot_every,
            older=older,
            versioning=versioning,
            unreachable=None if name or logical else unreachable(function),
        )
        scan.define(function, definition.name)
        registry.add_workflow(definition)
        return definition

    return define if fn is None else define(fn)


class _Define:
    """The decorator with options: overloads keep the results of ``async def`` and ``def`` apart for checkers."""

    def __init__(self, name: str | None, options: ActivityOptions) -> None:
        self._name, self._options = name, options

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...

    def __call__(self, fn: Any, /) -> Any:
        fn = _function_of(fn, "activity", self._name)
        definition: Activity[..., Any] = Activity(fn, self._name or name_of(fn), self._options)
        registry.add_activity(definition)
        return definition


@overload
def activity(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Activity[P, R]: ...


@overload
def activity(fn: Callable[P, R], /) -> Activity[P, R]: ...


@overload
def activity(
    *,
    name: str | None = None,
    retry: Retry = ...,
    timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    queue: str = "default",
    idempotency_key: Callable[..., str] | None = None,
    isolate: bool = False,
) -> _Define: ...


def activity(fn: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Define an activity: a ``def`` (run in a thread) or ``async def`` (run on the worker's loop).

    Calling the result makes an :class:`ActivityCall`. ``retry``: when failed attempts are followed by others;
    ``timeout``: seconds or timedelta for one attempt; ``heartbeat_timeout``: between two of its ``heartbeat()`` calls;
    ``queue``: the workers that may run it; ``idempotency_key``: maps the activity's arguments to a key under which the
    first result is kept, for every call of every run; ``isolate``: an attempt runs in a process of its own, that a
    time-out or a cancel kills.

    Raises:
        TypeError, ValueError, ConfigurationError: a function or policy that cannot work (A2).
    """
    define = _Define(name, defined_options(options))
    return define if fn is None else define(fn)
