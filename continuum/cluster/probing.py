"""The probes under way: those of this node, and those that it makes for others.

    start ──time-out──► again, and through k members ──time-out──► failed
      └────────────────── Ack, direct or through one of them ────► answered

A probe fails after two time-outs, within one interval. For others this node probes once, passes an Ack on, and
says Nack when most of a time-out has gone by, so that it arrives before the asker judges (Lifeguard §3.1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

NACK_AFTER = 0.7  # of a time-out
RELAYS_MAX = 500
PROBES_MAX = 500


class Probe:
    """A probe of one life of a member."""

    __slots__ = ("asked", "began", "due", "ends", "epoch", "nacks", "name", "number")

    def __init__(self, number: int, name: str, epoch: int, now: float, timeout_s: float) -> None:
        self.number, self.name, self.epoch = number, name, epoch
        self.began = now
        self.due = now + timeout_s  # then indirect
        self.ends = now + 2 * timeout_s
        self.asked = 0
        self.nacks = 0

    @property
    def is_direct(self) -> bool:
        return self.due < self.ends


class _Relay(NamedTuple):
    asker: str  # address
    number: int  # the asker's
    target: str
    nack_at: float
    ends: float


class Due(NamedTuple):
    """What time has brought: probes that need help, probes that failed, and (address, number) to tell Nack."""

    unanswered: list[Probe]
    failed: list[Probe]
    nacks: list[tuple[str, int]]


class Probes:
    """At most `PROBES_MAX` of this node and `RELAYS_MAX` for others."""

    def __init__(self, number: int) -> None:
        self._number = (
            number  # of the last one; starts anywhere, so that an earlier life's answers match nothing
        )
        self._probes: dict[int, Probe] = {}
        self._relays: dict[int, _Relay] = {}
        self._names: set[str] = set()
        self.wake_at = math.inf  # no later than anything is due

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def start(self, name: str, epoch: int, now: float, timeout_s: float) -> Probe | None:
        """Begin a probe; None while one of that member is under way, or too many are."""
        if name in self._names or len(self._probes) >= PROBES_MAX:
            return None
        self._number += 1
        probe = self._probes[self._number] = Probe(self._number, name, epoch, now, timeout_s)
        self._names.add(name)
        self.wake_at = min(self.wake_at, probe.due)
        return probe

    def relay(self, asker: str, number: int, target: str, now: float, timeout_s: float) -> int | None:
        """Begin a probe for another node; return its number, None if there are too many."""
        if len(self._relays) >= RELAYS_MAX:
            return None
        self._number += 1
        nack_at = now + NACK_AFTER * timeout_s
        self._relays[self._number] = _Relay(asker, number, target, nack_at, now + 2 * timeout_s)
        self.wake_at = min(self.wake_at, nack_at)
        return self._number

    def answered(self, number: int, name: str, epoch: int) -> Probe | None:
        """An Ack came: return our probe that it answers, which is over."""
        probe = self._probes.get(number)
        if probe is None or probe.name != name or probe.epoch != epoch:
            return None
        self._end(probe)
        return probe

    def relayed(self, number: int, name: str) -> tuple[str, int] | None:
        """An Ack came: return (address, number) to pass it on to, if we probed for another."""
        relay = self._relays.get(number)
        if relay is None or relay.target != name:
            return None
        del self._relays[number]
        return relay.asker, relay.number

    def nacked(self, number: int) -> None:
        """A member that we asked for help hears us, but not the target."""
        probe = self._probes.get(number)
        if probe is not None and probe.nacks < probe.asked:
            probe.nacks += 1

    def drop_all(self) -> None:
        """This node was away: what it has not heard meanwhile says nothing."""
        self._probes.clear()
        self._relays.clear()
        self._names.clear()
        self.wake_at = math.inf

    def due(self, now: float) -> Due:
        """Return what is due, each once."""
        result = Due([], [], [])
        if now < self.wake_at:
            return result
        for probe in list(self._probes.values()):
            if probe.ends <= now:
                self._end(probe)
                result.failed.append(probe)
            elif probe.due <= now:
                probe.due = probe.ends
                result.unanswered.append(probe)
        for number, relay in list(self._relays.items()):
            if relay.nack_at <= now:
                result.nacks.append((relay.asker, relay.number))
                self._relays[number] = relay._replace(nack_at=math.inf)
            if relay.ends <= now:
                del self._relays[number]
        moments = [probe.due for probe in self._probes.values()]
        moments += [min(relay.nack_at, relay.ends) for relay in self._relays.values()]
        self.wake_at = min(moments, default=math.inf)
        return result

    def _end(self, probe: Probe) -> None:
        del self._probes[probe.number]
        self._names.discard(probe.name)
