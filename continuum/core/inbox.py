"""The signals of a run: what came before its wait, who waits for which name, and what was seen before (S1, S2)."""

from __future__ import annotations

from collections import deque

from continuum.core.waits import Waits


class Inbox(Waits):
    """Signals keep the order in which they came, per name; waits the order in which they were issued."""

    __slots__ = ("_kept", "_known")

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, deque[tuple[int, bytes]]] | None = None
        self._known: set[int] | None = None

    def learn(self, signal_id: int) -> bool:
        """Note a signal; False if it came before, live or in the history."""
        if self._known is None:
            self._known = set()
        if signal_id in self._known:
            return False
        self._known.add(signal_id)
        return True

    def keep(self, signal_id: int, name: str, value: bytes) -> None:
        """Nobody waits for it yet."""
        if self._kept is None:
            self._kept = {}
        self._kept.setdefault(name, deque()).append((signal_id, value))

    def take(self, name: str) -> tuple[int, bytes] | None:
        """Return (id, payload) of the oldest signal of that name, if one came before."""
        kept = self._kept.get(name) if self._kept is not None else None
        return kept.popleft() if kept else None

    def unread(self) -> tuple[int, ...]:
        return tuple(signal_id for kept in (self._kept or {}).values() for signal_id, _ in kept)
