"""Time and randomness, as a role gets them: it asks nothing else for either."""

from __future__ import annotations

from random import Random
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; its zero means nothing."""
        ...


__all__ = ["Clock", "Random"]
