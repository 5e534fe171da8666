"""Objects that workflow code makes of classes whose default factories draw from outside, such as ``uuid4``.

A replay makes them again, and would draw again. So the factory runs as a side effect: inside a workflow the constructor
is given what the journal has for the field, and outside it works as ever. The scan says which classes and fields.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakSet

import msgspec

from continuum.core.commands.effect import default_of
from continuum.core.determinism import scan
from continuum.core.loop import running
from continuum.model.hints import class_hints
from continuum.model.pydantic_data import is_model
from continuum.model.restore import restorer

_kept: WeakSet[type] = WeakSet()


def keep_defaults(cls: Any, factories: Mapping[str, Callable[[], object]]) -> bool:
    """Let the constructor of ``cls`` journal what these default factories give in workflow code; False if it cannot,
    because it is not written in Python."""
    if issubclass(cls, msgspec.Struct):
        return False
    if cls in _kept:
        return True
    _kept.add(cls)
    original = cls.__init__
    names = [] if is_model(cls) else list(inspect.signature(original).parameters)[1:]
    spellings = {name: _spellings(cls, name) for name in factories}
    hints = class_hints(cls)
    restores = {name: restorer(hints.get(name, Any)) for name in factories}

    @functools.wraps(original)
    def constructor(self: object, /, *args: Any, **kwargs: Any) -> None:
        loop = running.loop
        if loop is not None:
            given = {*names[: len(args)], *kwargs}
            for name, factory in factories.items():
                if given.isdisjoint(spellings[name]):
                    told = f"{cls.__qualname__}.{name}"
                    kwargs[spellings[name][0]] = default_of(loop.machine, factory, told, restores[name])
        original(self, *args, **kwargs)

    cls.__init__ = constructor
    return True


def _spellings(cls: Any, name: str) -> list[str]:
    """The names by which the constructor takes a field, the one that it surely takes first."""
    field = cls.model_fields[name] if is_model(cls) else None
    return [*_aliases(field), name]


def _aliases(field: Any) -> Iterator[str]:
    for alias in (getattr(field, "validation_alias", None), getattr(field, "alias", None)):
        if isinstance(alias, str):
            yield alias


scan.keep_defaults = keep_defaults
