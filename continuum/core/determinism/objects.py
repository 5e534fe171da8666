"""Objects and their names: what an object is called where people import it, and whether that is denied (X3)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, EnumType
from functools import partial
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import NamedTuple

from continuum.core.determinism.table import Denial, denial_of_name, is_guarded, rule_named, usual_name
from continuum.core.determinism.values import Instance, Known, Named, Value, Values

_MISSING = object()
# What dataclasses, pydantic, msgspec, attrs and typed dictionaries leave on their classes.
_PLAIN_MARKS = ("__dataclass_fields__", "model_fields", "__struct_fields__", "__attrs_attrs__", "__total__")
_ITEMS_MAX = 200
_RUNNING = frozenset(
    {
        *(each for each in vars(itertools).values() if isinstance(each, type)),
        *(GeneratorType, AsyncGeneratorType, CoroutineType, map, filter, zip, enumerate, reversed),
        *(type(iter(kind())) for kind in (list, tuple, dict, set, str)),
    }
)
_NESTING_MAX = 3


class Denied(NamedTuple):
    """A name that an expression resolves to, and the entry of the table that refuses it."""

    name: str
    denial: Denial


def denied(value: Value) -> Denied | None:
    """Return why a value may not be used in workflow code, or None."""
    match value:
        case Known(obj, name) if not isinstance(obj, ModuleType):
            return denied_object(obj, name)
        case Named(name):
            denial = denial_of_name(name)
            return Denied(name, denial) if denial is not None else None
        case _:
            return None


def denied_object(obj: object, name: str = "", nesting: int = 0) -> Denied | None:
    """Return why an object is denied: by the name it was reached by, by its own, or by what it contains."""
    if isinstance(obj, type) and issubclass(obj, BaseException):
        return None  # to catch what an activity's library raises does no harm
    if obj is None or type(obj) in (str, int, float, bool, bytes):
        # A constant has no origin of its own; the name it was reached by has.
        return _first_denied([name]) if name else None
    if is_running(obj.__self__ if isinstance(obj, BuiltinFunctionType | MethodWrapperType) else obj):
        return Denied(f"an iterator of the module{f' ({name})' if name else ''}", rule_named("global-state"))
    found = _first_denied([name, *names_of(obj)])
    if found is None and nesting < _NESTING_MAX:
        for part in _parts(obj):
            found = found or denied_object(part, nesting=nesting + 1)
    return found


def is_running(obj: object) -> bool:
    """Whether it is an iterator or generator that exists already, so that every use of it moves it on."""
    return type(obj) in _RUNNING


def names_of(obj: object) -> list[str]:
    """Return the dotted names that an object answers to."""
    if isinstance(obj, staticmethod | classmethod | MethodType):
        return [*_bound_names(obj), *names_of(obj.__func__)]
    if isinstance(obj, type):
        return _class_names(obj)
    if isinstance(obj, FunctionType):
        return [_own_name(obj)]
    if isinstance(obj, BuiltinFunctionType):
        return _bound_names(obj) or [_own_name(obj)]
    return _class_names(type(obj))


def module_of(obj: object) -> str:
    """Return the name of the module whose code a call of this object runs; empty if nobody knows."""
    if isinstance(obj, MethodType | staticmethod | classmethod):
        obj = obj.__func__
    if isinstance(obj, BuiltinFunctionType) and not isinstance(obj.__self__, ModuleType):
        obj = obj.__self__ if isinstance(obj.__self__, type) else type(obj.__self__)
    elif isinstance(obj, MethodDescriptorType | WrapperDescriptorType | ClassMethodDescriptorType):
        obj = obj.__objclass__
    elif not isinstance(obj, type | FunctionType | BuiltinFunctionType):
        obj = type(obj)
    module = getattr(obj, "__module__", None)
    return module if isinstance(module, str) else ""


def member(value: Value, name: str) -> Known | Named | None:
    """Return an attribute without running any code of the object: no property, no module's ``__getattr__``."""
    match value:
        case Named(base):
            return Named(f"{base}.{name}")
        case Known(ModuleType() as module):
            return _of_module(module, name)
        case Known(type() as cls):
            return _of_class(cls, name)
        case Known(obj):
            own = _fields_of(obj).get(name, _MISSING)
            return Known(own) if own is not _MISSING else _of_class(type(obj), name)
        case Instance(cls):
            return _of_class(cls, name)
        case _:
            return None


