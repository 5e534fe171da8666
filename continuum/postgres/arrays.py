"""Array parameters of the hot path, encoded in PostgreSQL's binary format at once.

psycopg encodes a list item by item, through an adapter object each; a commit has some thousands of items, and
while they are encoded the engine's thread waits for the interpreter. These functions build the same bytes with a
few calls, and fix the type of the array, so that a statement has one prepared form whatever the values are.

The format is that of ``array_send``: dimensions, whether there are nulls, element type; length and lower bound of
the dimension; then each element as its length and bytes, length -1 for null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct, pack
from uuid import UUID

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BOOL, _BYTEA, _INT8, _INT2, _TEXT, _FLOAT8, _UUID = 16, 17, 20, 21, 25, 701, 2950
_ARRAY_OF = {_BOOL: 1000, _BYTEA: 1001, _INT8: 1016, _INT2: 1005, _TEXT: 1009, _FLOAT8: 1022, _UUID: 2951}
_header = Struct(">iiIii").pack
_length = Struct(">i").pack
_float8 = Struct(">d").pack
_NULL = _length(-1)
_SHORT = [_length(size) for size in range(512)]  # the lengths that most items have
_UUID_SIZE = _length(16)


class BinaryArray:
    """An encoded array; ``data`` is what goes over the wire."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class BoolArray(BinaryArray): ...


class ByteaArray(BinaryArray): ...


class BigintArray(BinaryArray): ...


class SmallintArray(BinaryArray): ...


class TextArray(BinaryArray): ...


class DoubleArray(BinaryArray): ...


class UuidArray(BinaryArray): ...


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer | None:
        return obj.data


_ELEMENTS: dict[type[BinaryArray], int] = {
    BoolArray: _BOOL,
    ByteaArray: _BYTEA,
    BigintArray: _INT8,
    SmallintArray: _INT2,
    TextArray: _TEXT,
    DoubleArray: _FLOAT8,
    UuidArray: _UUID,
}
_DUMPERS = {
    array: type(f"{array.__name__}Dumper", (_ArrayDumper,), {"oid": _ARRAY_OF[element]})
    for array, element in _ELEMENTS.items()
}


def adapt(context: AdaptContext) -> None:
    """Teach a connection or a cursor to send these arrays."""
    assert context.adapters is not None, "a context of a connection or a cursor has adapters"
    for array, dumper in _DUMPERS.items():
        context.adapters.register_dumper(array, dumper)


def uuids(values: Sequence[UUID]) -> UuidArray:
    return _uuids([_UUID_SIZE + value.int.to_bytes(16, "big") for value in values], len(values))


def uuids_repeated(values: Sequence[UUID], counts: Sequence[int]) -> tuple[UuidArray, UuidArray]:
    """Return the array of the values, and the one that has each of them so many times in a row."""
    items = [_UUID_SIZE + value.int.to_bytes(16, "big") for value in values]
    repeated = [item * count for item, count in zip(items, counts, strict=True)]
    return _uuids(items, len(items)), _uuids(repeated, sum(counts))


def bigints(values: Sequence[int]) -> BigintArray:
    fields = [8] * (2 * len(values))
    fields[1::2] = values
    return BigintArray(_header(1, 0, _INT8, len(values), 1) + pack(">" + "iq" * len(values), *fields))


def smallints(values: Sequence[int]) -> SmallintArray:
    fields = [2] * (2 * len(values))
    fields[1::2] = values
    return SmallintArray(_header(1, 0, _INT2, len(values), 1) + pack(">" + "ih" * len(values), *fields))


def byteas(values: Sequence[bytes | None]) -> ByteaArray:
    return ByteaArray(_nullable(_BYTEA, values))


def payloads(values: Sequence[bytes]) -> ByteaArray:
    """Return many byte strings, none of which is null."""
    fields = [b""] * (2 * len(values))
    fields[::2] = [_SHORT[size] if size < len(_SHORT) else _length(size) for size in map(len, values)]
    fields[1::2] = values
    return ByteaArray(_header(1, 0, _BYTEA, len(values), 1) + b"".join(fields))


def texts(values: Iterable[str | None]) -> TextArray:
    return TextArray(_nullable(_TEXT, [None if value is None else value.encode() for value in values]))


def words(values: Sequence[str]) -> TextArray:
    """Return texts of which there are few different ones, such as states."""
    return TextArray(_header(1, 0, _TEXT, len(values), 1) + b"".join(map(_word, values)))


def doubles(values: Iterable[float | None]) -> DoubleArray:
    return DoubleArray(_nullable(_FLOAT8, [None if value is None else _float8(value) for value in values]))


def booleans(values: Iterable[bool]) -> BoolArray:
    return BoolArray(_nullable(_BOOL, [b"\x01" if value else b"\x00" for value in values]))


def nullable_uuids(values: Iterable[UUID | None]) -> UuidArray:
    return UuidArray(_nullable(_UUID, [None if value is None else value.bytes for value in values]))


def nullable_bigints(values: Iterable[int | None]) -> BigintArray:
    encoded = [None if value is None else value.to_bytes(8, "big", signed=True) for value in values]
    return BigintArray(_nullable(_INT8, encoded))


def _uuids(items: list[bytes], count: int) -> UuidArray:
    return UuidArray(_header(1, 0, _UUID, count, 1) + b"".join(items))


@lru_cache(maxsize=64)
def _word(text: str) -> bytes:
    data = text.encode()
    return _length(len(data)) + data


def _nullable(element: int, items: Sequence[bytes | None]) -> bytes:
    body = b"".join([_NULL if item is None else _length(len(item)) + item for item in items])
    return _header(1, 1, element, len(items), 1) + body
