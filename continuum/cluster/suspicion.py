"""How long one suspicion lasts (Lifeguard §3.2: LHA-Suspicion; memberlist).

It starts long, because a single accuser may be the one that is ill, and shrinks with the logarithm of the number
of independent accusers: the first confirmation tells more than the second.
"""

from __future__ import annotations

import math


class Suspicion:
    """One suspicion of one incarnation; ``deadline`` is when it becomes a verdict."""

    __slots__ = ("_accusers", "_began", "_max_s", "_min_s", "_wanted", "deadline", "first", "looked")

    def __init__(self, by: str, now: float, *, wanted: int, min_s: float, max_s: float) -> None:
        """``wanted``: confirmations that shrink it to ``min_s``; 0 where nobody is left who could confirm."""
        self.first = by
        self.looked = False  # this node has looked once more before the verdict
        self._accusers = {by}
        self._began = now
        self._wanted, self._min_s, self._max_s = wanted, min_s, max_s
        self.deadline = now + duration_s(0, wanted, min_s, max_s)

    @property
    def confirmations(self) -> int:
        return len(self._accusers) - 1

    @property
    def is_thin(self) -> bool:
        """Nobody else has confirmed it enough: perhaps the refutation was only missed here."""
        return self._wanted == 0 or self.confirmations < self._wanted

    def confirm(self, by: str) -> bool:
        """Count an accuser; False if it is known, or if enough have spoken."""
        if by in self._accusers or self.confirmations >= self._wanted:
            return False
        self._accusers.add(by)
        self.deadline = self._began + duration_s(self.confirmations, self._wanted, self._min_s, self._max_s)
        return True

    def prolong(self, seconds: float) -> None:
        """This node was not there for so long, to hear a refutation."""
        self._began += seconds
        self.deadline += seconds

    def look_once_more(self, until: float) -> None:
        """Put the verdict off until this node has looked itself."""
        self.looked = True
        self._began += until - self.deadline
        self.deadline = until


def duration_s(confirmations: int, wanted: int, min_s: float, max_s: float) -> float:
    """From the first accusation to the verdict."""
    if confirmations >= wanted:
        return min_s
    return max_s - (max_s - min_s) * math.log(confirmations + 1) / math.log(wanted + 1)
