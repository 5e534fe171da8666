"""Pydantic models as data: what is read from one, what stands for it in a payload, and how it is made again.

``model_dump`` gives what a model would show to the outside: without the fields that it excludes, as its serializers
write them, of a subclass behind a base no more than the base declares. A payload has to bring the value itself. So a
model is read as copying would read it (its fields as they are, which of them were set, its extra ones, its private
attributes), and is made again without its validators: these have run, and need not give the same a second time.

    model ──read──► PydanticData ──payload──► PydanticData ──assemble──► an equal model of the same class

The name of the class travels along. It is compared with the classes that the receiver's annotation allows, and never
looked up in a module. What bears no name (JSON that people wrote, payloads of older versions) or the name of another
class is input like any other: pydantic validates it (`continuum.model.record`).

Pydantic is never imported here.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

MAIN = "__main__"


class PydanticData(dict[str, object]):
    """The fields of a model and then its extra ones, by name; for who knows no better, a dict.

    ``module`` and ``qualname`` name the model's class. ``unset`` are the fields that nobody set, ``extra`` the names
    that no field has, ``private`` the private attributes.
    """

    __slots__ = ("extra", "module", "private", "qualname", "unset")

    def __init__(
        self,
        values: Mapping[str, object],
        module: str,
        qualname: str,
        unset: frozenset[str] = frozenset(),
        extra: frozenset[str] = frozenset(),
        private: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(values)
        self.module = module
        self.qualname = qualname
        self.unset = unset
        self.extra = extra
        self.private: dict[str, object] = dict(private or {})

    @property
    def name(self) -> str:
        return f"{self.module}.{self.qualname}"

    def parts(self) -> Iterator[object]:
        """Everything that the model holds."""
        yield from self.values()
        yield from self.private.values()

    def class_below(self, base: type) -> type | None:
        """The class that this is data of: ``base``, or one below it that is loaded; of two, the younger."""
        if self._is_of(base):
            return base
        younger_first: list[type] = type.__subclasses__(base)[::-1]
        for below in younger_first:
            found = self.class_below(below)
            if found is not None:
                return found
        return None

    def _is_of(self, cls: type) -> bool:
        # A program that runs a module as its main one and a node that imports it mean the same class.
        return cls.__qualname__ == self.qualname and (
            cls.__module__ == self.module or MAIN in (cls.__module__, self.module)
        )


def from_wire(parts: list[Any]) -> PydanticData:
    """The inverse of `to_wire`.

    Raises:
        ValueError, TypeError: these are no parts of a model.
    """
    module, qualname, values, unset, extra, private = parts
    if not (type(module) is str and type(qualname) is str and type(values) is dict and type(private) is dict):
        raise ValueError("not the parts of a pydantic model")
    return PydanticData(values, module, qualname, frozenset(unset), frozenset(extra), private)


def to_wire(data: PydanticData) -> list[object]:
    """What a payload holds of a model: six parts, names in the order of their fields."""
    named = [[name for name in data if name in names] for names in (data.unset, data.extra)]
    return [data.module, data.qualname, dict(data), *named, data.private]


def is_model(cls: type) -> bool:
    """Whether ``cls`` is a model of pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(cls, pydantic.BaseModel)


def is_root_model(cls: type) -> bool:
    """Whether ``cls`` is a pydantic model of one value without a name, which a payload holds in its place."""
    return is_model(cls) and bool(getattr(cls, "__pydantic_root_model__", False))


def is_pydantic_dataclass(cls: type) -> bool:
    """Whether pydantic made this dataclass, and not only one that it inherits from."""
    return "__pydantic_fields__" in vars(cls) and dataclasses.is_dataclass(cls)


def fields_of(cls: Any) -> dict[str, Any]:
    """Pydantic's descriptions of the fields of a model or a pydantic dataclass, their annotations resolved."""
    if not cls.__pydantic_complete__ and hasattr(cls, "model_rebuild"):
        cls.model_rebuild(raise_errors=False)
    found: dict[str, Any] = cls.__pydantic_fields__
    return found


