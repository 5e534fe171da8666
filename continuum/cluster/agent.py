"""The group: this node's place among the nodes, as the role of a process (:class:`continuum.runtime.role.Role`).

::

    other hosts ══ packets ══► membership (pure) ──► news ──► roles of this node
                           └──► routing ◄──────────────────── roles of this node
    database   ◄── epoch, address, others (off the loop) ──► registration

It holds nothing that anybody needs to be right: the runs of a node whose group is dead, alone or partitioned go on
through the database, later (M2, M4). So nothing here waits for the database, and an error of another host is counted.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol, assert_never

import msgspec

from continuum.cluster.complaints import Complaints
from continuum.cluster.directives import (
    Changed,
    Died,
    Directive,
    Joined,
    Left,
    NameTaken,
    Recovered,
    Refuted,
    Send,
    Suspected,
)
from continuum.cluster.groups import LocalEntries
from continuum.cluster.load import ABOUT, BOOT, LOAD, About, LocalLoad
from continuum.cluster.messages import decode, encode
from continuum.cluster.news import News
from continuum.cluster.registration import Registration
from continuum.cluster.routing import Routing
from continuum.cluster.status import NodeStatus, ProcessStatus, encode_status, status_of
from continuum.cluster.swim import Identity, Swim
from continuum.cluster.timing import LOCAL, Timing
from continuum.errors import WireError
from continuum.model.ids import Owner
from continuum.ports.clock import Clock
from continuum.ports.dispatch import GroupAddress, Life
from continuum.ports.offload import Completion, Offload
from continuum.ports.transport import Arrival, HostTransport
from continuum.wire.hosts import (
    Answers,
    AskStatus,
    Gossip,
    HostMessage,
    Results,
    StatusAnswer,
    Wakes,
    decode_packet,
    encode_packet,
)
from continuum.wire.messages import (
    Ask,
    Disowned,
    EngineReady,
    Forward,
    Message,
    Route,
    Settled,
    WorkerReady,
)
from continuum.wire.post import Peer, Post

PUBLISH_S = 2.0  # between two changes of this node's entries, in a small group
PUBLISH_MEMBERS = 25  # for each so many members a second more, so that all together stay bounded
LOOK_S = 0.5  # between two looks for others while alone; doubles
MEET_S = 30.0  # at the most, and in company: the table may name a group that ours has lost
GOODBYE_S = 0.5  # at most, in which the word that we leave spreads
STATUS_MEMBERS_MAX = 5_000

log = logging.getLogger("continuum")


class Place(Protocol):
    """What a role is given (``runtime.role.Ports``)."""

    @property
    def clock(self) -> Clock: ...
    @property
    def random(self) -> Random: ...
    @property
    def post(self) -> Post: ...
    @property
    def node(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def incarnation(self) -> str: ...


class Group:
    """``address`` is where other hosts reach ``hosts``. ``resolve`` gives the addresses of seeds, and may wait for the
    network: it runs off the loop. ``processes`` reads which processes the node has now."""

    def __init__(
        self,
        place: Place,
        hosts: HostTransport,
        offload: Offload,
        address: str,
        *,
        resolve: Callable[[], list[str]] = list,
        processes: Callable[[], list[ProcessStatus]] = list,
        about: About = About(),  # noqa: B008 - frozen
        began: float | None = None,
        timing: Timing = LOCAL,
    ) -> None:
        self._place, self._clock, self._hosts = place, place.clock, hosts
        self._address, self._timing, self._list_processes = address, timing, processes
        self._began = place.clock.monotonic() if began is None else began
        self._owner = Owner(place.node, place.instance, place.name, place.incarnation)
        self._registration = Registration(offload, place.clock, self._owner, resolve, self._born, self._found)
        self._entries = LocalEntries()
        self._entries.set(BOOT, self._owner.boot.encode())
        self._entries.set(ABOUT, msgspec.msgpack.encode(about))
        self.load = LocalLoad(self._entries)
        self.routing = Routing(
            (place.node, place.instance, self._owner.boot),
            place.post,
            self._send,
            lambda node, boot: None if self._news is None else self._news.address_of(node, boot),
            secure=hosts.secure,
        )
        self._realm = ""
        self._swim: Swim | None = None  # there is none before the database has given an epoch
        self._news: News | None = None
        self._published: dict[str, bytes] = {}
        self._publish_at = self._look_at = place.clock.monotonic()
        self._look_s = LOOK_S
        self._complaints = Complaints()
        self._leave_at = math.inf
        self._reborn = False
        self.counts: Counter[str] = Counter()

    # What a role has

    def begin(self) -> None:
        self._registration.begin()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        for message in messages:
            match message:
                case Route():
                    self.routing.route(message)
                case Forward():
                    self.routing.forward(sender, message)
                case Settled(keys):
                    self.routing.settled(keys)
                case Disowned(keys):
                    self.routing.disowned(keys)
                case Ask():
                    self._registration.renew()
                case EngineReady():
                    if self.routing.processes.get(sender.name) == sender.incarnation:
                        self.load.engine_says(sender.name, message, self._clock.monotonic())
                case WorkerReady():
                    if self.routing.processes.get(sender.name) == sender.incarnation:
                        self.load.worker_says(sender.name, message)
                case _:
                    pass  # for another role

    def complete(self, completion: Completion) -> None:
        self._registration.complete(completion)

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self.routing.processes[name] = incarnation
        if self._news is not None:
            self._news.process_up(name)

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        if self.routing.processes.get(name) == incarnation:
            del self.routing.processes[name]
            self.load.process_down(name)
        self._place.post.forget(Peer(name, incarnation))

    def tick(self) -> None:
        now = self._clock.monotonic()
        self._registration.tick()
        for arrival in self._hosts.drain():
            if self._swim is not None:  # before it there is no realm by which to tell whose packets these are
                self._arrived(now, arrival)
        self._attend_lines(now)
        if self._swim is not None and self._news is not None:
            if now >= self._swim.wake_at():
                self._do(self._swim.tick(now))
            if self._leave_at == math.inf:
                self._look(now, self._swim)
                self._publish(now, self._swim)
            self._news.tick(now)
        self.routing.flush()

    def wake_at(self) -> float:
        moments = [self._registration.wake_at()]
        if self._swim is not None and self._news is not None:
            moments += [self._swim.wake_at(), self._news.wake_at()]
            if self._leave_at == math.inf:
                moments += [self._look_at, self._publish_at]
            elif self._leave_at > self._clock.monotonic():
                moments.append(self._leave_at)
        return min(moments)

    def drain(self) -> None:
        """Say goodbye, and be gone from the table."""
        if self._leave_at == math.inf:
            self._leave_at = self._clock.monotonic() + GOODBYE_S
            if self._swim is not None:
                self._do(self._swim.leave(self._clock.monotonic()))
            self._registration.retire()

    @property
    def drained(self) -> bool:
        """True when both are done; a database that is away is not waited for longer than the shell's grace."""
        has_left = self._swim is None or self._swim.has_left or self._clock.monotonic() >= self._leave_at
        return has_left and self._registration.gone

    # Beginning, and finding the others

    def _born(self, life: Life) -> None:
        now = self._clock.monotonic()
        before, self._reborn = self._swim, False
        self._realm = life.realm
        identity = Identity(self._place.node, self._address, life.epoch)
        self._swim = Swim(identity, self._timing, self._place.random, now)
        self._news = News(self._place.node, self._swim.members, self._place.post, self.routing.processes)
        self._swim.publish(now, dict(self._entries.entries))
        self._published = dict(self._entries.entries)
        self._look_at, self._look_s = now, LOOK_S
        log.info("epoch %d of node %s, at %s", life.epoch, self._place.node, self._address)
        if before is None:
            self._registration.register(self._address)
        else:
            self._do(self._swim.join(now, [m.address for m in before.members.values()]))

    def _look(self, now: float, swim: Swim) -> None:
        if now < self._look_at:
            return
        if len(swim.members) > 1 and any(
            m.is_here for name, m in swim.members.items() if name != swim.me.name
        ):
            self._look_at, self._look_s = now + MEET_S, LOOK_S
        else:
            self._look_at = now + self._look_s
            self._look_s = min(2 * self._look_s, MEET_S)
        self._registration.look()

    def _found(self, seeds: list[str], groups: list[GroupAddress]) -> None:
        """Join whoever is not known yet."""
        if self._swim is None or self._leave_at < math.inf:
            return
        known = {member.address for member in self._swim.members.values() if member.is_here}
        places = dict.fromkeys(
            [*seeds, *(group.address for group in groups if group.node != self._place.node)]
        )
        new = [place for place in places if place not in known and place != self._address]
        if new:
            self._do(self._swim.join(self._clock.monotonic(), new))

    def _publish(self, now: float, swim: Swim) -> None:
        """At a bounded rate, so that the entries of a large group do not fill its network."""
        if now < self._publish_at:
            return
        self._publish_at = now + PUBLISH_S + len(swim.members) // PUBLISH_MEMBERS
        self._entries.set(LOAD, msgspec.msgpack.encode(self.load.total()))
        if self._entries.entries != self._published:
            self._published = dict(self._entries.entries)
            swim.publish(now, self._published)

    # Other hosts

    def _send(self, address: str, message: HostMessage) -> bool:
        return self._hosts.send(address, encode_packet(self._realm, self._address, message))

    def _arrived(self, now: float, arrival: Arrival) -> None:
        try:
            sender, message = decode_packet(arrival.data, self._realm)
        except WireError as error:
            self.counts["ignored"] += 1
            self._complaints.ignored(now, str(error))
            return
        match message:
            case Gossip(data):
                self._gossiped(now, sender, data)
            case Wakes():
                self.routing.take_wakes(message)
            case Results():
                self.routing.take_results(sender, message)
            case Answers():
                self.routing.take_answers(message)
            case AskStatus():
                answer = StatusAnswer(encode_status(self.status()))
                self._hosts.reply(arrival.way, encode_packet(self._realm, self._address, answer))
            case StatusAnswer():
                self.counts["ignored"] += 1  # nobody here asks
            case _:
                assert_never(message)

    def _gossiped(self, now: float, sender: str, data: bytes) -> None:
        message = decode(data)
        if message is None or not sender:
            self.counts["ignored"] += 1
        else:
            assert self._swim is not None, "nothing arrives before"
            self._do(self._swim.receive(now, sender, message))

    def _attend_lines(self, now: float) -> None:
        for address in self._hosts.take_lost():
            log.debug("the line to %s broke", address)
            name = self._news.name_at(address) if self._news is not None else None
            if name is not None and self._swim is not None:
                self._do(self._swim.hint_lost(now, name))
        for address in self._hosts.take_refusals():
            self.counts["refused"] += 1
            self._complaints.refused(now, address, self._hosts.secure)

    def _do(self, directives: Sequence[Directive]) -> None:
        news = self._news
        assert news is not None, "the membership begins with its news"
        for directive in directives:
            match directive:
                case Send(address, message):
                    self._send(address, Gossip(encode(message)))
                case Joined(member) | Changed(member):
                    news.seen(member)
                case Suspected(name):
                    news.suspected(name)
                case Recovered(name):
                    news.recovered(name)
                case Died(name, _):
                    news.died(name)
                case Left(name, _):
                    news.left(name)
                case Refuted():
                    self.counts["refuted"] += 1
                    log.debug("others took this node for dead; they were told better")
                case NameTaken(address, _):
                    self._name_taken(address)
                case _:
                    assert_never(directive)

    def _name_taken(self, address: str) -> None:
        if address == self._address:  # a former life of this very node: the next epoch is larger
            if not self._reborn:
                self._reborn = True
                self._registration.begin()
            return
        self._complaints.name_taken(self._clock.monotonic(), self._place.node, address)

    # For people

    def status(self) -> NodeStatus:
        """Return what is known here now."""
        now, routing = self._clock.monotonic(), self.routing
        members = list(self._swim.members.values())[:STATUS_MEMBERS_MAX] if self._swim is not None else []
        return NodeStatus(
            node=self._place.node,
            instance=self._place.instance,
            boot=self._owner.boot,
            realm=self._realm,
            address=self._address,
            secure=self._hosts.secure,
            members=[status_of(member, now) for member in members],
            processes=self._list_processes(),
            engines=dict(self.load.engines),
            workers=dict(self.load.workers),
            up_s=round(now - self._began, 3),
            counts={
                **self.counts,
                "wakes_sent": routing.wakes_sent,
                "wakes_taken": routing.wakes_taken,
                "results_sent": routing.results_sent,
                "results_taken": routing.results_taken,
                "unroutable": routing.unroutable,
            },
        )
