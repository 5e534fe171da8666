"""What a value of any supported type is made of: one level of it, in plain types.

    dataclass, msgspec.Struct                  →  dict of its fields
    pydantic model, pydantic dataclass         →  `PydanticData`, a dict of its fields that knows whose they are
    enum member                                →  its value
    named tuple                                →  tuple
    subclass of a plain type                   →  that plain type
    bytearray, memoryview                      →  bytes;  deque → list

Only one level: the parts of the result may need the same again. The codec, the search for the place
of a refusal, and the display for people all read values through here, so that they cannot disagree.
A type that is not listed is refused: there is no fall-back that would call into a value.
"""

from __future__ import annotations

import dataclasses
import io
import types
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from continuum.model.path import type_name
from continuum.model.pydantic_data import (
    PydanticData,
    is_model,
    is_pydantic_dataclass,
    is_root_model,
    reader,
    same_again,
)

SCALAR_TYPES: frozenset[type] = frozenset(
    {type(None), bool, int, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID}
)
CONTAINER_TYPES: frozenset[type] = frozenset({list, dict, tuple, set, frozenset, PydanticData})
PLAIN_TYPES = SCALAR_TYPES | CONTAINER_TYPES

CONVERTERS_MAX = 4096


class NotPlainError(TypeError):
    """A value of a type that no payload can hold; the text says what to pass instead."""


Converter = Callable[[Any], object]

_converters: dict[type, Converter] = {}


def plain(value: object) -> object:
    """One level of ``value`` in plain types; a value that is plain already comes back itself.

    Raises:
        NotPlainError: no payload can hold a value of this type.
        Exception: whatever the value's own code raised while its fields were read.
    """
    cls = type(value)
    if cls in PLAIN_TYPES:
        return value
    return (_converters.get(cls) or _learn(cls))(value)


def is_hashable(value: object) -> bool:
    """Whether ``value``, encoded and decoded again, can be a dict key or a member of a set."""
    simple = plain(value)
    if isinstance(simple, tuple | frozenset):
        return all(is_hashable(part) for part in simple)
    return not isinstance(simple, list | dict | set)


def _learn(cls: type) -> Converter:
    if len(_converters) >= CONVERTERS_MAX:
        # Only a program that makes types without end gets here; the table must not keep them alive.
        _converters.clear()
    converter = _converters[cls] = _find(cls)
    return converter


def _find(cls: type) -> Converter:
    if issubclass(cls, Enum):
        return lambda member: plain(member.value)
    if issubclass(cls, msgspec.Struct):
        return _struct_converter(cls)
    if is_root_model(cls):
        return _plain_root
    if is_model(cls) or is_pydantic_dataclass(cls):
        return reader(cls, _check_undescribed)
    if dataclasses.is_dataclass(cls):
        names = tuple(field.name for field in dataclasses.fields(cls))
        return lambda record: {name: getattr(record, name) for name in names}
    for base, converter in _SUBCLASS_CONVERTERS:
        if issubclass(cls, base):
            return converter
    return _refuse


def _plain_root(model: Any) -> object:
    same_again(model)
    return plain(model.root)


def _check_undescribed(where: str, value: object) -> None:
    """Refuse, at ``where`` in a model, a value that nobody could restore, because no annotation says what it is.

    Models may stand there: their data names their class.
    """
    kind = type(value)
    if kind is dict:
        for key, part in value.items():  # type: ignore[attr-defined]
            _check_undescribed(where, key)
            _check_undescribed(where, part)
    elif kind in CONTAINER_TYPES:
        for part in value:  # type: ignore[attr-defined]
            _check_undescribed(where, part)
    elif kind not in SCALAR_TYPES and (not is_model(kind) or is_root_model(kind)):
        raise NotPlainError(
            f"{where} holds {type_name(kind)}, and no annotation says what to make of it again; "
            "annotate it with its type in a field of the model, or pass plain values there"
        )


def _struct_converter(cls: type[msgspec.Struct]) -> Converter:
    names = cls.__struct_fields__
    config = cls.__struct_config__
    if config.tag_field is None:
        return lambda record: {name: getattr(record, name) for name in names}
    # The tag is what tells the members of a union of Structs apart.
    tag = {config.tag_field: config.tag}
    return lambda record: tag | {name: getattr(record, name) for name in names}


def _plain_datetime(value: datetime) -> datetime:
    day, clock = datetime.date(value), datetime.timetz(value)
    return datetime.combine(date(day.year, day.month, day.day), clock)


def _plain_time(value: time) -> time:
    return time(
        value.hour, value.minute, value.second, value.microsecond, tzinfo=value.tzinfo, fold=value.fold
    )


# The methods are taken from the base, so that an overridden `__str__` or `__iter__` does not change the value.
# datetime stands before date, of which it is a subclass.
_SUBCLASS_CONVERTERS: tuple[tuple[type, Converter], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: memoryview(value).tobytes()),
    (bytearray, bytes),
    (memoryview, lambda value: value.tobytes()),
    (datetime, _plain_datetime),
    (date, lambda value: date(value.year, value.month, value.day)),
    (time, _plain_time),
    (timedelta, lambda value: timedelta(value.days, value.seconds, value.microseconds)),
    (Decimal, lambda value: Decimal(Decimal.__str__(value))),
    (UUID, lambda value: UUID(bytes=value.bytes)),
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (deque, list),
)

_HINTS: tuple[tuple[tuple[type, ...], str, str], ...] = (
    ((type, types.GenericAlias), "a class", "pass its name"),
    (
        (types.FunctionType, types.BuiltinFunctionType, types.MethodType),
        "a function",
        "pass its name, or call it and pass what it returns",
    ),
    ((io.IOBase,), "an open file", "pass its path or its content"),
    ((Awaitable,), "something to await", "await it first and pass its result"),
    ((Generator, Iterator), "an iterator", "pass list(...) of it"),
    ((types.ModuleType,), "a module", "pass its name"),
    ((BaseException,), "an exception", "pass str() of it"),
    ((complex,), "a complex number", "pass its two parts"),
)


# Of what is never imported here, by module and the end of the name.
_HINTS_BY_NAME: tuple[tuple[str, str, str, str], ...] = (
    ("pathlib", "Path", "a path", "pass its text: str() of it"),
    ("ipaddress", "", "an internet address", "pass its text: str() of it"),
    ("pydantic.networks", "Url", "a URL", "pass its text, str() of it, and declare the field as str"),
    ("pydantic.networks", "Dsn", "a URL", "pass its text, str() of it, and declare the field as str"),
    ("pydantic.types", "Secret", "a secret", "pass the name under which an activity can look it up"),
    ("pydantic.types", "SecretStr", "a secret", "pass the name under which an activity can look it up"),
    ("pydantic.types", "SecretBytes", "a secret", "pass the name under which an activity can look it up"),
)


def _refuse(value: object) -> object:
    name = type_name(type(value))
    for module, end, noun, remedy in _HINTS_BY_NAME:
        if any(
            f"{base.__module__}.".startswith(f"{module}.") and base.__qualname__.endswith(end)
            for base in type(value).__mro__
        ):
            raise NotPlainError(f"{noun} ({name}) cannot be encoded; {remedy}")
    for kinds, noun, remedy in _HINTS:
        if isinstance(value, kinds):
            own_name = getattr(value, "__qualname__", None)
            raise NotPlainError(f"{noun} ({own_name or name}) cannot be encoded; {remedy}")
    raise NotPlainError(
        f"a value of type {name} cannot be encoded; pass plain values, containers of them, "
        "dataclasses, enums or pydantic models"
    )
