"""Values that restoring would complete anew each time, completed once: what is kept is the whole value.

A record that was sent by older code, by hand or from another language lacks fields, and restoring it draws them from a
default factory, such as ``uuid4``. A replay restores again, and would draw others. So what enters a run is restored
and encoded once, before it is journaled, if its type has anything that could draw at all.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from continuum.model import payload
from continuum.model.hints import class_hints
from continuum.model.pydantic_data import is_model, is_root_model

# Factories that give the same each time.
_STEADY: tuple[object, ...] = (
    *(list, dict, set, frozenset, tuple, str, bytes, bytearray, int, float, complex, bool),
    *(deque, Counter, OrderedDict, Decimal),
)


def may_draw(annotation: object) -> bool:
    """Say whether restoring a value of this type runs code that could give another one the next time: a default
    factory that is not known to be steady, a ``__post_init__``, a validator."""
    seen: set[object] = set()
    waiting: list[object] = [annotation]
    while waiting:
        each = waiting.pop()
        try:
            if each in seen:
                continue
            seen.add(each)
        except TypeError:  # Annotated and Literal may hold what cannot be hashed
            pass
        if isinstance(each, type) and _draws(each):
            return True
        waiting += _parts_of(each)
    return False


def completed(restore: Callable[[object], object], value: bytes) -> bytes:
    """Return the payload of what restoring ``value`` gives, if that is more than what it says and stays the same when
    it is restored again; else ``value`` itself, and for one that cannot be restored: whoever restores it will say why.
    """
    try:
        whole = payload.encode(restore(payload.decode(value)))
        if whole != value and payload.encode(restore(payload.decode(whole))) == whole:
            return whole
    except Exception:  # noqa: BLE001 - restoring runs the user's constructors
        return value
    return value


def factories_of(cls: type) -> dict[str, Callable[[], object]]:
    """Return the default factories of a record's fields, by the names that its constructor takes."""
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return {
            field.name: field.default_factory
            for field in dataclasses.fields(cls)
            if field.init and field.default_factory is not missing
        }
    if issubclass(cls, msgspec.Struct):
        return {
            field.name: field.default_factory
            for field in msgspec.structs.fields(cls)
            if field.default_factory is not msgspec.NODEFAULT
        }
    if _is_model(cls):
        fields: dict[str, Any] = getattr(cls, "model_fields", {})
        return {
            name: field.default_factory for name, field in fields.items() if field.default_factory is not None
        }
    return {}


def _draws(cls: type) -> bool:
    if any(not _is_steady(factory) for factory in factories_of(cls).values()):
        return True
    if dataclasses.is_dataclass(cls):
        return hasattr(cls, "__post_init__") or not _is_plainly_made(cls)
    if issubclass(cls, msgspec.Struct):
        return hasattr(cls, "__post_init__")
    return _is_model(cls) and _is_checked(cls)


def _is_steady(factory: object) -> bool:
    return factory in _STEADY or (isinstance(factory, type) and _is_record(factory) and not may_draw(factory))


def _is_record(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct) or _is_model(cls)


def _is_plainly_made(cls: Any) -> bool:
    """Whether the constructor is that of dataclasses, and takes all that a factory could make."""
    made_after = any(not field.init for field in dataclasses.fields(cls) if _has_factory(field))
    return bool(cls.__dataclass_params__.init) and not made_after


def _has_factory(field: dataclasses.Field[Any]) -> bool:
    return field.default_factory is not dataclasses.MISSING


def _is_checked(cls: Any) -> bool:
    """Whether a pydantic model has validators, private attributes or a hook of its own."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    named = ("validators", "field_validators", "root_validators", "model_validators")
    return (
        any(getattr(decorators, name, None) for name in named)
        or bool(getattr(cls, "__private_attributes__", None))
        or getattr(cls, "__pydantic_post_init__", None) is not None
    )


def _parts_of(annotation: Any) -> tuple[object, ...]:
    """The types inside one: arguments of a generic, fields of a record, what an alias or a variable stands for."""
    if isinstance(annotation, typing.TypeVar):
        return (annotation.__bound__, *annotation.__constraints__)
    if isinstance(annotation, typing.NewType):
        return (annotation.__supertype__,)
    origin = typing.get_origin(annotation)
    if origin is not None:
        return (origin, *typing.get_args(annotation))
    if type(annotation).__name__ == "TypeAliasType":
        return (annotation.__value__,)
    if isinstance(annotation, type) and (_is_record(annotation) or _has_fields(annotation)):
        return (*class_hints(annotation).values(), *getattr(annotation, "__orig_bases__", ()))
    return ()


def _has_fields(cls: type) -> bool:
    return typing.is_typeddict(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def _is_model(cls: type) -> bool:
    return is_model(cls) or is_root_model(cls)
