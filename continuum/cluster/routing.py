"""What goes from a process of one node to a process of another: wakes, and results with their answers.

::

    role ── Route ──► group ══ Wakes ══► group ── Wake ──► the engine that the owner names
    dispatcher ── Forward ──► group ══ Results ══► group ── Finished ──► engine
               ◄── Settled, Disowned ──   ◄══ Answers ══   ◄── Settled, Disowned ──

One hop between hosts. An owner's text says which node, which life of it and which process; a message for another life
is not delivered to anybody. Nothing is sent again between hosts: a wake that is lost is found by a scan, a result
without an answer goes into the database (A8). Results are taken and sent only where both ends have proved to have
the key of the cluster: whoever else got to this socket can send hints at most (M4). Pure: no clock, no socket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from continuum.model.ids import Owner
from continuum.wire.hosts import RESULTS_BYTES_MAX, Answers, HostMessage, Results, Wakes
from continuum.wire.messages import Disowned, Finished, Forward, Key, Route, Settled, Wake
from continuum.wire.post import Peer, Post

RUNS_MAX = 10_000  # in one packet
KEYS_MAX = 10_000
OPEN_MAX = 100_000  # results on their way whose origin is remembered, here and there
V = TypeVar("V")


class Routing:
    """``send(address, message)`` carries a message to a host, False if it certainly will not arrive.
    ``address_of(node, boot)`` is where that life of a node is reached, None if it is not known to live."""

    def __init__(
        self,
        here: tuple[str, str, str],  # node, instance, boot
        post: Post,
        send: Callable[[str, HostMessage], bool],
        address_of: Callable[[str, str], str | None],
        *,
        secure: bool,
    ) -> None:
        self._here, self._post, self._send, self._address_of = here, post, send, address_of
        self._secure = secure
        self.processes: dict[str, str] = {}  # the live ones of this node
        self._wakes: dict[str, dict[str, dict[bytes, None]]] = {}  # address -> owner -> runs
        self._askers: _Bounded[Peer] = _Bounded(OPEN_MAX)  # who of this node waits for an answer
        self._origins: _Bounded[str] = _Bounded(OPEN_MAX)  # which host waits for an answer of this node
        self._settled: dict[str, list[Key]] = {}
        self._disowned: dict[str, list[Key]] = {}
        self.wakes_sent = self.wakes_taken = self.results_sent = self.results_taken = 0
        self.unroutable = 0

    # From the processes of this node

    def route(self, message: Route) -> None:
        """Queue wakes for other nodes until `flush`."""
        for owner, runs in message.wakes:
            address = self._address(owner)
            if address is None:
                self.unroutable += len(runs)
            else:
                self._wakes.setdefault(address, {}).setdefault(owner, {}).update(dict.fromkeys(runs))

    def forward(self, sender: Peer, message: Forward) -> None:
        """Send results to the owner's node; those that cannot go come back as ``Disowned`` at once."""
        address = self._address(message.owner) if self._secure else None
        returned: list[Key] = []
        for part in _parts(message.results):
            if address is None or not self._send(address, Results(message.owner, part)):
                returned += [result.key for result in part]
                continue
            self.results_sent += len(part)
            for result in part:
                self._askers.put(result.key, sender)
        if returned:
            self.unroutable += len(returned)
            self._post.send(sender, Disowned(returned))

    def settled(self, keys: Sequence[Key]) -> None:
        """An engine of this node has committed these results, or needs them no more."""
        self._answer(self._settled, keys)

    def disowned(self, keys: Sequence[Key]) -> None:
        """An engine of this node does not own these runs."""
        self._answer(self._disowned, keys)

    # From other hosts

    def take_wakes(self, message: Wakes) -> None:
        for owner, runs in message.wakes:
            peer = self._process(owner)
            if peer is not None:
                self.wakes_taken += len(runs)
                self._post.hint(peer.name, Wake(runs))

    def take_results(self, sender: str, message: Results) -> None:
        if not self._secure:
            return
        peer = self._process(message.owner)
        for result in message.results:
            self._origins.put(result.key, sender)
            if peer is not None:
                self.results_taken += 1
                self._post.send(peer, result)
        if peer is None:
            self.disowned([result.key for result in message.results])

    def take_answers(self, message: Answers) -> None:
        if self._secure:
            for peer, keys in self._by_asker(message.settled).items():
                self._post.send(peer, Settled(keys))
            for peer, keys in self._by_asker(message.disowned).items():
                self._post.send(peer, Disowned(keys))

    def flush(self) -> None:
        """Send what has gathered, few packets for each host."""
        wakes, self._wakes = self._wakes, {}
        for address, by_owner in wakes.items():
            for owner, runs in by_owner.items():
                for part in _slices(list(runs), RUNS_MAX):
                    self.wakes_sent += len(part)
                    self._send(address, Wakes([(owner, part)]))
        for address in list(dict.fromkeys([*self._settled, *self._disowned])):
            settled, disowned = self._settled.pop(address, []), self._disowned.pop(address, [])
            for keys in _slices(settled, KEYS_MAX):
                self._send(address, Answers(keys, []))
            for keys in _slices(disowned, KEYS_MAX):
                self._send(address, Answers([], keys))

    def _answer(self, by_address: dict[str, list[Key]], keys: Sequence[Key]) -> None:
        for key in keys:
            origin = self._origins.pop(key)
            if origin is not None:
                by_address.setdefault(origin, []).append(key)

    def _by_asker(self, keys: Sequence[Key]) -> dict[Peer, list[Key]]:
        found: dict[Peer, list[Key]] = {}
        for key in keys:
            asker = self._askers.pop(key)
            if asker is not None:
                found.setdefault(asker, []).append(key)
        return found

    def _address(self, owner: str) -> str | None:
        parsed = _parse(owner)
        if parsed is None or parsed.instance != self._here[1]:
            return None
        return self._address_of(parsed.node, parsed.boot)

    def _process(self, owner: str) -> Peer | None:
        """The live process of this node that is the owner."""
        parsed = _parse(owner)
        if parsed is None or (parsed.node, parsed.instance, parsed.boot) != self._here:
            return None
        alive = self.processes.get(parsed.engine) == parsed.incarnation
        return Peer(parsed.engine, parsed.incarnation) if alive else None


class _Bounded(Generic[V]):
    """The last so many keys that were put in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, V] = OrderedDict()

    def put(self, key: Key, value: V) -> None:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def pop(self, key: Key) -> V | None:
        return self._values.pop(key, None)


def _parse(owner: str) -> Owner | None:
    try:
        return Owner.parse(owner)
    except ValueError:
        return None


def _parts(results: Sequence[Finished]) -> list[list[Finished]]:
    """Cut into packets that a host takes; a result that is larger alone is sent alone, and comes back."""
    parts: list[list[Finished]] = []
    size = RESULTS_BYTES_MAX
    for result in results:
        size += len(result.payload) + len(result.details) + 64
        if size > RESULTS_BYTES_MAX:
            parts.append([])
            size = len(result.payload) + len(result.details) + 64
        parts[-1].append(result)
    return parts


T = TypeVar("T")


def _slices(items: list[T], most: int) -> list[list[T]]:
    return [items[start : start + most] for start in range(0, len(items), most)]
