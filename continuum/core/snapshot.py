"""A snapshot: the history of a run up to some event, compacted into one blob (chapter P).

A coroutine cannot be stored, so resuming from a snapshot is a replay like any other, with the same checks; only the
reading is cheaper: one row for thousands, and without what no replay needs. What is left out are the arguments of
activities whose end is in the snapshot too. Sites stay, for the error that a drift is (P2).

A blob is msgpack: ``[FORMAT, [[seq, kind, body], ...]]``: the rows of the journal, so that all are read in one call.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from continuum.model.events import (
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    EventRow,
    from_rows,
    to_row,
)

FORMAT = 2

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[int, list[EventRow]])


def compact(history: Sequence[EventRow]) -> bytes:
    """Return the blob of a history, which begins with event 1.

    Raises:
        JournalError: an event cannot be read.
    """
    bodies = from_rows(history)
    answered = {body.command for body in bodies if isinstance(body, ActivityCompleted | ActivityFailed)}
    events = []
    for row, body in zip(history, bodies, strict=True):
        if isinstance(body, ActivityScheduled) and row.seq in answered:
            row = to_row(row.seq, msgspec.structs.replace(body, args=b"", crew=""))  # noqa: PLW2901
        events.append((row.seq, row.kind, row.payload))
    return _encode((FORMAT, events))


def expand(data: bytes) -> list[EventRow]:
    """Return the rows that a blob stands for.

    Raises:
        ValueError: it is damaged, or of another format; the events themselves are to be read (P3).
    """
    try:
        format_, events = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the snapshot is damaged: {error}") from error
    if format_ != FORMAT:
        raise ValueError(f"the snapshot has format {format_}, this code reads {FORMAT}")
    return events
