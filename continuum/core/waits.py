"""Who waits for which signal, in the order in which the waits were issued."""

from __future__ import annotations


class Waits:
    """Most runs have one wait at a time, and thousands of runs have it for days: one alone has no table."""

    __slots__ = ("_name", "_seq", "_table")

    def __init__(self) -> None:
        self._name: str | None = None  # of the only wait
        self._seq = 0
        self._table: dict[str, list[int]] | None = None  # of several

    def first_wait(self, name: str) -> int | None:
        """Return the command that the next signal of that name answers."""
        if self._table is not None:
            return self._table[name][0] if name in self._table else None
        return self._seq if name == self._name else None

    def add_wait(self, name: str, seq: int) -> None:
        if self._table is not None:
            self._table.setdefault(name, []).append(seq)
        elif self._name is None:
            self._name, self._seq = name, seq
        else:
            self._table = {self._name: [self._seq]}
            self._name = None
            self._table.setdefault(name, []).append(seq)

    def end_wait(self, name: str, seq: int) -> None:
        if self._table is None:
            assert (name, seq) == (self._name, self._seq), "it was added"
            self._name = None
            return
        waits = self._table[name]
        waits.remove(seq)
        if not waits:
            del self._table[name]
            self._table = self._table or None

    @property
    def awaited(self) -> bool:
        return self._name is not None or self._table is not None
