"""Which children to ping, and which have been silent for too long. Pure: the time is passed in.

A child is heard when it sends anything; it is lost when it was silent for ``timeout_s``, or for
``start_timeout_s`` until it has reported ready, because importing an application may take long and
answers nothing meanwhile. A supervisor that was itself held up (a suspended machine, SIGSTOP, a
debugger) knows nothing about its children: it gives them the time that it was away.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Watched:
    heard_at: float
    timeout_s: float


class Liveness:
    """Silence of the children of one supervisor."""

    def __init__(self, *, interval_s: float, timeout_s: float, start_timeout_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._watched: dict[str, _Watched] = {}
        self._ticked_at = now
        self._ping_at = now + interval_s

    @property
    def deadline(self) -> float:
        """When `on_tick` is due, at the latest."""
        silent = (child.heard_at + child.timeout_s for child in self._watched.values())
        return min(self._ping_at, *silent) if self._watched else self._ping_at

    def watch(self, child_id: str, now: float) -> None:
        """A child was forked."""
        self._watched[child_id] = _Watched(now, self._start_timeout_s)

    def on_ready(self, child_id: str, now: float) -> None:
        """From now on it has to answer within the ordinary time."""
        if child_id in self._watched:
            self._watched[child_id] = _Watched(now, self._timeout_s)

    def on_heard(self, child_id: str, now: float) -> None:
        """A message came from it."""
        if child_id in self._watched:
            self._watched[child_id].heard_at = now

    def forget(self, child_id: str) -> None:
        """It has exited, or it is being stopped and has its shutdown time-out instead."""
        self._watched.pop(child_id, None)

    def on_tick(self, now: float) -> tuple[list[str], list[str]]:
        """Children to ping now, and children that are lost (which are no longer watched)."""
        self._forgive(now)
        lost = [name for name, child in self._watched.items() if child.heard_at + child.timeout_s <= now]
        for child_id in lost:
            self.forget(child_id)
        if now < self._ping_at:
            return [], lost
        self._ping_at = now + self._interval_s
        return list(self._watched), lost

    def _forgive(self, now: float) -> None:
        away_s = now - self._ticked_at
        self._ticked_at = now
        if away_s > 2 * self._interval_s:
            for child in self._watched.values():
                child.heard_at = min(now, child.heard_at + away_s)
