"""How many attempts a worker lets an engine send ahead of their results: its credit.

A worker of ``slots`` takes as many as it can run at once, and besides what it will probably finish within the next
50 ms: so tiny activities stream without a pause for the way there and back, while an hour-long one never
finds itself queued behind another, where a second worker could have had it (A12).
"""

from __future__ import annotations

import math

AHEAD_S = 0.05
PREFETCH_MAX = 2_000
SAMPLE_S = 0.05
MEMORY_S = 0.5  # the rate is an average over about this long


class Window:
    """``rate`` is in completions per second, smoothed; it falls to nothing within seconds of idleness."""

    def __init__(self, slots: int, now: float) -> None:
        self._slots = slots
        self._completed = 0
        self._sampled_at = now
        self.rate = 0.0

    def completed(self, count: int) -> None:
        self._completed += count

    def sample(self, now: float) -> None:
        elapsed_s = now - self._sampled_at
        if elapsed_s < SAMPLE_S:
            return
        self.rate += (self._completed / elapsed_s - self.rate) * (1 - math.exp(-elapsed_s / MEMORY_S))
        self._completed, self._sampled_at = 0, now

    def sample_at(self) -> float:
        """When the next sample could change the window; ``inf`` while there is nothing to forget."""
        return self._sampled_at + 4 * SAMPLE_S if self.prefetch else math.inf

    @property
    def prefetch(self) -> int:
        return min(int(self.rate * AHEAD_S), PREFETCH_MAX)

    def share(self, engines: int) -> int:
        """Return the credit of each of so many engines."""
        return math.ceil((self._slots + self.prefetch) / max(engines, 1))
