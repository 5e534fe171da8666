"""Restoring what has fields: dataclasses, msgspec Structs, named tuples, TypedDicts, pydantic models.

A record is restored through its constructor, so its own checks run. Fields that the data lacks take
their defaults. A field that the class does not have is refused: an older version of the code that
dropped what it does not know would finish a run with half of its input.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from continuum.model.hints import class_hints
from continuum.model.mismatch import Mismatch, name_of, unexpected
from continuum.model.path import at_field, at_index, at_key, show
from continuum.model.pydantic_data import PydanticData, assemble, fields_of, is_model, without_names

Restore = Callable[[object], object]
Compile = Callable[[object], Restore]
"""Makes the restorer of an annotation, in the mode of whoever passes it."""
MAPS_EXACT = frozenset({dict})
MAPS = MAPS_EXACT | {PydanticData}
"""What may become another record: the data of a model says whose it is, so that is no exact fit."""


@dataclasses.dataclass(frozen=True)
class Fields:
    """What a record type takes: restorers by field name, and which of them the data must have."""

    restorers: Mapping[str, Restore]
    required: frozenset[str]
    init_only: frozenset[str] = frozenset()

    def check(self, data: Mapping[object, object], annotation: object, *, exact: bool) -> None:
        """Raises: Mismatch: the data has other fields than the record."""
        names = self.restorers.keys()
        unknown = [key for key in data if key not in names]
        if unknown:
            raise Mismatch(
                f"{name_of(annotation)} has no field {', '.join(map(show, unknown[:5]))}; "
                "the data was written by another version of it, or for another type"
            )
        required = names - self.init_only if exact else self.required
        missing = [name for name in names if name in required and name not in data]
        if missing:
            raise Mismatch(f"{name_of(annotation)} lacks {', '.join(map(repr, missing[:5]))}")

    def restore(self, data: Mapping[object, object], at: Callable[[str], str]) -> dict[str, object]:
        restored: dict[str, object] = {}
        for name, restorer in self.restorers.items():
            if name in data:
                try:
                    restored[name] = restorer(data[name])
                except Mismatch as fault:
                    fault.step(at(name))
                    raise
        return restored


def lazily(read: Callable[[], Fields]) -> Callable[[], Fields]:
    """Read fields at first use: a class may refer to itself, or to one that is defined later."""
    fields: Fields | None = None

    def get() -> Fields:
        nonlocal fields
        if fields is None:
            fields = read()
        return fields

    return get


def construct(cls: type, *args: object, **kwargs: object) -> object:
    """Call the constructor. Raises: Mismatch: it refused."""
    try:
        return cls(*args, **kwargs)
    except Exception as error:
        raise Mismatch(f"{name_of(cls)} refused the value: {type(error).__name__}: {error}") from error


def dataclass_restorer(cls: Any, compile_field: Compile, *, exact: bool) -> Restore:
    get = lazily(lambda: _dataclass_fields(cls, compile_field))
    declared: dict[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(cls)}
    after_init = frozenset(name for name, field in declared.items() if not field.init)
    by_constructor = _is_constructible(cls)
    maps = MAPS_EXACT if exact else MAPS

    def restore(data: Any) -> object:
        if type(data) not in maps:
            if isinstance(data, cls):
                return data
            raise unexpected(cls, data)
        fields = get()
        if exact or data.keys() != fields.restorers.keys():
            fields.check(data, cls, exact=exact)
        values = fields.restore(data, at_field)
        if not by_constructor:
            return _assemble(cls, values, declared)
        if not after_init:
            return construct(cls, **values)
        record = construct(cls, **{name: values[name] for name in values if name not in after_init})
        for name in after_init & values.keys():
            object.__setattr__(record, name, values[name])  # also when frozen
        return record

    return restore


def _is_constructible(cls: Any) -> bool:
    """Whether the stored fields are enough to call ``__init__``: an InitVar without default is not stored."""
    return bool(cls.__dataclass_params__.init) and not any(_lacks_default(f) for f in _init_only(cls))


def _init_only(cls: Any) -> list[dataclasses.Field[Any]]:
    # `dataclasses.fields` leaves InitVars out, and nothing public lists them.
    marker = getattr(dataclasses, "_FIELD_INITVAR", None)
    return [
        field for field in cls.__dataclass_fields__.values() if getattr(field, "_field_type", 0) is marker
    ]


def _lacks_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _dataclass_fields(cls: Any, compile_field: Compile) -> Fields:
    hints = class_hints(cls)
    declared = dataclasses.fields(cls)
    restorers = {field.name: compile_field(hints.get(field.name, Any)) for field in declared}
    init_only = [field.name for field in _init_only(cls)] if _is_constructible(cls) else []
    for name in init_only:
        hint = hints.get(name, Any)
        restorers[name] = compile_field(hint.type if isinstance(hint, dataclasses.InitVar) else hint)
    required = frozenset(field.name for field in declared if field.init and _lacks_default(field))
    return Fields(restorers, required, frozenset(init_only))


def _assemble(cls: type, values: dict[str, object], declared: Mapping[str, dataclasses.Field[Any]]) -> object:
    """A record without its constructor, as copying makes one: its fields are all there is of it."""
    record: object = object.__new__(cls)
    for name, field in declared.items():
        if name in values:
            object.__setattr__(record, name, values[name])
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(record, name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(record, name, field.default_factory())
    return record


def struct_restorer(cls: type[msgspec.Struct], compile_field: Compile, *, exact: bool) -> Restore:
    get = lazily(lambda: _struct_fields(cls, compile_field))
    config = cls.__struct_config__
    maps = MAPS_EXACT if exact else MAPS

    def restore(data: Any) -> object:
        if type(data) not in maps:
            if isinstance(data, cls):
                return data
            raise unexpected(cls, data)
        if config.tag_field is not None:
            tag = data.get(config.tag_field, config.tag)
            if tag != config.tag or (exact and config.tag_field not in data):
                raise Mismatch(f"expected {name_of(cls)}, got one tagged {tag!r}", outright=True)
            data = {name: data[name] for name in data if name != config.tag_field}
        fields = get()
        fields.check(data, cls, exact=exact)
        return construct(cls, **fields.restore(data, at_field))

    return restore


def _struct_fields(cls: type[msgspec.Struct], compile_field: Compile) -> Fields:
    hints = class_hints(cls)
    names = cls.__struct_fields__
    # Defaults belong to the last fields; `NODEFAULT` stands in for those, keyword-only, that have none.
    defaults = dict(zip(reversed(names), reversed(cls.__struct_defaults__), strict=False))
    required = frozenset(name for name in names if defaults.get(name, msgspec.NODEFAULT) is msgspec.NODEFAULT)
    return Fields({name: compile_field(hints.get(name, Any)) for name in names}, required)


def typed_dict_restorer(cls: Any, compile_field: Compile, *, exact: bool) -> Restore:
    get = lazily(lambda: _typed_dict_fields(cls, compile_field))
    maps = MAPS_EXACT if exact else MAPS

    def restore(data: Any) -> object:
        if type(data) not in maps:
            raise unexpected(cls, data)
        fields = get()
        # The fields that may be absent are part of the type: it fits exactly without them.
        fields.check(data, cls, exact=False)
        return fields.restore(data, at_key)

    return restore


def _typed_dict_fields(cls: Any, compile_field: Compile) -> Fields:
    hints = class_hints(cls)
    required = set(cls.__required_keys__)
    for name, hint in hints.items():
        # With annotations as strings the class itself cannot see these marks.
        origin = typing.get_origin(hint)
        if origin is typing.Required:
            required.add(name)
        elif origin is typing.NotRequired:
            required.discard(name)
    return Fields({name: compile_field(hint) for name, hint in hints.items()}, frozenset(required))


def named_tuple_restorer(cls: Any, compile_field: Compile, *, exact: bool) -> Restore:
    restorers: list[Restore] | None = None
    least = len(cls._fields) - len(cls._field_defaults)

    def restore(data: object) -> object:
        nonlocal restorers
        if type(data) is not tuple and (exact or not isinstance(data, list | tuple)):
            raise unexpected(cls, data)
        if not least <= len(data) <= len(cls._fields) or (exact and len(data) != len(cls._fields)):
            raise Mismatch(f"{name_of(cls)} has {len(cls._fields)} fields, the data {len(data)}")
        if restorers is None:
            hints = class_hints(cls)
            restorers = [compile_field(hints.get(name, Any)) for name in cls._fields]
        return construct(cls, *each(restorers, data))

    return restore


def each(restorers: list[Restore], data: list[object] | tuple[object, ...]) -> list[object]:
    """Restore item by item, each with its own restorer; as many as there is data."""
    restored: list[object] = []
    try:
        for restore, item in zip(restorers, data, strict=False):
            restored.append(restore(item))
    except Mismatch as fault:
        fault.step(at_index(len(restored)))
        raise
    return restored


def pydantic_restorer(cls: Any, compile_field: Compile, restore_input: Restore, *, exact: bool) -> Restore:
    """Restores models and pydantic dataclasses: from their own data, else by ``restore_input``.

    ``compile_field`` makes restorers that keep a value as the model held it.
    """
    get = lazily(lambda: _pydantic_fields(cls, compile_field))

    def restore(data: object) -> object:
        if type(data) is not PydanticData:
            return restore_input(data)
        kind = data.class_below(cls)
        if kind is None:
            if exact:
                raise unexpected(cls, data)
            return restore_input(_as_input(cls, data))
        if kind is not cls:
            return compile_field(kind)(data)
        return assemble(cls, *_restore_parts(cls, data, get(), compile_field(Any)), data)

    return restore


def _restore_parts(
    cls: Any, data: PydanticData, fields: Fields, restore_open: Restore
) -> tuple[dict[str, object], dict[str, object]]:
    """The fields, extra ones among them, and the private attributes of a model."""
    extra = data.extra - fields.restorers.keys() if _allows_extra(cls) else frozenset[str]()
    plain_fields: dict[object, object] = {name: data[name] for name in data if name not in extra}
    fields.check(plain_fields, cls, exact=False)
    _check_private(cls, data)
    restored = fields.restore(plain_fields, at_field)
    restored |= {name: _at_field(restore_open, data[name], name) for name in data if name in extra}
    return restored, {name: _at_field(restore_open, part, name) for name, part in data.private.items()}


def _allows_extra(cls: Any) -> bool:
    return is_model(cls) and cls.model_config.get("extra") == "allow"


def _at_field(restore: Restore, value: object, name: str) -> object:
    try:
        return restore(value)
    except Mismatch as fault:
        fault.step(at_field(name))
        raise


def _pydantic_fields(cls: Any, compile_field: Compile) -> Fields:
    fields = fields_of(cls)
    required = frozenset(name for name, field in fields.items() if field.is_required())
    return Fields({name: compile_field(field.annotation) for name, field in fields.items()}, required)


def _as_input(cls: Any, data: PydanticData) -> dict[str, object]:
    """The data of another class as input for ``cls``, which must not leave any of it out."""
    known = fields_of(cls).keys()
    unknown = [name for name in (*data, *data.private) if name not in known]
    if unknown and not _allows_extra(cls):
        raise Mismatch(
            f"{name_of(cls)} has no field {', '.join(map(show, unknown[:5]))}, and {data.name}, "
            "of which the value is, is no subclass of it that is loaded here"
        )
    return {name: without_names(value) for name, value in data.items()}


def _check_private(cls: Any, data: PydanticData) -> None:
    unknown = data.private.keys() - (cls.__private_attributes__.keys() if is_model(cls) else ())
    if unknown:
        raise Mismatch(
            f"{name_of(cls)} has no private attribute {', '.join(map(show, sorted(unknown)[:5]))}; "
            "the data was written by another version of it"
        )


def model_restorer(cls: Any, *, exact: bool) -> Restore:
    """Restores models from input: pydantic validates it."""
    # Fields are stored by name; a model with aliases takes names since pydantic 2.11, if told to.
    by_name = "by_name" in inspect.signature(cls.model_validate).parameters
    options = {"by_alias": True, "by_name": True} if by_name else {}

    def restore(data: object) -> object:
        if isinstance(data, cls):
            return data
        if exact and type(data) is dict and data.keys() - cls.model_fields.keys():
            raise unexpected(cls, data)
        try:
            return cls.model_validate(data, **options)
        except Exception as error:
            raise _pydantic_fault(cls, error) from error

    return restore


def root_model_restorer(cls: Any, compile_field: Compile, *, exact: bool) -> Restore:
    """Restores models of one value without a name: what the annotation makes of it, else the value as it is."""
    validate = model_restorer(cls, exact=exact)
    get = lazily(lambda: _pydantic_fields(cls, compile_field))

    def restore(data: object) -> object:
        if isinstance(data, cls):
            return data
        try:
            return validate(get().restorers["root"](data))
        except Mismatch:
            return validate(without_names(data))

    return restore


def _pydantic_fault(cls: type, error: Any) -> Mismatch:
    """The first of the errors that pydantic lists, at its place."""
    first = error.errors(include_url=False, include_context=False)[0] if hasattr(error, "errors") else {}
    fault = Mismatch(f"{name_of(cls)}: {first.get('msg', error)}", outright=not first.get("loc"))
    for place in reversed(first.get("loc", ())):
        fault.step(at_index(place) if isinstance(place, int) else at_field(str(place)))
    return fault
