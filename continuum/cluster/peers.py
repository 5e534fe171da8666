"""Sets of names from which one is drawn at random in constant time, and the order in which members are probed."""

from __future__ import annotations

from collections.abc import Container, Iterator
from random import Random


class Pool:
    """A set of names that can be sampled."""

    __slots__ = ("_names", "_places")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def add(self, name: str) -> bool:
        if name in self._places:
            return False
        self._places[name] = len(self._names)
        self._names.append(name)
        return True

    def discard(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is None:
            return
        last = self._names.pop()
        if last != name:
            self._names[place] = last
            self._places[last] = place

    def sample(self, random: Random, count: int, without: Container[str] = ()) -> list[str]:
        """Return up to ``count`` different names; fewer if there are no others, or by bad luck of the draw."""
        names = self._names
        if len(names) <= 2 * count:
            rest = [name for name in names if name not in without]
            random.shuffle(rest)
            return rest[:count]
        found: list[str] = []
        for _ in range(3 * count):
            name = names[int(random.random() * len(names))]
            if name not in without and name not in found:
                found.append(name)
                if len(found) == count:
                    break
        return found


class Round:
    """Every member once in a random order, then a new order (SWIM §4.3): so a dead one is probed in bounded time."""

    def __init__(self, pool: Pool, random: Random) -> None:
        self._pool, self._random = pool, random
        self._left: list[str] = []
        self._waiting: set[str] = set()  # the same names

    def add(self, name: str) -> None:
        """A new member: it gets a random place in what is left of this round."""
        if name not in self._waiting:
            self._waiting.add(name)
            self._left.insert(int(self._random.random() * (len(self._left) + 1)), name)

    def next(self) -> str | None:
        """Return whom to probe; None if there is nobody."""
        while True:
            if not self._left:
                self._left = list(self._pool)
                self._waiting.update(self._left)
                self._random.shuffle(self._left)
                if not self._left:
                    return None
            name = self._left.pop()
            self._waiting.remove(name)
            if name in self._pool:
                return name
