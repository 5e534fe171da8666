"""``@pure``: helpers that workflows may call, because a replay gets the same from them (D2, X6)."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

PURE_MARK = "__continuum_pure__"

F = TypeVar("F", bound=Callable[..., Any] | ModuleType)


def pure(fn_or_module: F) -> F:
    """Mark a helper function, or all functions of a module, as deterministic, and return it.

    Workflows may call it, it is scanned by their rules, and a change of its body makes another version of every
    workflow that reaches it.

    Raises:
        TypeError: it is neither a function nor a module.
    """
    if not isinstance(fn_or_module, FunctionType | ModuleType):
        raise TypeError(
            f"pure() takes a function or a module, not {fn_or_module!r}; put @pure next to the def, "
            "below other decorators"
        )
    setattr(fn_or_module, PURE_MARK, True)
    return fn_or_module
