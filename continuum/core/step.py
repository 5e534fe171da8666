"""What goes into a run's machine and what comes out of it: values between the core and its shells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec

from continuum.model.events import EventRow
from continuum.model.run import RunSeed, RunState

if TYPE_CHECKING:
    from continuum.core.call import ActivityCall


T = TypeVar("T")


class _Nothing(list[Any]):
    """An empty list that all may share, because nobody appends to it: see `more`."""


_NOTHING = _Nothing()


class Crew:
    """The workers that may have the attempts of today: ``<boot>:<deaths>`` of the node's tree. Shared by all runs of
    an engine, because a worker's death changes it for all."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class RunIdentity(msgspec.Struct, frozen=True, gc=False):
    """What a run is, besides its history. ``begun_at``: when its first step began, in microseconds since the epoch,
    database time. ``depth``: generations above it."""

    run_id: UUID
    workflow: str
    namespace: str
    begun_at: int
    correlation_id: UUID
    parent_run_id: UUID | None = None
    continued_from_run_id: UUID | None = None
    depth: int = 0


class Dispatch(msgspec.Struct):
    """An attempt to let out after the commit. ``delay_s``: the back-off before it. ``idempotency_key``: the user's.
    ``last_heartbeat``: the details of the attempt before, as a payload."""

    seq: int
    attempt: int
    call: ActivityCall[Any]
    args: bytes
    idempotency_key: str | None
    delay_s: float = 0.0
    last_heartbeat: bytes | None = None


class TimerSet(msgspec.Struct):
    seq: int
    delay_s: float | None
    until: int | None


class Outputs(msgspec.Struct):
    """What a step lets out or changes besides its events. ``abandoned``: (seq, attempt) of activities that nobody
    awaits any more (A15). ``children_consumed``: ids under which the ends of children came; ``children_cancelled``:
    seqs of ``ChildStarted`` (C6). ``successor`` comes with the state ``continued``."""

    dispatches: list[Dispatch] = []
    abandoned: Sequence[tuple[int, int]] = _NOTHING
    timers_set: Sequence[TimerSet] = _NOTHING
    timers_cleared: Sequence[int] = _NOTHING
    signals_consumed: Sequence[int] = _NOTHING
    children_started: Sequence[RunSeed] = _NOTHING
    children_consumed: Sequence[UUID] = _NOTHING
    children_cancelled: Sequence[int] = _NOTHING
    successor: RunSeed | None = None

    def is_plain(self) -> bool:
        """True if it lets attempts out, and nothing else."""
        return not (
            self.timers_set
            or self.timers_cleared
            or self.signals_consumed
            or self.children_started
            or self.children_consumed
            or self.children_cancelled
            or self.successor
        )


def more(items: Sequence[T], item: T) -> Sequence[T]:
    """Return ``items`` with one more, for outputs: most steps have none of most kinds, and make no list for them."""
    if type(items) is list:
        items.append(item)
        return items
    return [*items, item]


class Step(msgspec.Struct):
    """What the run did since the last step. ``result`` and ``error`` are payloads, set with a terminal state."""

    base_seq: int
    events: list[EventRow]
    state: RunState
    result: bytes | None
    error: bytes | None
    out: Outputs


class PendingAttempt(msgspec.Struct, frozen=True):
    """An activity without an end in the journal, for the recovery after a replay: its current attempt, the crew of the
    event that began it, and the database's time before which it has not begun, 0 if that is not known."""

    dispatch: Dispatch
    crew: str
    due_at: int = 0
