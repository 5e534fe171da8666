"""What a socket's monitor says, as values."""

from __future__ import annotations

import struct
from contextlib import suppress
from enum import Enum

import zmq

_EVENTS_MAX = 256  # in one go
_NUMBERS = struct.Struct("=hi")


class LineEvent(Enum):
    """``REFUSED``: the handshake failed: the other end has another key, none, or is no node."""

    UP = "up"
    DOWN = "down"
    REFUSED = "refused"


_KINDS = {
    int(zmq.Event.HANDSHAKE_SUCCEEDED): LineEvent.UP,
    int(zmq.Event.DISCONNECTED): LineEvent.DOWN,
    int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL): LineEvent.REFUSED,
    int(zmq.Event.HANDSHAKE_FAILED_PROTOCOL): LineEvent.REFUSED,
    int(zmq.Event.HANDSHAKE_FAILED_AUTH): LineEvent.REFUSED,
}
_MASK = sum(_KINDS)


class Monitor:
    """Watches one socket; ``socket`` can be read when ``drain`` has something."""

    def __init__(self, watched: zmq.Socket[bytes]) -> None:
        self._watched = watched
        self.socket: zmq.Socket[bytes] = watched.get_monitor_socket(_MASK)

    def drain(self) -> list[LineEvent]:
        """Return what happened since the last call, in order."""
        if not int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            return []  # cheaper than to try: there is a monitor for every host
        happened = []
        with suppress(zmq.Again):
            for _ in range(_EVENTS_MAX):
                head = self.socket.recv_multipart(zmq.NOBLOCK)[0]
                kind = _KINDS.get(_NUMBERS.unpack_from(head)[0] & 0xFFFF)
                if kind is not None:
                    happened.append(kind)
        return happened

    def close(self) -> None:
        """Stop watching, before the watched socket is closed."""
        self._watched.disable_monitor()
        self.socket.close(linger=0)
