"""The Python functions that run when an object of a workflow's own module, or a pure one, is used (X6)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType, MethodType

from continuum.core.determinism.objects import items
from continuum.core.determinism.settings import is_pure
from continuum.core.determinism.values import Known

# What runs without being named: by a construction, a `with`, a loop, a call.
_IMPLICIT = (
    *("__new__", "__init__", "__post_init__", "__enter__", "__exit__", "__aenter__", "__aexit__"),
    *("__iter__", "__next__", "__aiter__", "__anext__", "__call__", "__await__"),
)


def functions_of(obj: object, variables: dict[str, object]) -> list[FunctionType]:
    """Return the functions behind ``obj`` that are to be scanned for a function with these globals."""
    return [fn for fn in _functions(obj, variables, 3) if _is_ours(fn, variables)]


def _is_ours(fn: FunctionType, variables: dict[str, object]) -> bool:
    return fn.__globals__ is variables or is_pure(fn, fn.__module__ or "")


def _functions(obj: object, variables: dict[str, object], nesting: int) -> Iterator[FunctionType]:
    if nesting == 0:
        return
    if isinstance(obj, FunctionType):
        yield obj
        wrapped = vars(obj).get("__wrapped__")
        if wrapped is not None:
            yield from _functions(wrapped, variables, nesting)
    elif isinstance(obj, type):
        if obj.__module__ == variables.get("__name__") or is_pure(obj, obj.__module__):
            for name in _IMPLICIT:
                for fn in _functions(vars(obj).get(name), variables, nesting - 1):
                    if not fn.__code__.co_filename.startswith("<"):  # what dataclasses and the like generate
                        yield fn
    else:
        for part in _parts(obj):
            yield from _functions(part, variables, nesting - 1)


def _parts(obj: object) -> list[object]:
    match obj:
        case MethodType() | staticmethod() | classmethod():
            return [obj.__func__]
        case property():
            return [obj.fget, obj.fset]
        case functools.cached_property():
            return [obj.func]
        case functools.partial():
            return [obj.func, *obj.args, *obj.keywords.values()]
        case functools.partialmethod():
            return [obj.func]
        case dict() | list() | tuple():
            return [value.obj for value in items(obj) if isinstance(value, Known)]
        case functools._lru_cache_wrapper():
            return [obj.__wrapped__]
        case _:
            return []
