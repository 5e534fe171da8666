"""Between the processes of a node: datagrams by name, which may be lost, doubled, late or out of order."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    def send(self, to: str, data: bytes) -> bool:
        """Send one datagram to the process of this name. Never blocks; False if it was dropped right away
        (nobody there, or its queue is full)."""
        ...
