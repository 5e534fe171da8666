"""How well this node itself is, as far as it can tell (Lifeguard §3.1: local health multiplier).

A node that gets no answers, not even the Nacks of members whom it asked for help, is more likely slow or cut off
than surrounded by dead. It then probes more slowly and waits longer before it accuses.
"""

from __future__ import annotations


class Awareness:
    """A score from 0 (well) to ``worst``."""

    __slots__ = ("_worst", "score")

    def __init__(self, worst: int) -> None:
        self._worst = worst
        self.score = 0

    @property
    def factor(self) -> int:
        """By how much to stretch the probe interval and its time-outs."""
        return self.score + 1

    def on_answered(self) -> None:
        """A probe was answered."""
        self._add(-1)

    def on_unanswered(self, asked: int, nacks: int) -> None:
        """A probe failed, and of ``asked`` helpers so many said that they at least hear us.

        Lifeguard counts each that is silent. Here one Nack in time is proof enough that this node hears, else the
        silence of helpers that have died with the target (a rack, a zone) would slow its detection. Where nobody
        could be asked nobody can tell whose fault it is, and it counts as ours."""
        if not nacks:
            self._add(max(asked, 1))

    def on_accused(self) -> None:
        """Others suspect this node: it answers too slowly."""
        self._add(1)

    def on_held_up(self) -> None:
        """This process did not run when it wanted to."""
        self._add(1)

    def _add(self, points: int) -> None:
        self.score = min(max(self.score + points, 0), self._worst)
