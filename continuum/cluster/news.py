"""What this node's roles are told of the other nodes: who can be reached, who is suspected, who died.

Roles know nodes by their boots, one life of a node each, because owners are named after them. The membership knows
epochs: a group process that was killed and started again is a later life there, and the same boot. So a death is
passed on only when the boot is over: by the group's verdict, or because a member says another boot.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from continuum.cluster.load import boot_of, load_of
from continuum.cluster.messages import Status
from continuum.cluster.state import Member
from continuum.wire.messages import Members, NodeDied, NodeSuspected
from continuum.wire.post import Post

DISPATCHER = "dispatcher"
ANNOUNCE_S = 2.0
DEAD_MAX = 1000  # deaths that a dispatcher which starts is told of

log = logging.getLogger("continuum")


class News:
    """``members``: the live view of the membership; ``me``: this node's name in it. ``processes``: the live ones of
    this node."""

    def __init__(
        self, me: str, members: Mapping[str, Member], post: Post, processes: Mapping[str, str]
    ) -> None:
        self._me, self._members, self._post, self._processes = me, members, post, processes
        self._boots: dict[str, str] = {}  # of those that are here
        self._dead: dict[tuple[str, str], None] = {}
        self._announce_at = 0.0

    def address_of(self, node: str, boot: str) -> str | None:
        """Return where this life of another node is reached; None if it is not known to live."""
        member = self._members.get(node)
        if member is None or member.status is not Status.ALIVE or self._boots.get(node) != boot:
            return None
        return member.address

    def name_at(self, address: str) -> str | None:
        """Return the member that is reached at this address."""
        here = (
            member.name for member in self._members.values() if member.address == address and member.is_here
        )
        return next(here, None)

    def seen(self, member: Member) -> None:
        """A member is here, or says something else than before."""
        boot = boot_of(member.entries)
        if member.name == self._me or not boot:
            return
        before = self._boots.get(member.name)
        if before is None:
            log.info("node %s is here, at %s", member.name, member.address)
        elif before != boot:
            log.info("node %s is here again, at %s", member.name, member.address)
            self._died(member.name, before)
        self._boots[member.name] = boot
        self._dead.pop((member.name, boot), None)
        self.changed()

    def suspected(self, name: str) -> None:
        boot = self._boots.get(name)
        if boot is not None:
            log.info("node %s does not answer", name)
            self._tell_dispatcher(NodeSuspected(name, boot))
        self.changed()

    def recovered(self, name: str) -> None:
        if name in self._boots:
            log.info("node %s answers again", name)
        self.changed()

    def died(self, name: str) -> None:
        """A life in the membership is over; the node's is, too, unless a later one is here already (`seen`)."""
        member = self._members.get(name)
        if member is None or not member.is_here:
            boot = self._boots.pop(name, None)
            if boot is not None:
                log.warning("node %s is given up: nobody of the group reaches it", name)
                self._died(name, boot)
        self.changed()

    def left(self, name: str) -> None:
        if self._boots.pop(name, None) is not None:
            log.info("node %s has left", name)
        self.changed()

    def process_up(self, name: str) -> None:
        """A process of this node has started: it knows nothing yet."""
        if name == DISPATCHER:
            for node, boot in self._dead:
                self._post.hint(DISPATCHER, NodeDied(node, boot))
        self.changed()

    def changed(self) -> None:
        """Tell the roles with the next `tick`."""
        self._announce_at = 0.0

    def tick(self, now: float) -> None:
        if now < self._announce_at:
            return
        self._announce_at = now + ANNOUNCE_S
        others = [m for name, m in self._members.items() if name != self._me and name in self._boots]
        told = Members(
            [
                (m.name, self._boots[m.name], load_of(m.entries).free)
                for m in others
                if m.status is Status.ALIVE
            ],
            [(m.name, self._boots[m.name]) for m in others if m.status is Status.SUSPECT],
        )
        for name in self._processes:
            self._post.hint(name, told)

    def wake_at(self) -> float:
        return self._announce_at

    def _died(self, name: str, boot: str) -> None:
        self._dead[name, boot] = None
        while len(self._dead) > DEAD_MAX:
            del self._dead[next(iter(self._dead))]
        self._tell_dispatcher(NodeDied(name, boot))

    def _tell_dispatcher(self, message: NodeSuspected | NodeDied) -> None:
        if DISPATCHER in self._processes:
            self._post.hint(DISPATCHER, message)
