"""How much mail goes into one answer, as in PostgreSQL: so much of signals, of outcomes and of ends of children."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from continuum.ports.journal import READ_BYTES_MAX, Mail

T = TypeVar("T")


class _Room:
    """What is left for one kind of mail in an answer. ``full``: something was left out, or could have been."""

    def __init__(self) -> None:
        self._taken = 0

    @property
    def full(self) -> bool:
        return self._taken >= READ_BYTES_MAX

    def take(self, things: Sequence[T], weigh: Callable[[T], int]) -> tuple[T, ...]:
        """Return the first of these for which there is room; the last may be too large."""
        taken: list[T] = []
        for thing in things:
            if self.full:
                break
            taken.append(thing)
            self._taken += weigh(thing)
        return tuple(taken)


def bounded(mails: Sequence[Mail], after: Mapping[UUID, int]) -> list[Mail]:
    """Return this mail, in its order, as far as there is room in the order of the runs' ids; of signals those after
    the one that ``after`` names."""
    signals, outcomes, ends = _Room(), _Room(), _Room()
    answers: dict[UUID, Mail] = {}
    for mail in sorted(mails, key=lambda mail: mail.run_id.int):
        wanted = [signal for signal in mail.signals if signal.id > after.get(mail.run_id, 0)]
        found = outcomes.take(mail.outcomes, lambda outcome: len(outcome.payload or b""))
        answers[mail.run_id] = msgspec.structs.replace(
            mail,
            signals=signals.take(wanted, lambda signal: 64 + len(signal.payload or b"")),
            outcomes=found,
            children=ends.take(mail.children, lambda end: 64 + len(end.payload or b"")),
            more=signals.full or ends.full or len(found) < len(mail.outcomes),
        )
    return [answers[mail.run_id] for mail in mails]
