"""A run's journal for people and for replay: a sequence of events that knows whose it is.

What is read (``Event.data``) and what is replayed (``History.rows``) are made of the same bytes. JSON carries
both: the readable form for whoever opens the file, and each raw body, from which alone `History.from_json` builds.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, overload
from uuid import UUID

import msgspec

from continuum.errors import ConfigurationError, JournalError, PayloadError
from continuum.model import payload
from continuum.model.display import to_jsonable
from continuum.model.events import EVENT_TYPES, EventRow, Failure, from_row

FORMAT = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDS = frozenset({"child", "run"})  # fields that are the 16 bytes of a run's id
_KINDS = {name: kind for kind, name in EVENT_TYPES.items()}


class Event(msgspec.Struct, frozen=True):
    """One event of a history. ``seq`` counts from 1 without a gap; ``data`` is what the event says, with values of
    user code as plain values and failures as dicts; ``inserted_at`` is the database's time of its commit."""

    type: str
    seq: int
    data: dict[str, object]
    inserted_at: datetime


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whose history it is: all that a replay needs besides the events. ``args`` is the payload of
    ``[args, kwargs]``; ``created_at`` is in microseconds since the epoch, database time, and so is ``begun_at``, when
    the first step began; None if that was then. ``depth``: generations above the run."""

    run_id: UUID
    workflow: str
    args: bytes
    created_at: int
    correlation_id: UUID
    namespace: str = "default"
    version_hash: str | None = None
    parent_run_id: UUID | None = None
    continued_from_run_id: UUID | None = None
    depth: int = 0
    begun_at: int | None = None


class History(Sequence[Event]):
    """The events of one run, in order. Equal when run, arguments and events are."""

    def __init__(self, origin: Origin, rows: Sequence[EventRow]) -> None:
        self.origin = origin
        self.rows: tuple[EventRow, ...] = tuple(rows)

    @property
    def run_id(self) -> UUID:
        """The run whose journal this is."""
        return self.origin.run_id

    @property
    def workflow(self) -> str:
        """The registered name of the run's workflow."""
        return self.origin.workflow

    @cached_property
    def args(self) -> object:
        """The run's arguments in plain values: ``[positional, named]``."""
        return payload.decode(self.origin.args, path="args")

    @cached_property
    def _events(self) -> tuple[Event, ...]:
        return tuple(_event(row) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...

    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self._events[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return self.origin == other.origin and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<History of {self.workflow} run {self.run_id}: {len(self)} events>"

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the history as a JSON document, from which `from_json` makes an equal one."""
        return json.dumps(_document(self), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> History:
        """Return the history that `to_json` wrote.

        Raises:
            ConfigurationError: the text is no such document, is damaged, or of a newer format.
        """
        try:
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise ConfigurationError(
                    f"the history has format {document['format']!r} and this version reads {FORMAT}; "
                    "upgrade continuum to read it"
                )
            return cls(_origin(document), [_row(event) for event in document["events"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"no history that can be read ({type(error).__name__}: {error}); "
                "write one with `continuum run history RUN --json`"
            ) from error


def _event(row: EventRow) -> Event:
    kind = EVENT_TYPES.get(row.kind, f"kind_{row.kind}")
    return Event(kind, row.seq, _data(row), _EPOCH + timedelta(seconds=row.inserted_at))


def _data(row: EventRow) -> dict[str, object]:
    """The fields of the event's body. A body of a later version is no reason to show nothing of the others."""
    try:
        body = from_row(row)
    except JournalError as error:
        return {"unreadable": error.reason}
    return {name: _readable(name, getattr(body, name)) for name in body.__struct_fields__}


def _readable(name: str, value: object) -> object:
    match value:
        case Failure():
            return failure_as_dict(value)
        case bytes() if name in _IDS:
            return UUID(bytes=value) if len(value) == 16 else value
        case b"":
            return None  # a side effect that failed has no value
        case bytes():
            try:
                return payload.decode(value, path=name)
            except PayloadError:
                return value
        case _:
            return value


def failure_as_dict(failure: Failure) -> dict[str, str | None]:
    """Return what people read of a failure: ``type``, ``message``, ``traceback`` and ``cause``, all text (W3)."""
    return {
        "type": failure.type,
        "message": failure.message,
        "traceback": failure.traceback,
        "cause": failure.cause,
    }


def _document(history: History) -> dict[str, Any]:
    origin = history.origin
    return {
        "format": FORMAT,
        "run_id": str(origin.run_id),
        "workflow": origin.workflow,
        "version_hash": origin.version_hash,
        "namespace": origin.namespace,
        "correlation_id": str(origin.correlation_id),
        "parent_run_id": _text(origin.parent_run_id),
        "continued_from_run_id": _text(origin.continued_from_run_id),
        "depth": origin.depth,
        "created_at": origin.created_at,
        "begun_at": origin.begun_at,
        "args": _jsonable_args(history),
        "raw_args": b64encode(origin.args).decode(),
        "events": [
            {
                "seq": event.seq,
                "type": event.type,
                "inserted_at": event.inserted_at.isoformat(),
                "data": to_jsonable(event.data),
                "raw": b64encode(row.payload).decode(),
            }
            for event, row in zip(history, history.rows, strict=True)
        ],
    }


def _jsonable_args(history: History) -> Any:
    try:
        return to_jsonable(history.args)
    except PayloadError as error:
        return {"unreadable": str(error)}


def _origin(document: Mapping[str, Any]) -> Origin:
    return Origin(
        run_id=UUID(document["run_id"]),
        workflow=document["workflow"],
        args=b64decode(document["raw_args"], validate=True),
        created_at=document["created_at"],
        correlation_id=UUID(document["correlation_id"]),
        namespace=document["namespace"],
        version_hash=document["version_hash"],
        parent_run_id=_uuid(document["parent_run_id"]),
        continued_from_run_id=_uuid(document["continued_from_run_id"]),
        depth=document.get("depth", 0),  # documents of before have none
        begun_at=document.get("begun_at"),
    )


def _row(event: Mapping[str, Any]) -> EventRow:
    name = event["type"]
    kind = _KINDS[name] if name in _KINDS else int(name.removeprefix("kind_"))
    inserted_at = datetime.fromisoformat(event["inserted_at"]).timestamp()
    return EventRow(event["seq"], kind, b64decode(event["raw"], validate=True), inserted_at)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _uuid(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)
