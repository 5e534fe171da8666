"""Restart intensity: how often is too often (OTP `supervisor.erl` add_restart/1, add_restart/3)."""

from __future__ import annotations

from collections import deque


class RestartWindow:
    """The restarts of one supervisor in its last ``max_seconds``; the caller passes the time."""

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self._max_restarts = max_restarts
        self._max_seconds = max_seconds
        self._restarts: deque[float] = deque()

    def add(self, now: float) -> bool:
        """Count a restart at ``now``; False when it is one too many.

        As in OTP a restart exactly ``max_seconds`` ago still counts, and the one too many is
        recorded as well, though nobody asks again after it.
        """
        threshold = now - self._max_seconds
        while self._restarts and self._restarts[0] < threshold:
            self._restarts.popleft()
        self._restarts.append(now)
        return len(self._restarts) <= self._max_restarts
