"""The router: what the database notifies becomes wakes for the engines and looks for the dispatcher of this node.

::

    notice "mail" ──► Wake, if the owner is of this node; its own node hears the notice too
    notice "owner" ─► Look(owners)        RunsEnded from engines ──► announce_ended, one for all of a tick
    notice "ask" ───► Ask, if the owner is of this node         Look from engines ──► the scan, at once

What is due the dispatcher hears itself: a new run waits for that, and each process on its way takes its time.

Notices get lost with their connection. So every ``scan_s`` the mailboxes of this node's runs are looked at (B6), and
once more as soon as the connection is back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from continuum.ports.dispatch import Woken
from continuum.ports.mailbox import Mailbox, Notice
from continuum.runtime.neighbours import Neighbours
from continuum.runtime.outage import Outage
from continuum.runtime.role import Ports
from continuum.wire.messages import Look, Message, RunsEnded
from continuum.wire.post import Peer

SCAN_MAX = 5_000
DEAF_LOOK_S = 0.25  # between two looks where no notice arrives
ENDED_MAX = 1_000  # in one announcement
ENDED_KEPT_MAX = 100_000  # through an outage; waiting clients find the rest with their own scan (W2)


class Router:
    """A role (:class:`continuum.runtime.role.Role`) that listens to the database."""

    def __init__(self, ports: Ports, mailbox: Mailbox, scan_s: float = 10.0) -> None:
        self._clock, self._mailbox, self._scan_s = ports.clock, mailbox, scan_s
        self._neighbours = Neighbours(ports)
        self._outage = Outage(ports.name, ports.clock)
        self._look_runs = self._look_owners = False
        self._woken: dict[Woken, None] = {}
        self._ended: dict[UUID, None] = {}
        self._scan_at = ports.clock.monotonic()
        self._draining = False

    def begin(self) -> None:
        self.reconnected()

    def notice(self, notices: Sequence[Notice]) -> None:
        """Take what the database notified. A notice that does not say which run has mail stands for all."""
        for notice in notices:
            match notice.kind:
                case "owner":
                    self._look_owners = True
                case "ask" if notice.owner is not None:
                    self._neighbours.ask(notice.owner)
                case "mail" if notice.owner is None:
                    self._look_runs = True
                case "mail" if notice.run_id is not None:
                    self._woken[Woken(notice.run_id, notice.owner)] = None
                case "mail":
                    self._scan_at = self._clock.monotonic()
                case _:
                    pass  # not for routers, or of a newer version of the schema

    def reconnected(self) -> None:
        """The connection that listens is new: look for what was notified while there was none."""
        self._look_runs = self._look_owners = True
        self._scan_at = self._clock.monotonic()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, Look):
                self._scan_at = self._clock.monotonic()
            elif isinstance(message, RunsEnded):
                room = ENDED_KEPT_MAX - len(self._ended)
                self._ended.update((UUID(bytes=run), None) for run in message.runs[:room])

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.up(name, incarnation)

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.down(name, incarnation)

    def tick(self) -> None:
        if self._look_runs or self._look_owners:
            self._neighbours.look(runs=self._look_runs, owners=self._look_owners)
            self._look_runs = self._look_owners = False
        if self._woken:
            self._neighbours.wake(self._woken)  # those of other nodes are theirs to hear
            self._woken = {}
        if self._ended or self._scan_at <= self._clock.monotonic():
            self._outage.run(self._work)

    def wake_at(self) -> float:
        scan_at = math.inf if self._draining else self._scan_at
        return max(-math.inf if self._ended else scan_at, self._outage.until)

    def drain(self) -> None:
        self._draining = True

    @property
    def drained(self) -> bool:
        return self._draining and not self._ended

    def _work(self) -> None:
        while self._ended:
            batch = list(self._ended)[:ENDED_MAX]
            self._mailbox.announce_ended(batch)
            for run_id in batch:
                del self._ended[run_id]
        now = self._clock.monotonic()
        if now >= self._scan_at:
            owners = self._neighbours.owners("engine")
            if owners:
                self._neighbours.wake(self._mailbox.unread(owners, SCAN_MAX))
            self._scan_at = now + self._scan_s
