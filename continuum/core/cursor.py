"""The place of one run in its journal: recorded events first, new ones after.

Replay is a walk with one rule on each side::

    the code issues a command  ->  the next event must be that command, or the walk is on new ground
    the code waits             ->  the next event must be an arrival, which is delivered

Patches stand outside the rule: the code may ask for them in any order, so the walk steps over them (D7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol, TypeVar, cast

from continuum.core.drift import Drift, drift_error
from continuum.errors import ReplayDriftError
from continuum.model.events import KIND_OF, EventBody, EventRow, Patched, from_rows, to_row

_PATCHED = KIND_OF[Patched]


class Answer(Protocol):
    """An arrival: the command that it answers, and its time."""

    @property
    def command(self) -> int: ...

    @property
    def at(self) -> int: ...


A = TypeVar("A", bound=Answer)


class Cursor:
    """``seq`` is the last event that the code has seen or made; ``at`` its time, in microseconds since the epoch.
    ``patches``: what ``patched`` answered, by id, None while nobody asked. ``bounded``: the walk ends with the recorded
    events, and the code is unwound where it would make a new one."""

    def __init__(self, at: int) -> None:
        self.seq = 0
        self.at = at
        self.replaying = False
        self.closed = False
        self.leaked = False  # code tried an effect although it was closed
        self.bounded = False
        self.drift: ReplayDriftError | None = None
        self.patches: dict[str, bool] | None = None
        self._recorded: Sequence[EventBody] = ()
        self._patched: dict[str, int] = {}  # positions of the recorded patches that nobody has asked for yet
        self._has_patches = False
        self._new: list[EventBody] = []
        self._taken = 0

    def load(self, history: Sequence[EventRow]) -> None:
        """Begin with a recorded history.

        Raises:
            JournalError: an event cannot be read.
        """
        self._recorded = from_rows(history)
        self._patched = {
            cast("Patched", self._recorded[position]).id: position
            for position, row in enumerate(history)
            if row.kind == _PATCHED
        }
        self._has_patches = bool(self._patched)
        self._taken = len(self._recorded)
        self.replaying = bool(self._recorded)

    @property
    def left(self) -> bool:
        """True while recorded events remain."""
        if self._has_patches:
            self._pass_patches()
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
        if self._has_patches:
            self._pass_patches()
        if self.seq < len(self._recorded):
            return self._recorded[self.seq]
        if self.bounded:
            raise Drift
        return None

    def patched(self, id: str, site: str) -> bool:
        """Decide a patch, once: true if it is recorded, or made on new ground, which records it (D7)."""
        if self.closed or self.drift is not None:
            raise Drift
        if self.patches is None:
            self.patches = {}
        if id not in self.patches:
            recorded = self._patched.pop(id, None) is not None
            new = not recorded and self.expected() is None
            if new:
                self.append(Patched(id, site))
            self.patches[id] = recorded or new
        return self.patches[id]

    def _pass_patches(self) -> None:
        while self.seq < len(self._recorded) and type(self._recorded[self.seq]) is Patched:
            self.seq += 1

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
        """Go on to new ground.

        Raises:
            ReplayDriftError: the code did not ask for a patch that is recorded.
        """
        for position in self._patched.values():
            raise drift_error(
                self._recorded, position, None, "the workflow does not ask for this patch any more"
            )
        self._recorded, self.replaying, self._has_patches = (), False, False

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
