"""A snapshot: the history of a run up to some event, compacted into one blob (chapter P).

A coroutine cannot be stored, so resuming from a snapshot is a replay like any other, with the same checks; only the
reading is cheaper: one row for thousands, all of it decoded by one call, and an activity with its result, most of a
long history, is one entry. What is left out are the arguments of activities whose end is in the snapshot too. Sites
stay, once each, for the error that a drift is (P2).

A blob is msgpack: ``[FORMAT, kinds, targets, entries]``, which is a `Recorded` as it lies in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

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

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(
    tuple[int, bytes, list[tuple[str, str, str | None]], list[Pair | Row | None]]
)
_format = msgspec.msgpack.Decoder(list[msgspec.Raw])


def compact(history: Recorded | Sequence[EventRow]) -> bytes:
    """Return the blob of a history, which begins with event 1.

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
    return _encode((FORMAT, recorded.kinds, list(targets), entries))


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


def expand(data: bytes) -> Recorded:
    """Return the history that a blob stands for.

    Raises:
        ValueError: it is damaged, or of another format; the events themselves are to be read (P3).
    """
    try:
        format_, kinds, targets, entries = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(_why_not(data, error)) from error
    if format_ != FORMAT or len(kinds) != len(entries):
        raise ValueError(_why_not(data, None))
    return Recorded(kinds, entries, targets)


def _why_not(data: bytes, error: Exception | None) -> str:
    """Say why a blob is of no use."""
    try:
        format_ = msgspec.msgpack.decode(_format.decode(data)[0])
    except (msgspec.MsgspecError, IndexError):
        format_ = FORMAT
    if format_ != FORMAT:
        return f"the snapshot has format {format_}, this code reads {FORMAT}"
    return f"the snapshot is damaged: {error or 'its parts do not fit'}"
