"""``@pure``: functions that workflows of other modules may call, because they are scanned by the same rules (X6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from continuum.core.determinism.scan import define
from continuum.core.determinism.settings import mark_pure

F = TypeVar("F", bound=Callable[..., Any] | ModuleType)


def pure(target: F) -> F:
    """Mark a function, or all that a module defines, as deterministic: scanned now, trusted where a workflow calls it.

    Raises:
        DeterminismError: it does what a replay cannot repeat; all findings of a function together.
        TypeError: it is neither a function nor a module.
    """
    if isinstance(target, ModuleType):
        mark_pure(target)
        for fn in _functions_of(target):
            define(fn, f"{fn.__module__}.{fn.__qualname__}")
    elif isinstance(target, FunctionType):
        mark_pure(target)
        define(target, f"{target.__module__}.{target.__qualname__}")
    else:
        raise TypeError(
            f"@pure takes a function or a module, not {target!r}; mark the methods of a class one by one"
        )
    return target


def _functions_of(module: ModuleType) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type):
            yield from (fn for fn in vars(value).values() if isinstance(fn, FunctionType))
