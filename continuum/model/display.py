"""Values as JSON, for people and for scripts.

This loses types on purpose: dates become ISO 8601 text, durations seconds, decimals and ids text, bytes
``{"base64": ...}``, tuples and sets lists. What has to come back as it was is a payload, not this.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from continuum.model.path import type_name
from continuum.model.plain import NotPlainError, plain
from continuum.model.refusal import NESTING_MAX

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# CPython refuses to turn larger integers into decimal text.
DECIMAL_BITS_MAX = 10_000


def to_jsonable(value: object) -> Json:
    """``value`` in what `json.dumps` takes, also with ``allow_nan=False``. Never fails for what it holds.

    Sets are sorted: numbers first, then the rest by its text. Keys of dicts become text. What is no
    payload is named in angle brackets (``<shop.Connection>``), and so is what is nested deeper than a
    payload may be.
    """
    return _jsonable(value, 0)


def _jsonable(value: object, depth: int) -> Json:
    try:
        simple = plain(value)
    except NotPlainError:
        return f"<{type_name(type(value))}>"
    if isinstance(simple, dict | list | tuple | set | frozenset):
        return f"<{type(simple).__name__}>" if depth == NESTING_MAX else _container(simple, depth + 1)
    if simple is None or isinstance(simple, bool | str):
        return simple
    if isinstance(simple, int):
        return simple if simple.bit_length() <= DECIMAL_BITS_MAX else hex(simple)
    if isinstance(simple, float):
        return simple if math.isfinite(simple) else str(simple)
    if isinstance(simple, bytes):
        return {"base64": base64.b64encode(simple).decode("ascii")}
    return _text(simple)


def _text(value: object) -> Json:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    assert isinstance(value, Decimal | UUID)
    return str(value)


def _container(
    value: dict[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object],
    depth: int,
) -> Json:
    if isinstance(value, dict):
        return {_key(key, depth): _jsonable(part, depth) for key, part in value.items()}
    parts = [_jsonable(part, depth) for part in value]
    if isinstance(value, set | frozenset):
        # Numbers in their order, then all else by its text: members of a set need not be comparable.
        parts.sort(key=_rank)
    return parts


def _key(key: object, depth: int) -> str:
    jsonable = _jsonable(key, depth)
    return jsonable if isinstance(jsonable, str) else json.dumps(jsonable)


def _rank(part: Json) -> tuple[int, float | int, str]:
    if isinstance(part, int | float):
        return 0, part, ""
    return 1, 0, part if isinstance(part, str) else json.dumps(part, sort_keys=True)
