"""Events as people read them, back into the rows that a replay reads."""

from __future__ import annotations

import typing
from functools import cache
from typing import Any

from continuum.errors import ConfigurationError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, KIND_OF, EventBody, EventRow, Failure, to_row
from continuum.model.history import Event

_BODIES: dict[str, type[EventBody]] = {EVENT_TYPES[kind]: body for body, kind in KIND_OF.items()}
_IDS = frozenset({"child", "run"})  # 16 bytes as they are, and not the payload of a value


def row_of(event: Event) -> EventRow:
    """Return the row that an event was read from, but for the tags of values that ``data`` does not show.

    Raises:
        ConfigurationError: this version has no such event.
    """
    body = _BODIES.get(event.type)
    if body is None or "unreadable" in event.data:
        raise ConfigurationError(f"event {event.seq} is a {event.type}, which this version cannot read")
    kinds = _kinds(body)
    fields = {name: _raw(name, kinds[name], value) for name, value in event.data.items()}
    row = to_row(event.seq, body(**fields))
    return EventRow(row.seq, row.kind, row.payload, event.inserted_at.timestamp())


@cache
def _kinds(body: type[EventBody]) -> dict[str, Any]:
    return typing.get_type_hints(body)


def _raw(name: str, kind: Any, value: Any) -> Any:
    if kind is bytes and name not in _IDS:
        return payload.encode(value, path=name)
    if isinstance(value, dict) and kind in (Failure, Failure | None):
        return Failure(value["type"] or "", value["message"] or "", value["traceback"] or "", value["cause"])
    return value
