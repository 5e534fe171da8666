"""The annotations of functions and classes as types, as far as they can be resolved.

A name that cannot be resolved (a class that is local to another function, or imported for the type
checker only) costs the hint of that one parameter or field, which then reads as `Any`.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any


def function_hints(fn: Callable[..., Any]) -> dict[str, object]:
    """Parameter names, and ``return``, to types. Sees the globals of ``fn`` and the names it closes over."""
    target: Any = inspect.unwrap(fn)
    target = getattr(target, "__func__", target)
    names = getattr(target, "__globals__", {})
    return _hints(target, names, _closure(target))


def class_hints(cls: type) -> dict[str, object]:
    """Names of annotated attributes to types, bases included."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are code: they can raise anything
        hints: dict[str, object] = {}
        for base in reversed(cls.__mro__):
            module = sys.modules.get(base.__module__)
            # As in `get_type_hints`, the module comes before the class: a field may be called like its type.
            # The class itself is added, which no module knows when it is local to a function.
            own_names = {**vars(base), base.__name__: base}
            hints |= _each(_raw(base), own_names, vars(module) if module else {})
        return hints


def signature(fn: Callable[..., Any]) -> inspect.Signature:
    """`inspect.signature`, which must not fail for an annotation that cannot be resolved."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return inspect.signature(fn, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(fn)


def _hints(target: Any, names: dict[str, Any], local_names: Mapping[str, object]) -> dict[str, object]:
    try:
        return typing.get_type_hints(target, names, dict(local_names), include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are code: they can raise anything
        return _each(_raw(target), names, local_names)


def _each(
    annotations: Mapping[str, object], names: dict[str, Any], local_names: Mapping[str, object]
) -> dict[str, object]:
    hints: dict[str, object] = {}
    for name, annotation in annotations.items():
        holder = types.FunctionType((lambda: None).__code__, {})
        holder.__annotations__ = {name: annotation}
        try:
            hints |= typing.get_type_hints(holder, names, dict(local_names), include_extras=True)
        except Exception:  # noqa: BLE001 - annotations are code: they can raise anything
            hints[name] = Any
    return hints


def _raw(target: Any) -> Mapping[str, object]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(target, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(target)


def _closure(fn: Any) -> dict[str, object]:
    found: dict[str, object] = {}
    code = getattr(fn, "__code__", None)
    for name, cell in zip(
        code.co_freevars if code else (), getattr(fn, "__closure__", None) or (), strict=False
    ):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    return found