def items(obj: object) -> Values:
    """What a container that exists already has in it."""
    if isinstance(obj, dict):
        return tuple(Known(item) for item in [*obj.values()][:_ITEMS_MAX])
    if isinstance(obj, EnumType):
        members: Sequence[Enum] = [*obj.__members__.values()]
        return tuple(Known(one) for one in members[:_ITEMS_MAX])
    if isinstance(obj, list | tuple | set | frozenset):
        return tuple(Known(item) for item in [*obj][:_ITEMS_MAX])
    return ()


def named_module(name: str) -> Value:
    """A module as an import statement gives it; one that is not loaded stays a name, nothing is imported."""
    module = sys.modules.get(name)
    return Known(module, name) if module is not None else Named(name)


def is_plain(cls: type) -> bool:
    """Whether the class only holds values, so that to construct one runs no code that matters (X6)."""
    if issubclass(cls, BaseException | Enum) or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        return True
    return any(hasattr(cls, mark) for mark in _PLAIN_MARKS)


def guarded(obj: object) -> str | None:
    """Return the name of a module or class of which something is denied, so that its attributes must be plain."""
    if isinstance(obj, ModuleType):
        name = usual_name(obj.__name__)
        return name if is_guarded(name) else None
    if isinstance(obj, type):
        return next((name for name in _class_names(obj) if is_guarded(name)), None)
    return None


def _of_module(module: ModuleType, name: str) -> Known | Named:
    path = f"{usual_name(module.__name__)}.{name}"
    found = vars(module).get(name, _MISSING)
    if found is _MISSING:
        found = sys.modules.get(f"{module.__name__}.{name}", _MISSING)
    return Named(path) if found is _MISSING else Known(found, path)


def _of_class(cls: type, name: str) -> Known | None:
    """A method is denied under the name of any class that inherits it, but not where it is overridden."""
    heirs: list[str] = []
    for base in cls.__mro__:
        heirs.append(f"{_own_name(base)}.{name}")
        if name in vars(base):
            found = _first_denied(heirs)
            return Known(vars(base)[name], found.name if found is not None else heirs[-1])
    return None


def _fields_of(obj: object) -> Mapping[str, object]:
    """Its ``__dict__``, past whatever a proxy would answer."""
    try:
        fields = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _bound_names(obj: object) -> list[str]:
    owner = getattr(obj, "__self__", None)
    if owner is None or isinstance(owner, ModuleType):
        return []
    found = _of_class(owner if isinstance(owner, type) else type(owner), getattr(obj, "__name__", ""))
    return [found.name] if found is not None else []


def _own_name(obj: object) -> str:
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str):
        module = getattr(getattr(obj, "__self__", None), "__name__", "")
    qualname = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", "")
    return f"{usual_name(str(module))}.{qualname}"


def _class_names(cls: type) -> list[str]:
    return [_own_name(base) for base in cls.__mro__ if base is not object]


def _first_denied(names: list[str]) -> Denied | None:
    for name in names:
        denial = denial_of_name(name)
        if denial is not None:
            return Denied(name, denial)
    return None


def _parts(obj: object) -> Iterator[object]:
    if isinstance(obj, partial):
        yield from (obj.func, *obj.args, *obj.keywords.values())
    elif isinstance(obj, dict | list | tuple | set | frozenset):
        for value in items(obj):
            yield value.obj if isinstance(value, Known) else None
