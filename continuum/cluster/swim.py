"""The membership of a group of nodes, pure: messages and time in, messages and news out.

SWIM (Das, Gupta, Motivala, DSN 2002): each node probes one member after the other, directly and then through
others; what it learns spreads as rumors on its probes and in rounds of gossip; a suspected member can refute.
Lifeguard (Dadgar, Phillips, Currey, arXiv:1707.00788): a node judges its own health first, suspicions shrink with
confirmations, and a suspect hears of it with the next probe. memberlist: rounds of gossip between probes, full
exchanges now and then. Serf: dead members are still tried, so that the halves of a healed network find each other.

Ours: members that hear of a suspicion look for themselves at once (a few of them, by lot), so that confirmations do
not wait for the suspect's turn in everybody's round.

The shell carries messages, calls `tick` at `wake_at`, and passes one clock to all methods, the monotonic one. Bytes
that decode to None it counts. Nothing here raises on a message, whatever it says, and every table has a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import assert_never

from continuum.cluster import groups
from continuum.cluster.awareness import Awareness
from continuum.cluster.directives import Directive, Send
from continuum.cluster.exchange import state_of
from continuum.cluster.identity import Identity as Identity
from continuum.cluster.messages import (
    PULL_MAX,
    RUMORS_MAX,
    Ack,
    Answer,
    Claim,
    Gossip,
    GossipMessage,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Status,
    Sync,
    encoded_bytes,
)
from continuum.cluster.probing import Probe, Probes
from continuum.cluster.roster import Roster
from continuum.cluster.state import Member
from continuum.cluster.timing import Timing

SEEDS_MAX = 100
URGENT_MAX = 10  # probes out of turn in a round of gossip
ANSWERS_MAX = 50  # full states sent in a round of gossip; who gets none asks again
ENVELOPE_BYTES = 64  # of a message, without names and rumors


class Swim:
    """One node's view of its group. Not thread-safe; `receive`, `tick` and the rest return what to do now."""

    def __init__(self, me: Identity, timing: Timing, random: Random, now: float) -> None:
        self.me, self.timing = me, timing
        self._random = random
        self.awareness = Awareness(timing.health_max)
        own = Member(me.name, me.address, me.epoch, 0, Status.ALIVE, 0, {}, None, now)
        self._roster = Roster(own, timing, random, self.awareness)
        self._probes = Probes(random.randrange(1 << 31))
        self._seeds: list[str] = []
        self._answers = 0
        self._has_joined = False  # somebody has told this node all that it knows
        self._probe_at = now + random.random() * timing.probe_s
        self._gossip_at = now
        self._sync_at = now + random.random() * timing.sync_s
        self._upkeep_at = now + random.random() * timing.reconnect_s

    @property
    def members(self) -> Mapping[str, Member]:
        """Who is here, suspected, and who died or left lately; this node included. By name; a live view."""
        return MappingProxyType(self._roster.members)

    @property
    def ignored(self) -> int:
        """Claims that could not be true or found no place."""
        return self._roster.ignored

    def join(self, now: float, addresses: Sequence[str]) -> list[Directive]:
        """Exchange the full state with each address; with one of them again and again until somebody answers, and
        whenever no other member is left."""
        for address in addresses:
            if address != self.me.address and address not in self._seeds and len(self._seeds) < SEEDS_MAX:
                self._seeds.append(address)
        for address in addresses[:SEEDS_MAX]:
            self._sync(address, answer=True)
        return self._take()

    def leave(self, now: float) -> list[Directive]:
        """Say goodbye. Keep ticking until `has_left`, then stop; this node no longer probes or refutes."""
        self._roster.leave(now)
        for name in self._roster.here.sample(self._random, 3 * self.timing.gossip_to):
            self._gossip_with(name)
        return self._take()

    @property
    def has_left(self) -> bool:
        """True if the goodbye was said as often as any rumor is, or nobody is there to hear it."""
        roster = self._roster
        return roster.me.status == Status.LEFT and not (roster.here and self.me.name in roster.rumors.names)

    def publish(self, now: float, entries: Mapping[str, bytes]) -> None:
        """Replace this node's entries in the eyes of all others; it may be called often, but each change costs every
        node some datagrams: once a second is plenty.

        Raises:
            ConfigurationError: they are too many or too large; nothing was changed.
        """
        groups.check(entries)
        self._roster.publish(now, entries)

    def hint_lost(self, now: float, name: str) -> list[Directive]:
        """The transport lost its connection to a member: probe it now. No verdict by itself."""
        self._probe(now, name)
        return self._take()

    def receive(self, now: float, sender: str, message: GossipMessage) -> list[Directive]:
        """Take in a message from the node at address ``sender``."""
        match message:
            case Ping():
                self._on_ping(now, sender, message)
            case Ack():
                self._on_ack(now, sender, message)
            case PingRequest():
                self._on_ping_request(now, sender, message)
            case Nack():
                self._probes.nacked(message.number)
            case Gossip():
                self._learn(now, sender, message.rumors)
            case Sync():
                self._on_sync(now, sender, message)
            case Pull():
                self._on_pull(sender, message)
            case Answer():
                for claim in message.claims:
                    self._roster.learn(now, claim, sender, synced=True)
            case _:
                assert_never(message)
        return self._take()

    def tick(self, now: float) -> list[Directive]:
        """Do what is due. It may be called at any time."""
        self._forgive(now)
        self._roster.expire(now)
        if now >= self._probes.wake_at:
            self._tend_probes(now)
        if now >= self._probe_at:
            self._probe_next(now)
        if now >= self._gossip_at:
            self._gossip(now)
        if now >= self._sync_at:
            self._sync_at = now + self.timing.sync_interval_s(self._roster.size)
            for name in self._roster.here.sample(self._random, 1):
                self._sync(self._roster.members[name].address, answer=True)
        if now >= self._upkeep_at:
            self._upkeep_at = now + self.timing.reconnect_s
            self._roster.forget_old(now)
            self._reconnect()
        return self._take()

    def wake_at(self) -> float:
        """When `tick` is due; never further away than the next probe."""
        roster = self._roster
        return min(
            self._probe_at,
            self._sync_at,
            self._upkeep_at,
            self._probes.wake_at,
            roster.suspicion_at,
            self._gossip_at if self._roster.has_news else math.inf,
        )

    def _take(self) -> list[Directive]:
        out, self._roster.out = self._roster.out, []
        return out

    def _send(self, address: str, message: GossipMessage) -> None:
        self._roster.out.append(Send(address, message))

    def _learn(self, now: float, sender: str, rumors: Sequence[Claim]) -> None:
        for claim in rumors:
            self._roster.learn(now, claim, sender)

    # Messages

    def _on_ping(self, now: float, sender: str, ping: Ping) -> None:
        self._learn(now, sender, ping.rumors)
        if ping.target != self.me.name:
            return  # for an earlier owner of this address: let it look dead
        self._meet(now, sender, ping)
        accusation = self._roster.accusation(ping.source, ping.epoch)
        rumors = self._rumors(self.me.name, accusation)
        me = self._roster.me
        self._send(sender, Ack(ping.number, me.name, me.epoch, me.incarnation, rumors))

    def _meet(self, now: float, sender: str, ping: Ping) -> None:
        """Somebody lives under that name. If it is not known as such, ask it who it is."""
        alive = Claim(ping.source, Status.ALIVE, ping.epoch, ping.incarnation)
        self._roster.learn(now, alive, sender)
        held = self._roster.members.get(ping.source)
        if held is not None and held.epoch > ping.epoch and self._is_long_dead(now, held):
            # A later life that is over, or that never was: the earlier one is the one that talks.
            self._roster.forget(ping.source)
            held = None
        if held is None or held.epoch < ping.epoch:
            self._send(sender, Pull([ping.source]))

    def _is_long_dead(self, now: float, member: Member) -> bool:
        return member.status == Status.DEAD and now - member.since >= self.timing.dead_gossip_s

    def _on_ack(self, now: float, sender: str, ack: Ack) -> None:
        self._learn(now, sender, ack.rumors)
        probe = self._probes.answered(ack.number, ack.name, ack.epoch)
        asker = None if probe is not None else self._probes.relayed(ack.number, ack.name)
        if probe is not None:
            self._roster.learn(now, Claim(ack.name, Status.ALIVE, ack.epoch, ack.incarnation), sender)
            self.awareness.on_answered()
            if now < probe.began + self.timing.timeout_s:
                self._roster.note_rtt(ack.name, now - probe.began)
        elif asker is not None:
            address, number = asker
            rumors = self._rumors(ack.name)
            self._send(address, Ack(number, ack.name, ack.epoch, ack.incarnation, rumors))
        else:
            held = self._roster.members.get(ack.name)
            if held is not None and held.epoch < ack.epoch and held.address == sender:
                self._send(sender, Pull([ack.name]))  # restarted at the same address

    def _on_ping_request(self, now: float, sender: str, request: PingRequest) -> None:
        self._learn(now, sender, request.rumors)
        target = self._roster.members.get(request.target)
        number = None
        if target is not None and target.name != self.me.name:
            number = self._probes.relay(sender, request.number, target.name, now, self.timing.timeout_s)
        if target is None or number is None:
            self._send(sender, Nack(request.number))
        else:
            self._ping(number, target)

    def _on_sync(self, now: float, sender: str, sync: Sync) -> None:
        # What a newcomer is told when it joins everybody else knows already.
        is_newcomer = not sync.answer and not self._roster.here
        for claim in sync.claims:
            self._roster.learn(now, claim, sender, synced=True, quiet=is_newcomer)
        if not sync.answer:
            self._has_joined = True
        elif self._answers < ANSWERS_MAX:
            self._answers += 1
            self._sync(sender, answer=False)

    def _on_pull(self, sender: str, pull: Pull) -> None:
        members = self._roster.members
        known = [members[name] for name in pull.names if name in members]
        for claims in state_of(known, self._roster.accusers()):
            self._send(sender, Answer(claims))

    # What time brings

    def _forgive(self, now: float) -> None:
        """A process that was stopped for a while has heard no refutation and no Ack: that is nobody's fault."""
        held_up_s = now - self._probe_at
        if held_up_s > self.timing.probe_s:
            self.awareness.on_held_up()
            self._probes.drop_all()
            self._roster.prolong(held_up_s)

    def _tend_probes(self, now: float) -> None:
        unanswered, failed, nacks = self._probes.due(now)
        for address, number in nacks:
            self._send(address, Nack(number))
        for probe in unanswered:
            self._ask_again(probe)
        for probe in failed:
            self.awareness.on_unanswered(probe.asked, probe.nacks)
            self._roster.suspect(now, probe.name, probe.epoch)

    def _ask_again(self, probe: Probe) -> None:
        """Through others, and once more directly, as memberlist does over TCP: one lost message is no suspicion."""
        roster = self._roster
        member = roster.members.get(probe.name)
        if member is None:
            return
        self._ping(probe.number, member)
        for helper in roster.helpers(self.timing.indirect, without=probe.name):
            probe.asked += 1
            request = PingRequest(probe.number, probe.name, self._rumors(probe.name))
            self._send(helper.address, request)

    def _probe_next(self, now: float) -> None:
        self._probe_at = now + self.timing.probe_s * self.awareness.factor
        if self._roster.me.status == Status.LEFT:
            return
        name = self._roster.round.next()
        if name is not None:
            self._probe(now, name)
        if self._seeds and (name is None or not self._has_joined):
            self._sync(self._random.choice(self._seeds), answer=True)

    def _probe(self, now: float, name: str) -> None:
        member = self._roster.members.get(name)
        if member is None or not member.is_here or name == self.me.name:
            return
        probe = self._probes.start(name, member.epoch, now, self.timing.timeout_s * self.awareness.factor)
        if probe is not None:
            self._ping(probe.number, member)

    def _ping(self, number: int, member: Member) -> None:
        accusation = self._roster.accusation(member.name, member.epoch)  # Lifeguard §3.3: buddy system
        rumors = self._rumors(member.name + self.me.name, accusation)
        me = self._roster.me
        self._send(member.address, Ping(number, member.name, me.name, me.epoch, me.incarnation, rumors))

    def _gossip(self, now: float) -> None:
        roster = self._roster
        self._answers = 0
        if not self._roster.has_news:
            self._gossip_at = now  # the next news leaves at once
            return
        self._gossip_at = now + self.timing.gossip_s
        for name in list(roster.urgent)[:URGENT_MAX]:
            del roster.urgent[name]
            self._probe(now, name)
        self._pull_stale()
        if not roster.rumors.names and not roster.news.names:
            return
        for name in roster.here.sample(self._random, self.timing.gossip_to):
            self._gossip_with(name)
        for name in roster.dead.sample(self._random, 1):
            if not self._is_long_dead(now, roster.members[name]):
                self._gossip_with(name)
        if not roster.here and all(self._is_long_dead(now, roster.members[name]) for name in roster.dead):
            roster.rumors.clear()  # nobody is left to be told, and who comes is told all by an exchange
            roster.news.clear()

    def _gossip_with(self, name: str) -> None:
        member = self._roster.members[name]
        rumors = self._rumors("", self._roster.accusation(name, member.epoch))
        if rumors:
            self._send(member.address, Gossip(rumors))

    def _pull_stale(self) -> None:
        """Ask for entries that were too large for a rumor: who told us, so that the owner does not serve all."""
        stale = self._roster.stale
        asked: dict[str, list[str]] = {}
        for name in list(stale)[:PULL_MAX]:
            asked.setdefault(stale.pop(name), []).append(name)
        for address, names in asked.items():
            self._send(address, Pull(names))

    def _reconnect(self) -> None:
        """Try a member that was given up, or a seed that is no member: the network may have healed (Serf)."""
        roster = self._roster
        if self._random.random() * (roster.size) >= len(roster.dead) + 1:
            return  # all nodes together should not try more often than one of them alone
        places = [roster.members[name].address for name in roster.dead.sample(self._random, 1)]
        known = {roster.members[name].address for name in roster.here}
        places += [address for address in self._seeds if address not in known]
        if places:
            self._sync(self._random.choice(places), answer=True)

    def _sync(self, address: str, *, answer: bool) -> None:
        if address == self.me.address:
            return
        parts = state_of(self._roster.members.values(), self._roster.accusers())
        for place, claims in enumerate(parts):
            self._send(address, Sync(answer and place == len(parts) - 1, claims))

    def _rumors(self, names: str, accusation: Claim | None = None) -> list[Claim]:
        """Return what fits into one datagram, the accusation first."""
        roster = self._roster
        first = [] if accusation is None else [accusation]
        if not roster.rumors.names and not roster.news.names:
            return first
        room = self.timing.datagram_bytes - ENVELOPE_BYTES - len(names.encode())
        room -= sum(map(encoded_bytes, first))
        limit = self.timing.retransmits(roster.size)
        rumors, room = roster.rumors.take(room, limit, RUMORS_MAX - len(first))
        if roster.news.names:
            news, _ = roster.news.take(room, limit, RUMORS_MAX - len(first) - len(rumors))
            rumors += news
        return first + rumors if first else rumors
