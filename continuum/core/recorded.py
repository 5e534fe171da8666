"""A recorded history as a replay reads it: by position, and each event decoded when the walk comes to it.

Most of a long history is pairs: an activity, and its result as the very next event. A snapshot keeps a pair as one
entry, with no arguments and its value read already::

    position   0           1           2
    kinds      scheduled   completed   timer_started
    entries    Pair        None        Row

The kinds of a history lie in one string of bytes, where a pair, or a kind that nobody knows, is found by one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import msgspec

from continuum.core.drift import drift_error
from continuum.errors import JournalError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import (
    KIND_OF,
    ActivityCompleted,
    ActivityScheduled,
    EventBody,
    EventRow,
    body_of,
    known_kinds,
    to_row,
)

PAIR = bytes([KIND_OF[ActivityScheduled], KIND_OF[ActivityCompleted]])


@final
class Pair(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """``target``: index into the history's ``targets``. ``value``: a scalar, or the payload of anything else."""

    target: int
    at: int
    value: Any


class Row(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Any other event, as the journal has it; its place says which it is."""

    payload: bytes


Entry = Pair | Row | EventRow | None


class Recorded:
    """``kinds`` and ``entries`` by position, which counts from 0; ``targets``: (activity, site, draws) of pairs."""

    __slots__ = ("entries", "kinds", "targets")

    def __init__(
        self, kinds: bytes, entries: Sequence[Entry], targets: Sequence[tuple[str, str, str | None]] = ()
    ) -> None:
        self.kinds, self.entries, self.targets = kinds, entries, targets

    def __len__(self) -> int:
        return len(self.entries)

    def followed_by(self, rows: Sequence[EventRow]) -> Recorded:
        """Return this history with the events after it.

        Raises:
            JournalError: one of them is missing, or of a kind that this code cannot read.
        """
        _check_order(rows, len(self))
        return Recorded(self.kinds + known_kinds(rows), [*self.entries, *rows], self.targets)

    def body(self, position: int) -> EventBody:
        """Return the event.

        Raises:
            JournalError: it is damaged.
        """
        entry = self.entries[position]
        if type(entry) is Pair:
            activity, site, draws = self.targets[entry.target]
            return ActivityScheduled(activity, b"", site, draws=draws)
        if entry is None:
            pair = self.entries[position - 1]
            assert type(pair) is Pair, "a pair has two places"
            value = pair.value if type(pair.value) is bytes else payload.encode(pair.value)
            return ActivityCompleted(position, value, pair.at)
        return body_of(position + 1, self.kinds[position], entry.payload)

    def rows(self) -> list[EventRow]:
        """Return the events as rows of a journal.

        Raises:
            JournalError: one of them is damaged.
        """
        return [to_row(position + 1, self.body(position)) for position in range(len(self))]

    def drift(self, position: int, commanded: str | None, site: str, drawn: str) -> ReplayDriftError:
        """Return the error for the event at ``position``, where the code, having drawn ``drawn``, issued ``commanded``
        at ``site``."""
        bodies = [self.body(before) for before in range(position + 1)]
        return drift_error(bodies, position, commanded, site, drawn)


def recorded_of(rows: Sequence[EventRow]) -> Recorded:
    """Return the history that is these rows, from event 1.

    Raises:
        JournalError: one of them is missing, or of a kind that this code cannot read.
    """
    _check_order(rows, 0)
    return Recorded(known_kinds(rows), rows)


def _check_order(rows: Sequence[EventRow], base: int) -> None:
    """Raise if these are not the events that follow the event ``base``."""
    if rows and (rows[0].seq != base + 1 or rows[-1].seq != base + len(rows)):
        wrong = next((row.seq, seq) for seq, row in enumerate(rows, base + 1) if row.seq != seq)
        raise JournalError("read event", f"the journal has event {wrong[0]} where event {wrong[1]} should be")
