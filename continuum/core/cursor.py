"""The place of one run in its journal: recorded events first, new ones after.

Replay is a walk with one rule on each side::

    the code issues a command  ->  the next event must be that command, or the walk is on new ground
    the code waits             ->  the next event must be an arrival, which is delivered

Patches stand outside the rule: the code may ask for them in any order, so the walk steps over them (D7).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, Protocol, TypeVar

import msgspec

from continuum.core.draws import Draws
from continuum.core.drift import Drift
from continuum.core.recorded import PAIR, Entry, Pair, Recorded, recorded_of
from continuum.errors import JournalError, PayloadError, ReplayDriftError
from continuum.model import payload
from continuum.model.events import (
    ASCII_MAX,
    KIND_OF,
    UNCOUNTED,
    ActivityCompleted,
    EventBody,
    EventRow,
    Patched,
    SideEffect,
    completed_of,
    to_rows,
)

_PATCHED = KIND_OF[Patched]
_PATCH = bytes([_PATCHED])
_EFFECT = bytes([KIND_OF[SideEffect]])
_PAIRS = re.compile(b"(?:%s)++" % re.escape(PAIR), re.DOTALL)
_NOTHING = recorded_of(())
NOT_GIVEN: object = object()


class Command(Protocol):
    """A recorded command: what was drawn before it."""

    @property
    def draws(self) -> str | None: ...


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
    events, and the code is unwound where it would make a new one. ``leaked``: the code tried an effect although the
    walk was ``closed``. ``drift``: why the walk cannot go on. ``new``: what was recorded since the last ``take``.
    ``draws``: None while the code has drawn nothing; made by the effect that does, because a generator is 2.5 KB."""

    __slots__ = (
        "_end",
        "_has_patches",
        "_pairs_from",
        "_pairs_to",
        "_patched",
        "_recorded",
        "_taken",
        "at",
        "bounded",
        "closed",
        "draws",
        "drift",
        "leaked",
        "new",
        "patches",
        "replaying",
        "seq",
    )

    def __init__(self, at: int) -> None:
        self.seq = 0
        self.at = at
        self.replaying = self.closed = self.leaked = self.bounded = False
        self.drift: ReplayDriftError | JournalError | None = None
        self.patches: dict[str, bool] | None = None
        self.draws: Draws | None = None
        self._recorded = _NOTHING
        self._end = 0  # how many events are recorded
        self._pairs_from = self._pairs_to = 0  # where there are pairs and nothing else
        self._patched: dict[str, int] | None = None  # recorded patches that nobody asked for yet, by position
        self._has_patches = False
        self.new: list[EventBody] | None = None
        self._taken = 0

    def load(self, history: Recorded) -> None:
        """Begin with a recorded history.

        Raises:
            JournalError: a patch cannot be read.
        """
        self._recorded, self._end = history, len(history)
        self._taken = self._end
        self.replaying = self._end > 0
        self._has_patches = _PATCHED in history.kinds
        if self._has_patches:
            self._patched = {
                body.id: position
                for position, kind in enumerate(history.kinds)
                if kind == _PATCHED and isinstance(body := history.body(position), Patched)
            }

    @property
    def left(self) -> bool:
        """True while recorded events remain."""
        if self._has_patches:
            self._pass_patches()
        return self.seq < self._end

    @property
    def at_an_effect(self) -> bool:
        """True if the next recorded event is a side effect."""
        return self._recorded.kinds.startswith(_EFFECT, self.seq)

    def meets(self, activity: str, begins: tuple[bytes, bytes]) -> bool:
        """Say whether the next two events are this activity and, it seems, its result. ``begins``: how the body of
        such an ``ActivityScheduled`` begins, with ``draws`` and without. This is the short way of a replay, for what
        most of a long history is: what is not just that goes the long way, which knows all cases and has the words
        for those that are wrong.
        """
        seq = self.seq
        if seq >= self._pairs_to and not self._meets_pairs():
            return False
        if (seq - self._pairs_from) & 1 or self.closed or self.drift is not None:
            return False
        entry = self._recorded.entries[seq]
        if type(entry) is Pair:
            target = self._recorded.targets[entry.target]
            return target[0] == activity and not target[2]
        if entry is None:
            return False
        body = entry.payload
        return body.startswith(begins) and (body[-1] > ASCII_MAX or body[0] == UNCOUNTED)

    def _meets_pairs(self) -> bool:
        """Find how far there are pairs from here on: asked once for all of them, because most come in long rows."""
        kinds, seq = self._recorded.kinds, self.seq
        pairs = _PAIRS.match(kinds, seq) if not self._has_patches and kinds.startswith(PAIR, seq) else None
        if pairs is not None:
            self._pairs_from, self._pairs_to = pairs.span()
        return pairs is not None

    def given(self, check: Callable[[], object] | None) -> object:
        """Step over the activity and the result that the walk `meets`; return the result, or `NOT_GIVEN` if it is that
        of another. ``check`` may raise before."""
        entries, seq = self._recorded.entries, self.seq
        entry: Entry | ActivityCompleted = entries[seq]
        if type(entry) is not Pair:
            try:
                entry = completed_of(entries[seq + 1].payload)  # type: ignore[union-attr]  # no pair: of kind completed
            except msgspec.MsgspecError:
                return NOT_GIVEN
            if entry.command != seq + 1:
                return NOT_GIVEN
        if check is not None:
            check()
        self.seq = seq + 2
        if entry.at > self.at:  # noqa: PLR1730 - a call of max, for every event
            self.at = entry.at
        value = entry.value
        if type(value) is not bytes:
            return value
        try:
            return payload.decode(value, "result")
        except PayloadError as error:
            self.damaged(error)
            raise Drift from error

    def expected(self) -> EventBody | None:
        """The event that a command issued now must match, None on new ground; a run that is dropped, or continued as
        new, unwinds here."""
        if self.closed or self.drift is not None:
            self.leaked = True
            raise Drift
        if self._has_patches:
            self._pass_patches()
        if self.seq < self._end:
            return self._next()
        if self.bounded:
            raise Drift
        return None

    def _next(self) -> EventBody:
        """The next recorded event, for the code; one that cannot be read unwinds it, as drift does."""
        try:
            return self._recorded.body(self.seq)
        except JournalError as error:
            self.drift = error
            raise Drift from error

    def damaged(self, error: PayloadError) -> None:
        """The value of the event that the walk is at is no payload: that is no error for the code to handle, because it
        would go on as if it had been so the first time. The walk ends here, as it does for drift."""
        if self.drift is None:
            self.drift = JournalError(
                "read event", f"event {self.seq} holds a value that cannot be read: {error}"
            )

    def patched(self, id: str, site: str) -> bool:
        """Decide a patch, once: true if it is recorded, or made on new ground, which records it (D7)."""
        if self.closed or self.drift is not None:
            raise Drift
        if self.patches is None:
            self.patches = {}
        if id not in self.patches:
            recorded = self._patched is not None and self._patched.pop(id, None) is not None
            new = not recorded and self.expected() is None
            if new:
                self.append(Patched(id, site))
            self.patches[id] = recorded or new
        return self.patches[id]

    def _pass_patches(self) -> None:
        while self._recorded.kinds.startswith(_PATCH, self.seq):
            self.seq += 1

    @property
    def drawn(self) -> str:
        """What the code has drawn since its last command."""
        return "" if self.draws is None else self.draws.text

    def drew(self, recorded: Command) -> bool:
        """Say whether the code has drawn what it drew before the recorded command (R10)."""
        return recorded.draws is None or recorded.draws == self.drawn

    def accept(self) -> None:
        """The command is the recorded one."""
        self.seq += 1
        if self.draws is not None:
            self.draws.forget()

    def issue(self, body: EventBody) -> int:
        """Record a new command, which says what was `drawn` before it; return its number."""
        if self.draws is not None:
            self.draws.forget()
        return self.append(body)

    def append(self, body: EventBody) -> int:
        """Record what is new; return its number."""
        self.seq += 1
        if self.new is None:
            self.new = [body]
        else:
            self.new.append(body)
        return self.seq

    def answer(self, kind: type[A]) -> A | None:
        """Step onto the next recorded event if it is a ``kind`` that answers the command just accepted."""
        if self.seq < self._end:
            body = self._next()
            if type(body) is kind and body.command == self.seq:
                self.seq += 1
                self.at = max(self.at, body.at)
                return body
        return None

    def next_arrival(self) -> EventBody:
        """Step onto the next recorded event, which is to be delivered.

        Raises:
            JournalError: it is damaged.
        """
        body = self._recorded.body(self.seq)
        self.seq += 1
        self.at = max(self.at, getattr(body, "at", 0))
        return body

    def see(self, at: int) -> int:
        """A live arrival: time goes on, and never back. Return the time that it has now."""
        assert self.seq >= self._end, "live arrivals wait for the end of the journal"
        if at > self.at:  # noqa: PLR1730
            self.at = at
        return self.at

    def end_of_history(self) -> None:
        """Go on to new ground.

        Raises:
            ReplayDriftError: the code did not ask for a patch that is recorded.
        """
        for position in (self._patched or {}).values():
            raise self._drift(position, None, "the workflow does not ask for this patch any more")
        self._recorded, self._end, self._pairs_to, self._patched = _NOTHING, 0, 0, None
        self.replaying = self._has_patches = False

    def drifted(self, commanded: str, site: str) -> NoReturn:
        """The code issued something else than what is recorded: unwind it, and let nothing more be recorded."""
        self.drift = self._drift(self.seq, commanded, site)
        raise Drift

    def leftover(self, position: int, ended: bool) -> ReplayDriftError | JournalError:
        """The recorded event at ``position`` (from 0) is a command that the code did not issue, or an arrival that
        nothing waits for."""
        now = "the workflow has ended" if ended else "the workflow waits"
        return self._drift(position, None, now)

    def _drift(self, position: int, commanded: str | None, site: str) -> ReplayDriftError | JournalError:
        try:
            return self._recorded.drift(position, commanded, site, self.drawn)
        except (
            JournalError
        ) as error:  # an event before it, over which the walk has stepped without reading all of it
            return error

    def take(self) -> tuple[int, list[EventRow]]:
        """Return the seq before the new events, and these as rows; and forget them."""
        base, new = self._taken, self.new
        if new is None:
            return base, []
        self._taken, self.new = base + len(new), None
        return base, to_rows(base, new)
