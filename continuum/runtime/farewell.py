"""How a worker leaves: as soon as nothing is on its way to it any more.

::

    worker ──WorkerReady(stopping)──► engines, dispatcher
           ◄──LastWord(attempts)──── these are all that you have from me, and I send no more

Who does not answer is not waited for longer than ``LINGER_S``: it may hang, or the word was lost. What is still on its
way then costs an attempt.
"""

from __future__ import annotations

import math

from continuum.ports.clock import Clock
from continuum.runtime.neighbours import DISPATCHER, Neighbours
from continuum.wire.post import Peer

LINGER_S = 0.5


class Farewell:
    def __init__(self, neighbours: Neighbours, clock: Clock) -> None:
        self._neighbours, self._clock = neighbours, clock
        self._until: float | None = None
        self._said: set[Peer] = set()

    @property
    def begun(self) -> bool:
        return self._until is not None

    def begin(self) -> None:
        if self._until is None:
            self._until = self._clock.monotonic() + LINGER_S

    def said(self, sender: Peer) -> None:
        """It has sent all that it will ever send, and that is here."""
        self._said.add(sender)

    @property
    def over(self) -> bool:
        if self._until is None:
            return False
        return self._clock.monotonic() >= self._until or self._said.issuperset(self._senders())

    def wake_at(self) -> float:
        """When it is over at the latest."""
        return math.inf if self._until is None or self.over else self._until

    def _senders(self) -> list[Peer]:
        names = self._neighbours.names("engine") + self._neighbours.names(DISPATCHER)
        return [Peer(name, self._neighbours.alive[name]) for name in names]
