"""Why a value cannot be a payload, and where: the walk that follows a failed encoding.

It visits the parts in the order in which they are written and stops at the first that is at fault.
It looks at no more parts than a payload may have bytes, because a part needs at least one: values
that share parts can be small in memory and endless to walk.
"""

from __future__ import annotations

from collections.abc import Iterator

from continuum.errors import PayloadError
from continuum.model.extensions import PACK
from continuum.model.path import at_field, at_index, at_key, at_member, describe, shorten, type_name
from continuum.model.plain import NotPlainError, is_hashable, plain
from continuum.model.pydantic_data import PydanticData

NESTING_MAX = 100


def explain(value: object, error: Exception, *, path: str, limit_bytes: int) -> PayloadError:
    """The error for a value that failed to encode with ``error``."""
    try:
        _Walk(limit_bytes, path).visit(value, path, ())
    except PayloadError as refused:
        return refused
    return PayloadError(f"cannot be encoded: {str(error) or type(error).__name__}", path=path)


def too_large(size: str, limit_bytes: int, path: str) -> PayloadError:
    return PayloadError(
        f"payload of {size} is larger than the limit of {limit_bytes:,} bytes; "
        "store the content elsewhere and pass a reference to it",
        path=path,
    )


def refused(message: str, path: str) -> PayloadError:
    return PayloadError(message, path=shorten(path))


class _Walk:
    def __init__(self, limit_bytes: int, root: str) -> None:
        self._limit_bytes = limit_bytes
        self._root = root
        self._visited = 0

    def visit(self, value: object, path: str, above: tuple[int, ...]) -> None:
        """Raise the PayloadError of the first fault in ``value``; ``above`` are the ids of its containers."""
        self._visited += 1
        if self._visited > self._limit_bytes:
            raise too_large(f"more than {self._limit_bytes:,} parts", self._limit_bytes, self._root)
        simple = _simple(value, path)
        if not isinstance(simple, list | dict | tuple | set | frozenset):
            _check_scalar(simple, path)
            return
        if id(value) in above:
            raise refused("contains itself; a payload is a tree without cycles", path)
        if len(above) == NESTING_MAX:
            raise refused(f"nested deeper than {NESTING_MAX} levels; flatten the value", path)
        is_record = type(simple) is PydanticData or (isinstance(simple, dict) and not isinstance(value, dict))
        for part, step in _parts(simple, path, is_record=is_record):
            self.visit(part, step, (*above, id(value)))


def _simple(value: object, path: str) -> object:
    try:
        return plain(value)
    except NotPlainError as error:
        raise refused(str(error), path) from error
    except Exception as error:
        raise refused(
            f"a value of type {type_name(type(value))} could not be read: {type(error).__name__}: {error}",
            path,
        ) from error


def _parts(
    simple: list[object] | dict[object, object] | tuple[object, ...] | set[object] | frozenset[object],
    path: str,
    *,
    is_record: bool,
) -> Iterator[tuple[object, str]]:
    match simple:
        case dict() if is_record:
            private = simple.private if isinstance(simple, PydanticData) else {}
            for name, part in (*simple.items(), *private.items()):
                yield part, path + at_field(str(name))
        case dict():
            for key, part in simple.items():
                step = path + at_key(key)
                yield key, step
                _check_hashable(key, step, "a dict key")
                yield part, step
        case set() | frozenset():
            for member in simple:
                step = path + at_member(member)
                yield member, step
                _check_hashable(member, step, "a member of a set")
            _check_distinct(simple, path)
        case _:
            for index, part in enumerate(simple):
                yield part, path + at_index(index)


def _check_hashable(value: object, path: str, role: str) -> None:
    if not is_hashable(value):
        raise refused(
            f"{describe(value)} cannot be {role}: it is stored as a dict or a list, which cannot be one; "
            "use its id, or a tuple",
            path,
        )


def _check_distinct(members: set[object] | frozenset[object], path: str) -> None:
    seen: set[object] = set()
    for member in members:
        simple = plain(member)
        if simple in seen:
            raise refused(f"two members are stored as the same value {describe(simple)}; use a list", path)
        seen.add(simple)


def _check_scalar(value: object, path: str) -> None:
    try:
        if isinstance(value, str):
            value.encode()
        elif type(value) in PACK:
            PACK[type(value)][1](value)
    except UnicodeEncodeError as error:
        raise refused(
            f"text with a lone surrogate at {error.start}, which UTF-8 cannot hold; "
            "decode it with errors='replace', or pass bytes",
            path,
        ) from error
    except Exception as error:
        raise refused(f"{describe(value)} cannot be encoded: {error}", path) from error
