"""Datagrams, which may be lost, doubled, late or out of order: between processes of a node by name, between hosts by
address."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Transport(Protocol):
    def send(self, to: str, data: bytes) -> bool:
        """Send one datagram to the process of this name. Never blocks; False if it was dropped right away
        (nobody there, or its queue is full)."""
        ...


class Arrival(NamedTuple):
    """A datagram of another host. ``way`` leads back to who sent it, for `HostTransport.reply`."""

    way: bytes
    data: bytes


class HostTransport(Protocol):
    """Nothing here blocks."""

    @property
    def secure(self) -> bool:
        """True if whoever sends to us has the key of the cluster, and nobody else can read or change it."""
        ...

    def send(self, address: str, data: bytes) -> bool:
        """Send one datagram to the host at ``HOST:PORT``; False if it was dropped right away."""
        ...

    def reply(self, way: bytes, data: bytes) -> bool:
        """Answer by the connection that an arrival came by; False if it is gone."""
        ...

    def drain(self) -> list[Arrival]:
        """Return what has arrived, a bounded number."""
        ...

    def take_lost(self) -> list[str]:
        """Return the addresses to which connections broke since the last call."""
        ...

    def take_refusals(self) -> list[str]:
        """Return where handshakes have failed since the last call: addresses that we called, "" for a caller."""
        ...
