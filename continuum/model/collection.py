"""Restoring what holds parts of one kind: lists, sets, tuples, mappings and their abstract types."""

from __future__ import annotations

from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Callable
from typing import Any

from continuum.model.mismatch import Mismatch, unexpected
from continuum.model.path import at_index, at_key, at_member
from continuum.model.plain import SCALAR_TYPES
from continuum.model.record import MAPS, MAPS_EXACT, Compile, Restore, each

_ANY_ORDERED = (list, tuple)
_ANY = (list, tuple, set, frozenset)

# Annotation → (how to build one, or None for the kind that came; what the data may be, the exact kind first).
# A list is taken for a tuple or a set because people write arguments as JSON.
SEQUENCES: dict[object, tuple[Callable[[Any], object] | None, tuple[type, ...]]] = {
    list: (list, (list,)),
    set: (set, (set, frozenset, list)),
    frozenset: (frozenset, (frozenset, set, list)),
    deque: (deque, (list,)),
    abc.MutableSequence: (list, (list,)),
    abc.Sequence: (None, _ANY_ORDERED),
    abc.Reversible: (None, _ANY_ORDERED),
    abc.Set: (None, (set, frozenset)),
    abc.MutableSet: (set, (set, list)),
    abc.Collection: (None, _ANY),
    abc.Iterable: (None, _ANY),
    abc.Container: (None, _ANY),
}

_BUILD: dict[type, Callable[[list[object]], object]] = {kind: kind for kind in (list, tuple, set, frozenset)}

MAPPINGS: dict[object, Callable[[dict[Any, Any]], object]] = {
    dict: dict,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
    OrderedDict: OrderedDict,
    defaultdict: lambda data: defaultdict(None, data),  # its factory is code, which no payload holds
    Counter: Counter,
}

_TEXT_TOO = frozenset({abc.Sequence, abc.Collection, abc.Iterable, abc.Container, abc.Reversible})


def sequence_restorer(
    annotation: object, origin: object, restore_part: Restore, part: object, *, exact: bool
) -> Restore:
    build, kinds = SEQUENCES[origin]
    accepted = kinds[:1] if exact and build is not None else kinds
    scalar = part if isinstance(part, type) and part in SCALAR_TYPES else None
    any_part = part is Any or part is object
    takes_text = origin in _TEXT_TOO and (any_part or part is str)

    def restore(data: object) -> object:
        kind = type(data)
        if kind not in accepted:
            if takes_text and kind is str:
                return data
            raise unexpected(annotation, data)
        assert isinstance(data, _ANY)
        # `map` and `set` look at a thousand integers in the time of thirty calls.
        if any_part or (scalar is not None and set(map(type, data)) <= {scalar}):
            return data if build is None or build is kind else build(data)
        parts = _parts(data, restore_part)
        return build(parts) if build is not None else _BUILD[kind](parts)

    return restore


def _parts(
    data: list[object] | tuple[object, ...] | set[object] | frozenset[object], restore_part: Restore
) -> list[object]:
    restored: list[object] = []
    item: object = None
    try:
        for item in data:
            restored.append(restore_part(item))
    except Mismatch as fault:
        fault.step(at_index(len(restored)) if isinstance(data, list | tuple) else at_member(item))
        raise
    return restored


def tuple_restorer(
    annotation: object, parts: tuple[Any, ...], compile_part: Compile, *, exact: bool
) -> Restore:
    accepted = (tuple,) if exact else (tuple, list)
    if len(parts) == 2 and parts[1] is Ellipsis:
        restore_all: Callable[[Any], list[object]] = _all_alike(compile_part(parts[0]), parts[0])
    elif any(_is_unpacked(part) for part in parts):
        restore_all = list
    else:
        restore_all = _one_by_one([compile_part(part) for part in parts])

    def restore(data: object) -> object:
        if type(data) not in accepted:
            raise unexpected(annotation, data)
        return tuple(restore_all(data))

    return restore


def _is_unpacked(part: object) -> bool:
    """``*tuple[int, ...]`` or ``*Ts`` inside a tuple: any number of parts, of which nothing is checked."""
    return bool(getattr(part, "__unpacked__", False)) or "Unpack" in repr(part)


def _all_alike(restore_part: Restore, part: object) -> Callable[[Any], list[object]]:
    if part is Any or part is object:
        return list
    return lambda data: _parts(data, restore_part)


def _one_by_one(restorers: list[Restore]) -> Callable[[Any], list[object]]:
    def restore(data: Any) -> list[object]:
        if len(data) != len(restorers):
            raise Mismatch(f"expected {len(restorers)} items, got {len(data)}", outright=True)
        return each(restorers, data)

    return restore


def mapping_restorer(
    annotation: object, origin: object, key: object, value: object, compile_part: Compile, *, exact: bool
) -> Restore:
    build = MAPPINGS[origin]
    maps = MAPS_EXACT if exact else MAPS
    restore_key, restore_value = compile_part(key), compile_part(value)
    kinds = [part if isinstance(part, type) and part in SCALAR_TYPES else None for part in (key, value)]
    all_keys, all_values = key in (Any, object), value in (Any, object)

    def restore(data: Any) -> object:
        if type(data) not in maps:
            raise unexpected(annotation, data)
        if (all_keys or set(map(type, data)) <= {kinds[0]}) and (
            all_values or set(map(type, data.values())) <= {kinds[1]}
        ):
            return data if build is type(data) else build(data)
        return build(_items(data, restore_key, restore_value))

    return restore


def _items(data: dict[object, object], restore_key: Restore, restore_value: Restore) -> dict[object, object]:
    restored: dict[object, object] = {}
    key: object = None
    try:
        for key, value in data.items():
            restored[restore_key(key)] = restore_value(value)
    except Mismatch as fault:
        fault.step(at_key(key))
        raise
    return restored
