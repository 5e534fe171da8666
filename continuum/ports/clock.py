"""Time, as a role gets it: it asks nothing else for it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; its zero means nothing."""
        ...
