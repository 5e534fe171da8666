"""Groups of several nodes on a network that is a list: the real role, membership and posts, and a clock by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from continuum.cluster.agent import Group
from continuum.errors import JournalError
from continuum.memory import MemoryStore
from continuum.ports.offload import Completion, Desk, Lane
from continuum.ports.transport import Arrival
from continuum.runtime.role import Ports
from continuum.wire.messages import Message
from continuum.wire.post import Peer, Post
from tests.unit.stage import CREW, INSTANCE, Datagrams, Extra, HandClock

STEP_S = 0.05


class Network:
    """Packets between hosts by address. ``cut`` holds pairs (from, to) that nothing passes."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.cut: set[tuple[str, str]] = set()
        self.carried: list[tuple[str, str, bytes]] = []

    def part(self, one: str, other: str) -> None:
        self.cut |= {(one, other), (other, one)}

    def carry(self, source: str, target: str, data: bytes) -> bool:
        host = self.hosts.get(target)
        self.carried.append((source, target, data))
        if host is not None and (source, target) not in self.cut:
            host.arrivals.append(Arrival(source.encode(), data))
        return True


class Host:
    """The ``HostTransport`` of one address."""

    def __init__(self, network: Network, address: str, secure: bool) -> None:
        self._network, self.address, self.secure = network, address, secure
        self.arrivals: deque[Arrival] = deque()
        self.lost: list[str] = []
        self.refusals: list[str] = []
        network.hosts[address] = self

    def send(self, address: str, data: bytes) -> bool:
        return self._network.carry(self.address, address, data)

    def reply(self, way: bytes, data: bytes) -> bool:
        return self._network.carry(self.address, way.decode(), data)

    def drain(self) -> list[Arrival]:
        return [self.arrivals.popleft() for _ in range(len(self.arrivals))]

    def take_lost(self) -> list[str]:
        lost, self.lost = self.lost, []
        return lost

    def take_refusals(self) -> list[str]:
        refusals, self.refusals = self.refusals, []
        return refusals


class Desks:
    """The ``Offload``: what is asked is done at once, and answered with the next step."""

    def __init__(self, store: MemoryStore) -> None:
        self._desk = Desk(store.journal, store.dispatch)
        self._answers: deque[Completion] = deque()

    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        try:
            self._answers.append(Completion(ticket, work(self._desk)))
        except JournalError as error:
            self._answers.append(Completion(ticket, error=error))

    def drain(self) -> list[Completion]:
        return [self._answers.popleft() for _ in range(len(self._answers))]


class GroupNode:
    """One node: its group, and processes without a role that keep what they hear."""

    def __init__(
        self, house: GroupHouse, name: str, address: str, boot: str, number: int, secure: bool
    ) -> None:
        self.name, self.address, self.boot = name, address, boot
        self._net = Datagrams()
        self._clock = house.clock
        self.host = Host(house.network, address, secure)
        self._desks = Desks(house.store)
        self.incarnation = f"{boot}-{number}"
        self._post = Post("group", self.incarnation, house.clock, self._net)
        ports = Ports(
            house.clock, Random(address), self._post, name, INSTANCE, "group", self.incarnation, CREW
        )
        self.seeds: list[str] = []
        self.group = Group(ports, self.host, self._desks, address, resolve=lambda: list(self.seeds))
        self._posts: dict[str, Post] = {"group": self._post}
        self._extras: dict[str, Extra] = {}
        self.alive = True
        self.group.begin()

    def process(self, name: str, number: int = 9) -> Extra:
        """Start a process of the node."""
        incarnation = f"{self.boot}-{number}"
        post = self._posts[name] = Post(name, incarnation, self._clock, self._net)
        extra = self._extras[name] = Extra(post)
        self.group.peer_up(name, incarnation, CREW)
        return extra

    def kill_process(self, name: str) -> None:
        incarnation = self._posts.pop(name).incarnation
        del self._extras[name]
        self.group.peer_down(name, incarnation, CREW)

    def send(self, extra: Extra, message: Message) -> None:
        """Let a process say something to the group."""
        extra.post.send(Peer("group", self.incarnation), message)

    def owner(self, process: str, number: int = 9) -> str:
        return f"{self.name}/{INSTANCE}/{process}/{self.boot}-{number}"

    def step(self) -> None:
        for completion in self._desks.drain():
            self.group.complete(completion)
        self.group.tick()
        for post in self._posts.values():
            post.flush()
        queue, self._net.queue = self._net.queue, []
        for to, data in queue:
            opened = self._posts[to].open(data) if to in self._posts else None
            if opened is not None and to == "group":
                self.group.receive(*opened)
            elif opened is not None:
                self._extras[to].heard.extend(opened[1])

    @property
    def statuses(self) -> dict[str, str]:
        """How this node sees the members."""
        return {member.name: member.status for member in self.group.status().members}


class GroupHouse:
    def __init__(self, *, secure: bool = True) -> None:
        self.clock = HandClock()
        self.network = Network()
        self.store = MemoryStore(lambda: 1_700_000_000.0 + self.clock.now)
        self.nodes: list[GroupNode] = []
        self._secure = secure

    def node(
        self, name: str, address: str | None = None, boot: str | None = None, number: int = 1
    ) -> GroupNode:
        address = address or f"10.0.0.{len(self.nodes) + 1}:7"
        node = GroupNode(self, name, address, boot or f"{name}boot", number, self._secure)
        self.nodes.append(node)
        return node

    def kill(self, node: GroupNode) -> None:
        """The host is gone: nothing is answered, and no connection closed."""
        self.nodes.remove(node)
        self.network.hosts.pop(node.address, None)

    def advance(self, seconds: float) -> None:
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += STEP_S
            for node in list(self.nodes):
                node.step()

    def settle(self) -> None:
        """Let what is said now arrive; no time passes."""
        for _ in range(10):
            for node in list(self.nodes):
                node.step()
