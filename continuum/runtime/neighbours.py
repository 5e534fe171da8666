"""The other processes of this node: who lives, by the supervisor's word, and how a wake gets to them; and, by the
word of the group, which other nodes can be reached.

From the text of an owner a role knows whether it belongs to this life of the node: then it is the process to send to.
If it belongs to a life of another node that is known to be reached, the group carries the wake there.
Everything sent here is a hint: the same fact stands in the database, where a scan finds it (B6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from continuum.model.ids import Owner
from continuum.ports.dispatch import Woken
from continuum.runtime.role import Ports
from continuum.wire.messages import Ask, Look, Members, Message, Route, Wake
from continuum.wire.post import Peer

DISPATCHER = "dispatcher"
GROUP = "group"
ROUTER = "router"
TIMER = "timer"


class Unreached(NamedTuple):
    """Woken runs that nobody was told of: those of other nodes that cannot be reached by message, and whether some have
    no owner at all."""

    foreign: list[Woken]
    unowned: bool


class Neighbours:
    """``alive``: the processes of this node, name -> incarnation."""

    def __init__(self, ports: Ports) -> None:
        self._post, self._node, self._instance = ports.post, ports.node, ports.instance
        self._boot = ports.incarnation.partition("-")[0]
        self._here = f"{ports.node}/{ports.instance}/"  # how owners of this node begin
        self.alive: dict[str, str] = {}
        self._nodes: dict[str, str] = {}  # those that can be reached: node -> boot
        self.free_elsewhere = 0  # how many more runs they take, all together

    def up(self, name: str, incarnation: str) -> None:
        self.alive[name] = incarnation

    def down(self, name: str, incarnation: str) -> None:
        """Note a death, so that nothing is sent to that incarnation, or read from it, any more."""
        self._post.forget(Peer(name, incarnation))
        if self.alive.get(name) == incarnation:
            del self.alive[name]
            if name == GROUP:
                self.members(Members([]))  # until the next one knows better, the database carries everything

    def members(self, message: Members) -> None:
        """Take the word of the group about the other nodes."""
        self._nodes = {node: boot for node, boot, _ in message.nodes}
        self.free_elsewhere = sum(free for _, _, free in message.nodes)

    def reaches(self, owner: str) -> bool:
        """True if the owner is on another node, and a message would get there."""
        parts = owner.split("/")
        return len(parts) == 4 and self._nodes.get(parts[0]) == parts[3].partition("-")[0]

    @property
    def reaches_any(self) -> bool:
        return bool(self._nodes)

    @property
    def group(self) -> Peer | None:
        """The living group process."""
        incarnation = self.alive.get(GROUP)
        return Peer(GROUP, incarnation) if incarnation is not None else None

    def engine_of(self, owner: str) -> Peer | None:
        """The living process of this node that is ``owner``."""
        peer = self.peer_of(owner)
        return peer if peer is not None and self.alive.get(peer.name) == peer.incarnation else None

    def names(self, role: str) -> list[str]:
        """Return the living processes of a role: those named ``role`` or ``role-<n>``."""
        return [name for name in self.alive if name.partition("-")[0] == role]

    def owner_of(self, name: str, incarnation: str) -> str:
        """Return the owner that a process of this node is."""
        return str(Owner(self._node, self._instance, name, incarnation))

    def owners(self, role: str) -> list[str]:
        return [self.owner_of(name, self.alive[name]) for name in self.names(role)]

    def peer_of(self, owner: str) -> Peer | None:
        """Return the process that is ``owner``; None if it is none of this life of this node."""
        if not owner.startswith(self._here):
            return None
        name, _, incarnation = owner[len(self._here) :].partition("/")
        here = incarnation.partition("-")[0] == self._boot and "/" not in incarnation
        return Peer(name, incarnation) if here else None

    def announce(self, role: str, message: Message) -> None:
        for name in self.names(role):
            self._post.hint(name, message)

    def look(self, *, runs: bool = True, tasks: bool = False, owners: bool = False) -> None:
        self._post.hint(DISPATCHER, Look(runs, tasks, owners))

    def ask(self, owner: str) -> None:
        """Ask the process that is ``owner``, if it is of this node, to renew its row. A dispatcher may have died and
        left its attempts to the workers, so they are asked for it, too."""
        peer = self.peer_of(owner)
        if peer is not None:
            self._post.hint(peer.name, Ask(owner))
            if peer.name == DISPATCHER:
                self.announce("worker", Ask(owner))

    def wake(self, woken: Iterable[Woken]) -> Unreached:
        """Tell the owners that are of this node, or of one that can be reached; return what is left to tell."""
        local: dict[str, list[bytes]] = {}
        far: dict[str, list[bytes]] = {}
        foreign: list[Woken] = []
        unowned = False
        for run in woken:
            if run.owner is None:
                unowned = True
            elif (peer := self.peer_of(run.owner)) is not None:
                local.setdefault(peer.name, []).append(run.run_id.bytes)
            elif self.reaches(run.owner):
                far.setdefault(run.owner, []).append(run.run_id.bytes)
            else:
                foreign.append(run)
        if far:
            self._post.hint(GROUP, Route(list(far.items())))
        for name, runs in local.items():
            self._post.hint(name, Wake(runs))
        return Unreached(foreign, unowned)
