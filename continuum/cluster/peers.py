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
    """Every member once, in an order that each node draws for itself, and then again (SWIM §4.3).

    SWIM draws a new order for each round, so the same two nodes may meet 2n - 1 probes apart. The order stays here:
    a dead member is probed by each node within n - 1 probes, which halves the longest wait in a small group."""

    def __init__(self, pool: Pool, random: Random) -> None:
        self._pool, self._random = pool, random
        self._order: list[str] = []
        self._names: set[str] = set()  # the same names
        self._place = 0

    def add(self, name: str) -> None:
        """A new member: it gets a random place."""
        if name in self._names:
            return
        self._names.add(name)
        place = int(self._random.random() * (len(self._order) + 1))
        self._order.insert(place, name)
        if place < self._place:
            self._place += 1

    def next(self) -> str | None:
        """Return whom to probe; None if there is nobody."""
        for _ in range(2):
            while self._place < len(self._order):
                name = self._order[self._place]
                self._place += 1
                if name in self._pool:
                    return name
            self._order = [name for name in self._order if name in self._pool]
            self._names = set(self._order)
            self._place = 0
        return None