def reader(cls: Any, check: Callable[[Any, object], None]) -> Callable[[Any], PydanticData]:
    """The function that reads a model of class ``cls``, without calling any code of the model.

    ``check`` is given what no annotation describes, as (where it is, value): extra fields and private attributes.
    Where a field's annotation says nothing, its value is given as well.
    """
    module, qualname = cls.__module__, cls.__qualname__
    names = tuple(fields_of(cls))
    open_names = tuple(name for name, field in fields_of(cls).items() if says_nothing(field.annotation))

    def read(model: Any) -> PydanticData:
        held = vars(model) if hasattr(model, "__dict__") else {}
        values = {name: held[name] if name in held else _held_elsewhere(model, name) for name in names}
        extra = getattr(model, "__pydantic_extra__", None) or {}
        private = getattr(model, "__pydantic_private__", None) or {}
        for name in open_names:
            check(f"its field {name}", values[name])
        for name, value in (*extra.items(), *private.items()):
            check(f"its {'private attribute' if name in private else 'extra field'} {name}", value)
        fields_set = getattr(model, "__pydantic_fields_set__", None)
        unset = frozenset() if fields_set is None else frozenset(names) - fields_set
        return PydanticData(values | extra, module, qualname, unset, frozenset(extra), private)

    return read


def _held_elsewhere(model: Any, name: str) -> object:
    """A field that is not in the ``__dict__``: in a slot of a dataclass, or nowhere."""
    try:
        return object.__getattribute__(model, name)
    except AttributeError:
        raise ValueError(
            f"it was made without its field {name!r}; give that a value, or make it with its constructor"
        ) from None


def says_nothing(annotation: object) -> bool:
    """Whether an annotation leaves open, anywhere in it, what the value is: ``Any``, ``dict[str, Any]``."""
    if annotation is Any or annotation is object:
        return True
    if isinstance(annotation, TypeVar):  # that nothing was put in for
        return not annotation.__constraints__ and annotation.__bound__ is None
    return any(says_nothing(part) for part in getattr(annotation, "__args__", ()))


def assemble(cls: Any, values: dict[str, object], private: dict[str, object], data: PydanticData) -> object:
    """A model of class ``cls`` as copying makes one: with these restored parts of ``data``, nothing of its own run.

    Fields and private attributes that the class has got since then take their defaults.
    """
    model: Any = cls.__new__(cls)
    extra = {name: values.pop(name) for name in data if name in data.extra and name in values}
    missing = [name for name in fields_of(cls) if name not in values]
    for name in missing:
        values[name] = fields_of(cls)[name].get_default(call_default_factory=True, validated_data=values)
    if not is_model(cls):
        for name, value in values.items():
            object.__setattr__(model, name, value)  # also when frozen
        return model
    ordered = {name: values[name] for name in fields_of(cls)}
    object.__setattr__(model, "__dict__", ordered)
    object.__setattr__(
        model, "__pydantic_fields_set__", ordered.keys() - data.unset - set(missing) | extra.keys()
    )
    allows_extra = cls.model_config.get("extra") == "allow"
    object.__setattr__(model, "__pydantic_extra__", extra if allows_extra else None)
    object.__setattr__(model, "__pydantic_private__", _private(cls, private))
    return model


def _private(cls: Any, held: dict[str, object]) -> dict[str, object] | None:
    declared = cls.__private_attributes__
    if not declared:
        return None
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    new = {name: attribute.get_default() for name, attribute in declared.items() if name not in held}
    return held | {name: value for name, value in new.items() if value is not undefined}


def same_again(model: Any) -> None:
    """Hold a root model to what its receiver will make of its value.

    Raises:
        ValueError: its validators, run again, give another value; or it has private attributes.
    """
    if getattr(model, "__pydantic_private__", None):
        raise ValueError("a root model with private attributes cannot be encoded; pass a model with fields")
    if type(model).model_validate(model.root) != model:
        raise ValueError(
            "its validators change the value when they run again, as they do where it is received; "
            "let them accept what they return"
        )


def without_names(value: object) -> object:
    """A decoded value with its models as dicts of their fields: what older versions wrote, and people write."""
    kind = type(value)
    if isinstance(value, dict):
        return {name: without_names(part) for name, part in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(without_names(part) for part in value)  # type: ignore[attr-defined]
    return value
