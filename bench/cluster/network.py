"""Hosts of one group on a virtual clock and a seeded network that loses, delays, doubles and cuts.

The real membership runs and its real bytes travel; only sockets and the clock are missing. The same seed gives the
same run. Reordering comes from the delays, which are drawn for each message.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from random import Random

from continuum.cluster.directives import Directive, Send
from continuum.cluster.messages import Sync, decode, encode
from continuum.cluster.state import claim_of
from continuum.cluster.swim import Identity, Swim
from continuum.cluster.timing import LOCAL, Timing

DELAY_S = (0.0002, 0.002)
_Data = tuple[str, bytes]  # sender's address, message


class Host:
    """A machine: a name, an address, and the node that lives on it now (None: killed)."""

    __slots__ = ("address", "bytes_sent", "frozen", "inbox", "name", "node", "sent", "wake_at")

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.node: Swim | None = None
        self.frozen = False
        self.inbox: list[_Data] = []  # of a frozen host: its kernel still takes messages in
        self.wake_at = math.inf
        self.sent = self.bytes_sent = 0


class Network:
    """``log`` holds what each host was told: (moment, its name, directive other than Send)."""

    def __init__(
        self,
        seed: int,
        *,
        loss: float = 0.0,
        doubled: float = 0.0,
        delay_s: tuple[float, float] = DELAY_S,
        timing: Timing = LOCAL,
    ) -> None:
        self.random = Random(seed)
        self.loss, self.doubled, self.delay_s, self.timing = loss, doubled, delay_s, timing
        self.now = 0.0
        self.hosts: dict[str, Host] = {}
        self.log: list[tuple[float, str, Directive]] = []
        self.messages = 0  # delivered
        self._by_address: dict[str, Host] = {}
        self._queue: list[tuple[float, int, Host, _Data | None]] = []
        self._count = 0
        self._epoch = 0
        self._cuts: set[tuple[str, str]] = set()  # addresses: from, to

    def start(self, name: str, seeds: Sequence[str] = (), *, address: str = "") -> Host:
        """Start a node, or its next life; ``seeds``: names of hosts to join."""
        address = address or f"tcp://{name}:7400"
        host = self.hosts.get(name)
        if host is None or host.address != address:
            host = self.hosts[name] = self._by_address[address] = Host(name, address)
        self._epoch += 1
        identity = Identity(name, address, self._epoch)
        host.node = Swim(identity, self.timing, Random(self.random.getrandbits(64)), self.now)
        host.frozen, host.inbox = False, []
        if seeds:
            self._carry_out(host, host.node.join(self.now, [self._address(seed) for seed in seeds]))
        self._schedule(host)
        return host

    def grown(self, size: int) -> list[Host]:
        """Start a group whose nodes all know each other, as after an hour of quiet."""
        hosts = [self.start(f"host-{number}") for number in range(size)]
        everybody = [claim_of(host.node.members[host.name]) for host in hosts if host.node is not None]
        for host in hosts:
            assert host.node is not None
            host.node.receive(self.now, hosts[0].address, Sync(False, everybody))
        return hosts

    def kill(self, name: str) -> None:
        """The machine is gone without a word, as by a power cut; what is on its way to it is lost."""
        host = self.hosts[name]
        host.node, host.wake_at = None, math.inf

    def crash(self, name: str) -> None:
        """The process is gone (kill -9): its kernel closes its connections, and the others' transports say so."""
        self.kill(name)
        for other in self.hosts.values():
            if other.node is not None and not other.frozen:
                self.do(other.name, lambda node, now: node.hint_lost(now, name))

    def freeze(self, name: str) -> None:
        """SIGSTOP, a debugger, a suspended machine."""
        self.hosts[name].frozen = True

    def thaw(self, name: str) -> None:
        host = self.hosts[name]
        host.frozen = False
        inbox, host.inbox = host.inbox, []
        for data in inbox:
            self._deliver(host, data)
        self._schedule(host)

    def leave(self, name: str) -> None:
        host = self.hosts[name]
        assert host.node is not None
        self._carry_out(host, host.node.leave(self.now))
        self._schedule(host)

    def do(self, name: str, act: Callable[[Swim, float], list[Directive] | None]) -> None:
        """Let a node do something else now."""
        host = self.hosts[name]
        assert host.node is not None
        self._carry_out(host, act(host.node, self.now) or [])
        self._schedule(host)

    def inject(self, sender: str, receiver: str, data: bytes) -> None:
        """A message from anywhere, in the name of ``sender`` (an address)."""
        self._push(self.now, self.hosts[receiver], (sender, data))

    def cut(self, ones: Iterable[str], others: Iterable[str], *, both_ways: bool = True) -> None:
        """Lose everything from ``ones`` to ``others``, and the other way round."""
        there = [self._address(name) for name in others]
        for one in map(self._address, ones):
            self._cuts.update((one, other) for other in there)
            if both_ways:
                self._cuts.update((other, one) for other in there)

    def heal(self) -> None:
        self._cuts.clear()

    def run(self, seconds: float, until: Callable[[], bool] | None = None, every_s: float = 0.1) -> bool:
        """Let time pass; stop when ``until`` holds, which is looked at now and then. False if it never did."""
        end = self.now + seconds
        step = math.inf if until is None else every_s
        while self.now < end:
            self._run_to(min(end, self.now + step))
            if until is not None and until():
                return True
        return until is None

    def agree(self) -> bool:
        """Do all nodes that run hold just each other for alive?"""
        return self.errors() == 0

    def errors(self) -> int:
        """How often a node holds another wrongly for alive or dead."""
        running = [host.node for host in self.hosts.values() if host.node is not None]
        names = {node.me.name for node in running}
        return sum(len(names ^ seen_alive(node)) for node in running)

    def told(self, kind: type[Directive], name: str, after: float = 0.0) -> list[tuple[float, str]]:
        """Return (moment, host) of the directives of a kind about the member ``name``."""
        return [
            (moment, host)
            for moment, host, directive in self.log
            if moment >= after and isinstance(directive, kind) and getattr(directive, "name", "") == name
        ]

    def _address(self, name: str) -> str:
        host = self.hosts.get(name)
        return f"tcp://{name}:7400" if host is None else host.address

    def _run_to(self, end: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= end:
            moment, _, host, data = heapq.heappop(queue)
            if data is None and moment != host.wake_at:
                continue  # an earlier wake took its place
            self.now = moment
            node = host.node
            if node is None:
                continue
            if host.frozen:
                if data is None:
                    host.wake_at = math.inf
                else:
                    host.inbox.append(data)
                continue
            if data is None:
                host.wake_at = math.inf
                self._carry_out(host, node.tick(moment))
            else:
                self._deliver(host, data)
            wake_at = node.wake_at()
            if wake_at < host.wake_at:
                host.wake_at = wake_at = max(wake_at, moment)
                self._push(wake_at, host, None)
        self.now = end

    def _deliver(self, host: Host, data: _Data) -> None:
        sender, encoded = data
        message = decode(encoded)
        self.messages += 1
        if message is not None and host.node is not None:
            self._carry_out(host, host.node.receive(self.now, sender, message))

    def _carry_out(self, host: Host, directives: list[Directive]) -> None:
        for directive in directives:
            if not isinstance(directive, Send):
                self.log.append((self.now, host.name, directive))
                continue
            data = encode(directive.message)
            host.sent += 1
            host.bytes_sent += len(data)
            receiver = self._by_address.get(directive.address)
            random = self.random.random
            if receiver is None or (self.loss and random() < self.loss):
                continue
            if self._cuts and (host.address, receiver.address) in self._cuts:
                continue
            shortest, longest = self.delay_s
            self._push(self.now + shortest + (longest - shortest) * random(), receiver, (host.address, data))
            if self.doubled and random() < self.doubled:
                self._push(self.now + 50 * longest * random(), receiver, (host.address, data))

    def _schedule(self, host: Host) -> None:
        if host.node is not None and not host.frozen:
            wake_at = max(host.node.wake_at(), self.now)
            if wake_at < host.wake_at:
                host.wake_at = wake_at
                self._push(wake_at, host, None)

    def _push(self, moment: float, host: Host, data: _Data | None) -> None:
        self._count += 1
        heapq.heappush(self._queue, (moment, self._count, host, data))


def seen_alive(node: Swim) -> set[str]:
    """The names that a node holds for alive or suspect, its own included."""
    return {member.name for member in node.members.values() if member.is_here}
