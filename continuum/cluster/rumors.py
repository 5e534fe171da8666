"""What this node still has to tell: each rumor a limited number of times, the least told first (SWIM §4.1, §5).

There is one rumor of a member at a time, but for accusations: those of several accusers travel side by side,
because each confirms the others. News that outranks a rumor replaces it, so memory is bounded by the members.
"""

from __future__ import annotations

from collections.abc import Iterator

from continuum.cluster.messages import RUMORS_MAX, Claim, Status, encoded_bytes

_Key = tuple[str, str]  # the member, and who accuses it
ACCUSERS_MAX = 8
MISFITS_MAX = 8  # rumors that are too large for the rest of a message, before it is taken for full


class _Rumor:
    __slots__ = ("claim", "size", "told")

    def __init__(self, claim: Claim, size: int) -> None:
        self.claim, self.size, self.told = claim, size, 0


class Rumors:
    """A queue in tiers by how often a rumor was told, the newest of a tier first."""

    def __init__(self) -> None:
        self._tiers: list[dict[_Key, _Rumor]] = [{}]
        self.names: dict[str, dict[_Key, _Rumor]] = {}  # of whom there is something to tell

    def __len__(self) -> int:
        return sum(map(len, self._tiers))

    def add(self, claim: Claim) -> None:
        """Tell this from now on, instead of what it makes obsolete."""
        key = (claim.name, claim.by if claim.status == Status.SUSPECT else "")
        known = self.names.get(claim.name)
        if known is not None:
            rank = _rank(claim)
            for other, rumor in list(known.items()):
                if other == key or _rank(rumor.claim) < rank:
                    self._drop(other, rumor)
                elif _rank(rumor.claim) > rank:
                    return
            if len(known) >= ACCUSERS_MAX:
                return
        rumor = _Rumor(claim, encoded_bytes(claim))
        self._tiers[0][key] = rumor
        self.names.setdefault(claim.name, {})[key] = rumor

    def discard(self, name: str) -> None:
        """Tell nothing more of a member."""
        for key, rumor in list(self.names.get(name, {}).items()):
            self._drop(key, rumor)

    def clear(self) -> None:
        """Tell nothing more."""
        self._tiers, self.names = [{}], {}

    def take(self, room: int, limit: int, count: int = RUMORS_MAX) -> tuple[list[Claim], int]:
        """Return rumors for one message, and the bytes left of ``room``; each was now told once more, and is
        forgotten when it was told ``limit`` times."""
        taken: list[tuple[_Key, _Rumor]] = []
        misfits = 0
        for key, rumor in self._by_told():
            if rumor.size <= room:
                taken.append((key, rumor))
                room -= rumor.size
            else:
                misfits += 1
            if len(taken) >= count or misfits >= MISFITS_MAX:
                break
        for key, rumor in taken:
            self._told(key, rumor, limit)
        return [rumor.claim for _, rumor in taken], room

    def _by_told(self) -> Iterator[tuple[_Key, _Rumor]]:
        for tier in self._tiers:
            for key in reversed(tier):
                yield key, tier[key]

    def _told(self, key: _Key, rumor: _Rumor, limit: int) -> None:
        if rumor.told + 1 >= limit:
            self._drop(key, rumor)
            return
        del self._tiers[rumor.told][key]
        rumor.told += 1
        if len(self._tiers) == rumor.told:
            self._tiers.append({})
        self._tiers[rumor.told][key] = rumor

    def _drop(self, key: _Key, rumor: _Rumor) -> None:
        del self._tiers[rumor.told][key]
        known = self.names[key[0]]
        del known[key]
        if not known:
            del self.names[key[0]]


def _rank(claim: Claim) -> tuple[int, int, int, int]:
    return (claim.epoch, claim.incarnation, claim.status, claim.sequence)
