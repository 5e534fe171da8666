"""Payload values as JSON, for people and scripts that read them. One way only: types are lost on purpose."""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import date, datetime, time, timedelta

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


def jsonable(value: object) -> JsonValue:
    """Return a decoded payload as JSON can say it.

    Moments become ISO text, durations seconds, bytes ``{"base64": ...}``, sets and tuples lists, keys text, and what
    JSON has no word for (``Decimal``, ``UUID``, ``nan``) its text.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {_key(key): jsonable(part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            parts = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            return [jsonable(part) for part in parts]
        case bytes():
            return {"base64": b64encode(value).decode()}
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(jsonable(key))
