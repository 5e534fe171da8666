"""A snapshot: the history of a run up to some event, compacted into one blob (chapter P).

A coroutine cannot be stored, so resuming from a snapshot is a replay like any other, with the same checks; only the
reading is cheaper: one row for thousands, all of it decoded by one call, and an activity with its result, most of a
long history, is one entry. What is left out are the arguments of activities whose end is in the snapshot too. Sites
stay, once each, for the error that a drift is (P2).

A blob is msgpack: ``[FORMAT, checksum, body]``, and the body ``[kinds, targets, entries]``, which is a `Recorded` as it
lies in memory. The checksum is of the run's id and the body: bytes that changed, and those of another run, are found
before anything is made of them. A blob of before is ``[UNCHECKED, kinds, targets, entries]``: it is read as well as it
can be, and no new one is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from zlib import crc32

import msgspec

from continuum.core.recorded import Entry, Pair, Recorded, Row, recorded_of
from continuum.model import payload
from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    EventBody,
    EventRow,
    to_row,
)

FORMAT = 4
UNCHECKED = 3

_Targets = list[tuple[str, str, str | None]]
_Entries = list[Pair | Row | None]
_encode = msgspec.msgpack.Encoder().encode
_outer = msgspec.msgpack.Decoder(tuple[int, int, bytes])
_body = msgspec.msgpack.Decoder(tuple[bytes, _Targets, _Entries])
_unchecked = msgspec.msgpack.Decoder(tuple[int, bytes, list[tuple[str, str]], _Entries])


def compact(history: Recorded | Sequence[EventRow], run_id: UUID) -> bytes:
    """Return the blob of the run's history, which begins with event 1.

    Raises:
        JournalError: an event cannot be read.
    """
    recorded = history if isinstance(history, Recorded) else recorded_of(history)
    bodies = [recorded.body(position) for position in range(len(recorded))]
    answered = {body.command for body in bodies if isinstance(body, ActivityCompleted | ActivityFailed)}
    targets: dict[tuple[str, str, str | None], int] = {}
    entries: list[Entry] = []
    for position, body in enumerate(bodies):
        if len(entries) > position:
            continue  # the second of a pair
        following = bodies[position + 1] if position + 1 < len(bodies) else None
        pair = _pair(position + 1, body, following, targets)
        if pair is not None:
            entries += pair, None
        elif isinstance(body, ActivityScheduled) and position + 1 in answered:
            short = msgspec.structs.replace(body, args=b"", crew="")
            entries.append(Row(to_row(position + 1, short).payload))
        else:
            entries.append(Row(to_row(position + 1, body).payload))
    parts = _encode((recorded.kinds, list(targets), entries))
    return _encode((FORMAT, _checksum(run_id, parts), parts))


def _pair(
    seq: int, body: EventBody, following: EventBody | None, targets: dict[tuple[str, str, str | None], int]
) -> Pair | None:
    """Return the event ``seq`` with the one after it as one entry, None if they are not an activity and its result."""
    if not isinstance(body, ActivityScheduled) or not isinstance(following, ActivityCompleted):
        return None
    if following.command != seq:
        return None
    target = targets.setdefault((body.activity, body.site, body.draws), len(targets))
    return Pair(target, following.at, payload.scalar_of(following.value))


def expand(data: bytes, run_id: UUID) -> Recorded:
    """Return the history of the run that a blob stands for.

    Raises:
        ValueError: it is damaged, of another run, or of another format; the events themselves are to be read (P3).
    """
    try:
        kinds, targets, entries = _parts(data, run_id)
    except msgspec.MsgspecError as error:
        raise ValueError(_why_not(data, error)) from error
    if len(kinds) != len(entries):
        raise ValueError(_why_not(data, None))
    return Recorded(kinds, entries, targets)


def _parts(data: bytes, run_id: UUID) -> tuple[bytes, _Targets, _Entries]:
    if _format_of(data) == UNCHECKED:
        _, kinds, pairs, entries = _unchecked.decode(data)
        return (
            kinds,
            [(activity, site, None) for activity, site in pairs],
            entries,
        )  # of before draws were recorded
    format_, checksum, body = _outer.decode(data)
    if format_ != FORMAT or checksum != _checksum(run_id, body):
        raise ValueError(_why_not(data, None))
    kinds, targets, entries = _body.decode(body)
    return kinds, targets, entries


def _checksum(run_id: UUID, body: bytes) -> int:
    return crc32(body, crc32(run_id.bytes))


def _format_of(data: bytes) -> int | None:
    """Return the number that a blob begins with, None if it begins with something else."""
    return data[1] if len(data) > 1 and data[0] & 0xF0 == 0x90 and data[1] < 0x80 else None


def _why_not(data: bytes, error: Exception | None) -> str:
    """Say why a blob is of no use."""
    format_ = _format_of(data)
    if format_ is not None and format_ not in (FORMAT, UNCHECKED):
        return f"the snapshot has format {format_}, this code reads {FORMAT}"
    return f"the snapshot is damaged: {error or 'its parts do not fit'}"
