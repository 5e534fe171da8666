"""The Python functions that run when an object of a workflow's own module, or a pure one, is used (X6)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, MappingProxyType, MethodType

from continuum.core.determinism.objects import items
from continuum.core.determinism.settings import is_pure
from continuum.core.determinism.values import Known

_BINARY = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"),
    *("lshift", "rshift", "and", "xor", "or"),
)
# What runs without being named: by a construction, a `with`, a loop, a call, an operator, an attribute. Not what makes
# the order of a set or dict (`__hash__`), which the scan finds where it is used, and not what only debuggers run.
_IMPLICIT = (
    *("__new__", "__init__", "__post_init__", "__enter__", "__exit__", "__aenter__", "__aexit__"),
    *("__iter__", "__next__", "__aiter__", "__anext__", "__call__", "__await__", "__reversed__"),
    *(f"__{kind}{name}__" for name in _BINARY for kind in ("", "r", "i")),
    *("__neg__", "__pos__", "__abs__", "__invert__", "__round__", "__trunc__", "__floor__", "__ceil__"),
    *("__int__", "__float__", "__complex__", "__index__", "__bool__", "__len__", "__contains__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("__getitem__", "__setitem__", "__delitem__", "__missing__", "__class_getitem__"),
    *("__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__get__", "__set__", "__delete__"),
)
_TEXTS = ("__str__", "__repr__", "__format__")


def functions_of(obj: object, variables: dict[str, object]) -> list[FunctionType]:
    """Return the functions behind ``obj`` that are to be scanned for a function with these globals."""
    return [fn for fn in _functions(obj, variables, 3) if _is_ours(fn, variables)]


def text_functions_of(cls: type, variables: dict[str, object]) -> list[FunctionType]:
    """Return the functions that make the text of an instance, as far as they are to be scanned."""
    found = _named(cls, _TEXTS, variables, 2)
    return [fn for fn in found if _is_ours(fn, variables)]


def _is_ours(fn: FunctionType, variables: dict[str, object]) -> bool:
    return fn.__globals__ is variables or is_pure(fn, fn.__module__ or "")


def _functions(obj: object, variables: dict[str, object], nesting: int) -> Iterator[FunctionType]:
    if nesting == 0:
        return
    if isinstance(obj, FunctionType):
        yield obj
        registry = vars(obj).get("registry")  # of functools.singledispatch
        if isinstance(registry, MappingProxyType):
            for implementation in registry.values():
                yield from _functions(implementation, variables, nesting - 1)
        wrapped = vars(obj).get("__wrapped__")
        if wrapped is not None:
            yield from _functions(wrapped, variables, nesting)
    elif isinstance(obj, type):
        yield from _named(obj, _IMPLICIT, variables, nesting)
        yield from _named(type(obj), ("__call__",), variables, nesting)
        for part in vars(obj).values() if _is_near(obj, variables) else ():
            if hasattr(type(part), "__get__") and not isinstance(part, FunctionType | type):
                yield from _named(type(part), ("__get__", "__set__"), variables, nesting)
    else:
        for part in _parts(obj):
            yield from _functions(part, variables, nesting - 1)


def _named(
    cls: type, names: tuple[str, ...], variables: dict[str, object], nesting: int
) -> Iterator[FunctionType]:
    """The methods of these names that a class has, or inherits from one of the same module."""
    seen: set[str] = set()
    for base in cls.__mro__:
        own = vars(base)
        for name in names if _is_near(base, variables) else ():
            if name in own and name not in seen:
                seen.add(name)
                for fn in _functions(own[name], variables, nesting - 1):
                    if not fn.__code__.co_filename.startswith("<"):  # what dataclasses and the like generate
                        yield fn


def _is_near(cls: type, variables: dict[str, object]) -> bool:
    return cls.__module__ == variables.get("__name__") or is_pure(cls, cls.__module__)


def _parts(obj: object) -> list[object]:  # noqa: PLR0911 - one case a kind
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
        case functools.singledispatchmethod():
            return [obj.func, *obj.dispatcher.registry.values()]
        case Enum():
            return [type(obj), obj._value_]
        case functools._lru_cache_wrapper():
            return [obj.__wrapped__]
        case _:
            return []
