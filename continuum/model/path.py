"""Places inside a value, and values, as text for error messages.

A path reads like the expression that leads there: ``args[0].lines[3].price``; members of a set,
which have no expression, stand in braces. Nothing here calls code of the value it describes:
only values of built-in types are shown, all others by their type.
"""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from uuid import UUID

PATH_CHARACTERS_MAX = 200
SHOWN_CHARACTERS_MAX = 60
SHOWN_BITS_MAX = 256

_SHOWN = frozenset({bool, float, str, bytes, date, time, timedelta, Decimal, UUID})
_COUNTED = (list, tuple, dict, set, frozenset)


def at_index(index: int) -> str:
    return f"[{index}]"


def at_key(key: object) -> str:
    return f"[{show(key)}]"


def at_field(name: str) -> str:
    return f".{name}"


def at_member(member: object) -> str:
    return f"{{{show(member)}}}"


def shorten(path: str) -> str:
    """The path itself, or its two ends when it is too long to read."""
    if len(path) <= PATH_CHARACTERS_MAX:
        return path
    return f"{path[:120]} … {path[-60:]}"


def type_name(cls: type) -> str:
    """``int`` for a builtin, ``shop.orders.Order`` for anything else."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def show(value: object) -> str:
    """The repr of a small built-in value, cut when long; otherwise the name of its type."""
    cls = type(value)
    if value is None:
        return "None"
    if cls is int:
        assert isinstance(value, int)
        # CPython refuses to print integers of several thousand digits.
        return repr(value) if value.bit_length() <= SHOWN_BITS_MAX else f"int of {value.bit_length()} bits"
    if cls not in _SHOWN:
        return type_name(cls)
    if isinstance(value, str | bytes):
        value = value[: SHOWN_CHARACTERS_MAX + 1]
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"


def describe(value: object) -> str:
    """Type and content of a value: ``str 'abc'``, ``list of 3``, ``None``."""
    cls = type(value)
    if cls in _COUNTED:
        assert isinstance(value, _COUNTED)
        return f"{cls.__name__} of {len(value)}"
    shown = show(value)
    name = type_name(cls)
    return shown if value is None or shown.startswith(name) else f"{cls.__name__} {shown}"
