"""From an annotation to the function that restores a value of it.

There are two modes. *Lenient* accepts what means the same: an ``int`` for ``float``, a list for a tuple
or a set (people write JSON), a record without the fields that have defaults. *Exact* accepts only what
encoding a value of that very type gives. A union tries its members exactly first, in their order, and
then leniently: ``int | float`` keeps integers, and of two dataclasses the one with these fields is chosen.
Where several fit exactly the first does: ``str | Color`` gives ``str``.

An annotation that says nothing about data (``Any``, ``object``, a bare TypeVar, a Protocol) accepts all.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from enum import Enum, Flag
from functools import partial
from typing import Any

import msgspec

from continuum.model.collection import (
    MAPPINGS,
    SEQUENCES,
    mapping_restorer,
    sequence_restorer,
    tuple_restorer,
)
from continuum.model.mismatch import Mismatch, name_of, unexpected
from continuum.model.plain import CONTAINER_TYPES, SCALAR_TYPES, plain
from continuum.model.pydantic_data import PydanticData, is_model, is_pydantic_dataclass, is_root_model
from continuum.model.record import (
    Restore,
    construct,
    dataclass_restorer,
    model_restorer,
    named_tuple_restorer,
    pydantic_restorer,
    root_model_restorer,
    struct_restorer,
    typed_dict_restorer,
)

CACHED_MAX = 4096

_cached: dict[object, Restore] = {}


def identity(value: object) -> object:
    """The restorer of an annotation that asks for nothing."""
    return value


@dataclasses.dataclass(frozen=True)
class Mode:
    """``names``: what the type variables of the enclosing generic class, and ``Self``, stand for.

    ``kept``: the value was in a field of a pydantic model, whose validators have run: what is no record stays as it
    is. ``enum_values``: the model keeps the values of enum members in their place.
    """

    exact: bool = False
    names: tuple[tuple[object, object], ...] = ()
    kept: bool = False
    enum_values: bool = False


def compile_annotation(annotation: object, mode: Mode = Mode()) -> Restore:
    """The restorer of ``annotation``, made once. It raises `Mismatch`, or returns the restored value."""
    if mode.names and isinstance(annotation, type):
        # A class means the same wherever it stands: without this, one that refers to itself never ends.
        mode = replace(mode, names=())
    # Unions are equal whatever the order of their members, but the order decides: hence the repr.
    key = (annotation, repr(annotation), mode)
    try:
        found = _cached.get(key)
    except TypeError:  # Annotated and Literal may hold what cannot be hashed
        return _compile(annotation, mode)
    if found is None:
        if len(_cached) >= CACHED_MAX:
            _cached.clear()
        found = _cached[key] = _compile(annotation, mode)
    return found


def _compile(annotation: Any, mode: Mode) -> Restore:
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _compile_generic(annotation, origin, typing.get_args(annotation), mode)
    if annotation is None:
        return _scalar(type(None), mode)
    if isinstance(annotation, typing.TypeVar) or annotation is typing.Self:
        return _compile_variable(annotation, mode)
    if isinstance(annotation, typing.NewType):
        return compile_annotation(annotation.__supertype__, mode)
    if _is_alias(annotation):
        return _deferred(lambda: compile_annotation(annotation.__value__, mode))
    if isinstance(annotation, type) and annotation not in (object, Any):
        return _compile_class(annotation, mode)
    return _revive if mode.kept else identity


def _revive(value: object) -> object:
    """The restorer of `Any` inside a model: models name their class, all else is what it is."""
    kind = type(value)
    if kind is PydanticData:
        return _revive_model(value)  # type: ignore[arg-type]
    if kind is dict:
        return {key: _revive(part) for key, part in value.items()}  # type: ignore[attr-defined]
    if kind in CONTAINER_TYPES:
        return kind(map(_revive, value))  # type: ignore[call-arg, call-overload]
    return value


def _revive_model(data: PydanticData) -> object:
    found = data.class_below(sys.modules["pydantic"].BaseModel) if "pydantic" in sys.modules else None
    if found is None:
        raise Mismatch(f"{data.name}, of which the value is, is not loaded here; import its module")
    return compile_annotation(found)(data)


class _Anything:
    """`Any` as a part of a collection in a model, which must not pass for `Any`: there may be models inside."""


def _is_alias(annotation: object) -> bool:
    """``type X = ...``, which Python 3.11 does not have."""
    return type(annotation).__name__ == "TypeAliasType"


def _deferred(make: Callable[[], Restore]) -> Restore:
    """An alias may refer to itself: it is followed when a value is there to be restored."""

    def restore(value: object) -> object:
        return make()(value)

    return restore


def _compile_variable(variable: Any, mode: Mode) -> Restore:
    names = dict(mode.names)
    if variable in names:
        return compile_annotation(names[variable], replace(mode, names=()))
    if getattr(variable, "__constraints__", ()):
        return _union(variable.__constraints__, variable, mode)
    return compile_annotation(_bound(variable), mode)


def _bound(variable: Any) -> object:
    bound = getattr(variable, "__bound__", None)
    return Any if bound is None else bound


def _compile_generic(annotation: Any, origin: Any, parts: tuple[Any, ...], mode: Mode) -> Restore:
    compile_part = partial(compile_annotation, mode=mode)
    if origin is typing.Union or origin is types.UnionType:
        return _union(parts, annotation, mode)
    if origin is typing.Literal:
        return _literal(parts, annotation)
    if origin in _TRANSPARENT:
        return compile_part(parts[0])
    if _is_alias(origin):
        names = _names(origin.__type_params__, parts, mode)
        return _deferred(lambda: compile_annotation(origin.__value__, replace(mode, names=names)))
    if parts or annotation == tuple[()]:
        collection = _collection(annotation, origin, parts, mode)
        if collection is not None:
            return collection
    if isinstance(origin, type) and origin is not type:
        names = _names(getattr(origin, "__parameters__", ()), parts, mode)
        return _compile_class(origin, replace(mode, names=names))
    return identity


_TRANSPARENT = (typing.Annotated, typing.Final, typing.ClassVar, typing.Required, typing.NotRequired)


def _collection(annotation: Any, origin: Any, parts: tuple[Any, ...], mode: Mode) -> Restore | None:
    compile_part = partial(compile_annotation, mode=mode)
    if mode.kept:
        parts = tuple(_Anything if part in (Any, object) else part for part in parts)
    if origin is tuple:
        return tuple_restorer(annotation, parts, compile_part, exact=mode.exact)
    if origin in SEQUENCES:
        return sequence_restorer(annotation, origin, compile_part(parts[0]), parts[0], exact=mode.exact)
    if origin in MAPPINGS:
        value = parts[1] if len(parts) > 1 else int  # Counter names its keys alone
        return mapping_restorer(annotation, origin, parts[0], value, compile_part, exact=mode.exact)
    return None


def _names(variables: Any, parts: tuple[Any, ...], mode: Mode) -> tuple[tuple[object, object], ...]:
    """What the variables of a generic class stand for in ``Class[parts]``, free of variables itself."""
    outer = dict(mode.names)
    return tuple((v, _substitute(part, outer)) for v, part in zip(variables, parts, strict=False))


def _substitute(part: Any, names: dict[object, object]) -> object:
    if isinstance(part, typing.TypeVar):
        return names.get(part, _bound(part))
    variables = () if isinstance(part, type) and typing.get_origin(part) is None else _variables(part)
    return part[tuple(_substitute(v, names) for v in variables)] if variables else part


def _variables(annotation: object) -> tuple[object, ...]:
    return tuple(getattr(annotation, "__parameters__", ()))


def _inherited(cls: type) -> tuple[tuple[object, object], ...]:
    """What the variables of the generic bases of a class stand for: ``class Ints(Box[int])``."""
    names: dict[object, object] = {}
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            names |= dict(_inherited(origin))
            names |= dict(_names(_variables(origin), typing.get_args(base), Mode()))
    return tuple(names.items())


def _compile_class(cls: Any, mode: Mode) -> Restore:
    if cls in SCALAR_TYPES:
        return _scalar(cls, mode)
    if issubclass(cls, Enum):
        return identity if mode.enum_values else _enum(cls)
    if cls is _Anything:
        return _revive
    record = _record(cls, mode)
    if record is not None:
        return record
    if cls is tuple or cls in SEQUENCES or cls in MAPPINGS:
        return compile_annotation(_of_anything(cls), mode)
    for base, stored in _SUBCLASSED:
        if issubclass(cls, base):
            return _subclass(cls, compile_annotation(stored, mode))
    if mode.kept and hasattr(cls, "__get_pydantic_core_schema__"):
        return identity  # says how pydantic validates a value, not what it is: EmailStr, AwareDatetime
    return _instance(cls)


def _of_anything(cls: Any) -> object:
    if cls is tuple:
        return tuple[Any, ...]
    return cls[Any, Any] if cls in MAPPINGS and cls is not Counter else cls[Any]


_SUBCLASSED: tuple[tuple[type, type], ...] = (
    *((base, base) for base in (str, int, float, bytes, Decimal, list, dict, set, frozenset, tuple, deque)),
    (bytearray, bytes),
)


def _record(cls: Any, mode: Mode) -> Restore | None:
    names = (*_inherited(cls), *mode.names, (typing.Self, cls))
    compile_field = partial(compile_annotation, mode=Mode(mode.exact, names))
    if issubclass(cls, msgspec.Struct):
        return struct_restorer(cls, compile_field, exact=mode.exact)
    if is_root_model(cls):
        return root_model_restorer(cls, _inside_model(cls, mode), exact=mode.exact)
    if is_model(cls):
        return pydantic_restorer(
            cls, _inside_model(cls, mode), model_restorer(cls, exact=mode.exact), exact=mode.exact
        )
    if dataclasses.is_dataclass(cls):
        from_input = dataclass_restorer(cls, compile_field, exact=mode.exact)
        if is_pydantic_dataclass(cls):  # type: ignore[arg-type]
            return pydantic_restorer(cls, _inside_model(cls, mode), from_input, exact=mode.exact)
        return from_input
    if typing.is_typeddict(cls):
        return typed_dict_restorer(cls, compile_field, exact=mode.exact)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return named_tuple_restorer(cls, compile_field, exact=mode.exact)
    return None


def _inside_model(cls: Any, mode: Mode) -> Callable[[object], Restore]:
    config = cls.model_config if is_model(cls) else cls.__pydantic_config__
    enum_values = bool(config.get("use_enum_values"))
    inside = Mode(mode.exact, ((typing.Self, cls),), kept=True, enum_values=enum_values)
    return partial(compile_annotation, mode=inside)


def _scalar(cls: type, mode: Mode) -> Restore:
    if mode.exact:

        def exactly(value: object) -> object:
            if type(value) is cls:
                return value
            raise unexpected(cls, value)

        return exactly
    if cls is float:
        return _float

    def scalar(value: object) -> object:
        if isinstance(value, cls):
            return value
        raise unexpected(cls, value)

    return scalar


def _float(value: object) -> object:
    if type(value) is float:
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            raise unexpected(float, value) from None
    raise unexpected(float, value)


def _subclass(cls: type, restore_base: Restore) -> Restore:
    def restore(value: object) -> object:
        if isinstance(value, cls):
            return value
        try:
            return construct(cls, restore_base(value))
        except Mismatch as fault:
            raise unexpected(cls, value) if fault.outright else fault from None

    return restore


def _instance(cls: type) -> Restore:
    def restore(value: object) -> object:
        try:
            fits = isinstance(value, cls)
        except TypeError:  # a Protocol that cannot be checked at run time
            return value
        if fits:
            return value
        raise unexpected(cls, value)

    return restore


def _enum(cls: type[Enum]) -> Restore:
    members: list[tuple[object, Enum]] = [(plain(member.value), member) for member in cls]
    kinds = {type(stored) for stored, _ in members} | ({int} if issubclass(cls, Flag) else set())

    def restore(value: object) -> object:
        if isinstance(value, cls):
            return value
        if type(value) in kinds:
            for stored, member in members:
                if stored == value and type(stored) is type(value):
                    return member
            try:
                return cls(value)  # combined flags, and `_missing_`
            except Exception:  # noqa: BLE001 - whatever `_missing_` raises, the value is none of the members
                raise unexpected(cls, value) from None
        raise unexpected(cls, value)

    return restore


def _literal(parts: tuple[object, ...], annotation: object) -> Restore:
    literals = [(plain(part), part) for part in parts]

    def restore(value: object) -> object:
        for stored, literal in literals:
            if value is literal or (type(stored) is type(value) and stored == value):
                return literal
        raise unexpected(annotation, value)

    return restore


def _union(parts: tuple[Any, ...], annotation: object, mode: Mode) -> Restore:
    modes = [mode] if mode.exact else [replace(mode, exact=True), mode]
    attempts = [compile_annotation(part, each) for each in modes for part in parts]
    if identity in attempts:
        attempts = [attempt for attempt in attempts if attempt is not identity] + [identity]
    at_once = _scalars_at_once(parts)

    def restore(value: object) -> object:
        if type(value) in at_once:
            return value
        faults = []
        for attempt in attempts:
            try:
                return attempt(value)
            except Mismatch as fault:
                faults.append(fault)
        raise _closest(faults[-len(parts) :], annotation, value)

    return restore


def _scalars_at_once(parts: tuple[Any, ...]) -> frozenset[type]:
    """The scalar types that no earlier member could take: these need no attempts."""
    found = {type(None)} if type(None) in parts else set()
    for part in parts:
        if part in SCALAR_TYPES:
            found.add(part)
        elif not dataclasses.is_dataclass(part):
            break
    return frozenset(found)


def _closest(faults: list[Mismatch], annotation: object, value: object) -> Mismatch:
    """The fault of the one member that was meant, if that can be seen; else one that names them all."""
    inner = [fault for fault in faults if not fault.outright]
    if not inner:
        return unexpected(annotation, value)
    deepest = max(fault.depth for fault in inner)
    nearest = [fault for fault in inner if fault.depth == deepest]
    if len(nearest) == 1:
        return nearest[0]
    reasons = "; ".join(f"{fault.path[1:]}: {fault.text}" if fault.path else fault.text for fault in inner)
    return Mismatch(f"fits no member of {name_of(annotation)}: {reasons}")
