"""The place of one run in its journal: recorded events first, new ones after.

Replay is a walk with one rule on each side::

    the code issues a command  ->  the next event must be that command, or the walk is on new ground
    the code waits             ->  the next event must be an arrival, which is delivered
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol, TypeVar

from continuum.core.drift import Drift, drift_error
from continuum.errors import ReplayDriftError
from continuum.model.events import EventBody, EventRow, from_row, to_row


class Answer(Protocol):
    """An arrival: the command that it answers, and its time."""

    @property
    def command(self) -> int: ...

    @property
    def at(self) -> int: ...


A = TypeVar("A", bound=Answer)


class Cursor:
    """``seq`` is the last event that the code has seen or made; ``at`` its time, in microseconds since the epoch."""

    def __init__(self, at: int) -> None:
        self.seq = 0
        self.at = at
        self.replaying = False
        self.closed = False
        self.leaked = False  # code tried an effect although it was closed
        self.drift: ReplayDriftError | None = None
        self._recorded: Sequence[EventBody] = ()
        self._new: list[EventBody] = []
        self._taken = 0

    def load(self, history: Sequence[EventRow]) -> None:
        """Begin with a recorded history.

        Raises:
            JournalError: an event cannot be read.
        """
        self._recorded = [from_row(row) for row in history]
        self._taken = len(self._recorded)
        self.replaying = bool(self._recorded)

    @property
    def left(self) -> bool:
        """True while recorded events remain."""
        return self.seq < len(self._recorded)

    @property
    def changed(self) -> bool:
        return bool(self._new)

    def expected(self) -> EventBody | None:
        """The event that a command issued now must match, None on new ground; a run that is dropped, or continued as
        new, unwinds here."""
        if self.closed or self.drift is not None:
            self.leaked = True
            raise Drift
        return self._recorded[self.seq] if self.seq < len(self._recorded) else None

    def accept(self) -> None:
        """The command is the recorded one."""
        self.seq += 1

    def append(self, body: EventBody) -> None:
        """Record what is new."""
        self.seq += 1
        self._new.append(body)

    def answer(self, kind: type[A]) -> A | None:
        """Step onto the next recorded event if it is a ``kind`` that answers the command just accepted."""
        if self.seq < len(self._recorded):
            body = self._recorded[self.seq]
            if type(body) is kind and body.command == self.seq:
                self.seq += 1
                self.at = max(self.at, body.at)
                return body
        return None

    def next_arrival(self) -> EventBody:
        """Step onto the next recorded event, which is to be delivered."""
        body = self._recorded[self.seq]
        self.seq += 1
        self.at = max(self.at, getattr(body, "at", 0))
        return body

    def see(self, at: int) -> None:
        """A live arrival: time goes on, and never back."""
        assert self.seq >= len(self._recorded), "live arrivals wait for the end of the journal"
        self.at = max(self.at, at)

    def end_of_history(self) -> None:
        self._recorded, self.replaying = (), False

    def drifted(self, commanded: str, site: str) -> NoReturn:
        """The code issued something else than what is recorded: unwind it, and let nothing more be recorded."""
        self.drift = drift_error(self._recorded, self.seq, commanded, site)
        raise Drift

    def leftover(self, position: int, ended: bool) -> ReplayDriftError:
        """The recorded event at ``position`` (from 0) is a command that the code did not issue, or an arrival that
        nothing waits for."""
        now = "the workflow has ended" if ended else "the workflow waits"
        return drift_error(self._recorded, position, None, now)

    def take(self) -> tuple[int, list[EventRow]]:
        """Return the seq before the new events, and these as rows; and forget them."""
        base = self._taken
        rows = [to_row(base + index, body) for index, body in enumerate(self._new, 1)]
        self._taken = base + len(rows)
        self._new = []
        return base, rows
