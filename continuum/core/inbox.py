"""The signals of a run: what came before its wait, who waits for which name, and what was seen before (S1, S2)."""

from __future__ import annotations

from collections import deque


class Inbox:
    """Signals keep the order in which they came, per name; waits the order in which they were issued."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[tuple[int, bytes]]] = {}
        self._waits: dict[str, deque[int]] = {}
        self._known: set[int] = set()

    def learn(self, signal_id: int) -> bool:
        """Note a signal; False if it came before, live or in the history."""
        if signal_id in self._known:
            return False
        self._known.add(signal_id)
        return True

    def keep(self, signal_id: int, name: str, value: bytes) -> None:
        """Nobody waits for it yet."""
        self._kept.setdefault(name, deque()).append((signal_id, value))

    def take(self, name: str) -> tuple[int, bytes] | None:
        """Return (id, payload) of the oldest signal of that name, if one came before."""
        kept = self._kept.get(name)
        return kept.popleft() if kept else None

    def unread(self) -> tuple[int, ...]:
        return tuple(signal_id for kept in self._kept.values() for signal_id, _ in kept)

    def first_wait(self, name: str) -> int | None:
        """Return the command that the next signal of that name answers."""
        waits = self._waits.get(name)
        return waits[0] if waits else None

    def add_wait(self, name: str, seq: int) -> None:
        self._waits.setdefault(name, deque()).append(seq)

    def end_wait(self, name: str, seq: int) -> None:
        self._waits[name].remove(seq)

    @property
    def awaited(self) -> bool:
        for waits in self._waits.values():  # noqa: SIM110 - a generator costs on the hot path
            if waits:
                return True
        return False
