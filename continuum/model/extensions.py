"""The msgpack extension types of a payload that have no parts: code and layout of each.

    1 datetime   ">HBBBBBIBq"  year month day hour minute second µs flags offset_µs
    2 date       ">HBB"        year month day
    3 time       ">BBBIBq"     hour minute second µs flags offset_µs
    4 timedelta  ">iIi"        days seconds µs
    5 Decimal    ASCII, as str() writes it
    6 UUID       16 bytes
    7 set, 8 frozenset, 9 tuple: a msgpack array of the parts (`payload` reads and writes these)
   10 int        two's complement, big-endian, for integers beyond 64 bits
   11 pydantic model: a msgpack array of the name of its class and its parts (`pydantic_data`)

Codes and layouts are forever: journals hold them. Flags: bit 0 is ``fold``, bit 1 says that there is
an offset. A time zone is stored as its offset at that moment: names change their meaning with the
machine's tz database, and a journal has to mean the same everywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID_, SET, FROZENSET, TUPLE, INT, MODEL = range(1, 12)

_DATETIME = struct.Struct(">HBBBBBIBq")
_DATE = struct.Struct(">HBB")
_TIME = struct.Struct(">BBBIBq")
_TIMEDELTA = struct.Struct(">iIi")

_FOLD, _AWARE = 1, 2
_MICROSECOND = timedelta(microseconds=1)


def _flags(moment: datetime | time) -> tuple[int, int]:
    """Flags and offset in microseconds."""
    if moment.tzinfo is None:
        return moment.fold, 0
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError(
            f"a {type(moment).__name__} whose time zone {str(moment.tzinfo)!r} gives no offset cannot be "
            "encoded; use a fixed offset, or a datetime with its date"
        )
    return moment.fold | _AWARE, offset // _MICROSECOND


def _zone(flags: int, offset_us: int) -> tzinfo | None:
    if not flags & _AWARE:
        return None
    return timezone(timedelta(microseconds=offset_us)) if offset_us else UTC


def _pack_datetime(value: datetime) -> bytes:
    return _DATETIME.pack(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        *_flags(value),
    )


def _unpack_datetime(data: bytes) -> datetime:
    year, month, day, hour, minute, second, microsecond, flags, offset_us = _DATETIME.unpack(data)
    zone = _zone(flags, offset_us)
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=flags & _FOLD)


def _pack_date(value: date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def _unpack_date(data: bytes) -> date:
    return date(*_DATE.unpack(data))


def _pack_time(value: time) -> bytes:
    return _TIME.pack(value.hour, value.minute, value.second, value.microsecond, *_flags(value))


def _unpack_time(data: bytes) -> time:
    hour, minute, second, microsecond, flags, offset_us = _TIME.unpack(data)
    return time(hour, minute, second, microsecond, _zone(flags, offset_us), fold=flags & _FOLD)


def _pack_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def _unpack_timedelta(data: bytes) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


def _pack_decimal(value: Decimal) -> bytes:
    return str(value).encode("ascii")


def _unpack_decimal(data: bytes) -> Decimal:
    return Decimal(data.decode("ascii"))


def _pack_uuid(value: UUID) -> bytes:
    return value.bytes


def _unpack_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def _pack_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _unpack_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


PACK: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    datetime: (DATETIME, _pack_datetime),
    date: (DATE, _pack_date),
    time: (TIME, _pack_time),
    timedelta: (TIMEDELTA, _pack_timedelta),
    Decimal: (DECIMAL, _pack_decimal),
    UUID: (UUID_, _pack_uuid),
    int: (INT, _pack_int),
}

UNPACK: dict[int, Callable[[bytes], object]] = {
    DATETIME: _unpack_datetime,
    DATE: _unpack_date,
    TIME: _unpack_time,
    TIMEDELTA: _unpack_timedelta,
    DECIMAL: _unpack_decimal,
    UUID_: _unpack_uuid,
    INT: _unpack_int,
}
