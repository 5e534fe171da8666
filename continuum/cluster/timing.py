"""How fast a group talks and how long it waits: one frozen value, with a preset for one site and one for many.

The formulas take the size of the group and are those of SWIM (Das, Gupta, Motivala, DSN 2002), Lifeguard (Dadgar,
Phillips, Currey, arXiv:1707.00788) and memberlist, with one change: the shortest suspicion is counted in rounds of
gossip instead of probe intervals. What it must outlast is an accusation on its way to the accused and the
refutation on its way back, and both travel by gossip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from continuum.errors import ConfigurationError

SYNC_SCALE_FROM = 32  # members; beyond it a full exchange happens more rarely, as in memberlist


@dataclass(frozen=True, slots=True)
class Timing:
    """The parameters of a group; all of its nodes should use the same.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    probe_s: float = 0.5  # between two probes of one node (SWIM: protocol period)
    timeout_s: float = 0.2  # for the direct answer; indirect probes then have as long again
    indirect: int = 3  # members asked to probe where the direct answer is missing (SWIM: k)
    gossip_s: float = 0.1  # between two rounds of gossip, while there is something to say
    gossip_to: int = 3  # members in a round
    sync_s: float = 10.0  # between two exchanges of the full state (memberlist: push-pull)
    retransmit: float = (
        4.0  # a rumor is sent ceil(this * max(1, log10(n + 1))) times by each node (SWIM: lambda)
    )
    suspicion_s: float = 0.8  # the shortest suspicion, at least ...
    suspicion_rounds: float = 2.0  # ... and at least ln(n + 1) times so many rounds of gossip
    suspicion_max: float = 6.0  # the longest suspicion, in shortest ones (Lifeguard: beta)
    confirmations: int = 3  # independent accusers that shrink a suspicion to its shortest (Lifeguard: K)
    confirmers: float = 6.0  # about so many members that hear of a suspicion look for themselves at once
    health_max: int = 8  # a node in bad health probes up to so many times slower, plus one (Lifeguard: S)
    reconnect_s: float = 5.0  # between two tries to reach a member that was declared dead
    dead_gossip_s: float = 30.0  # a dead member still gets gossip for so long, so that it can refute
    forget_dead_s: float = 3600.0  # then a dead member is no longer tried
    forget_left_s: float = 300.0  # then a late message may no longer be taken for a return
    datagram_bytes: int = 1400  # of a message with rumors

    def __post_init__(self) -> None:
        wrong = [name for name in self.__slots__ if not getattr(self, name) > 0]
        if wrong:
            raise ConfigurationError(f"the timing of a group needs positive values: {', '.join(wrong)}")
        if 2 * self.timeout_s > self.probe_s:
            raise ConfigurationError(
                f"a probe takes up to two time-outs ({2 * self.timeout_s} s), which must fit into the interval"
                f" between two probes ({self.probe_s} s)"
            )
        if self.datagram_bytes < 512:
            raise ConfigurationError(
                f"a datagram of {self.datagram_bytes} bytes is too small: 512 are needed"
            )

    @property
    def look_s(self) -> float:
        """In which a probe out of turn begins and ends."""
        return self.gossip_s + 2 * self.timeout_s

    def retransmits(self, size: int) -> int:
        """How often each node sends a rumor in a group of ``size`` (SWIM §5; memberlist: RetransmitMult)."""
        return math.ceil(self.retransmit * max(1.0, math.log10(size + 1)))

    def suspicion_min_s(self, size: int) -> float:
        """The time in which an accused member can refute, whoever confirms it."""
        return max(self.suspicion_s, self.suspicion_rounds * math.log(size + 1) * self.gossip_s)

    def suspicion_max_s(self, size: int) -> float:
        """The time in which it can refute what nobody confirms."""
        return self.suspicion_max * self.suspicion_min_s(size)

    def sync_interval_s(self, size: int) -> float:
        """Between two full exchanges: they cost in proportion to the size, so larger groups make fewer."""
        if size <= SYNC_SCALE_FROM:
            return self.sync_s
        return self.sync_s * (1 + math.ceil(math.log2(size / SYNC_SCALE_FROM)))


LOCAL = Timing()
WAN = Timing(
    probe_s=2.0,
    timeout_s=0.8,
    gossip_s=0.3,
    gossip_to=4,
    sync_s=30.0,
    suspicion_s=4.0,
    reconnect_s=15.0,
    dead_gossip_s=120.0,
    forget_dead_s=24 * 3600.0,
    forget_left_s=1800.0,
)
