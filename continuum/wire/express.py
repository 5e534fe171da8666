"""Small datagrams between the processes of a node, straight from one to the other.

ZeroMQ hands what is sent to a thread of the sender, that to a thread of the receiver, and that to the receiver: on an
idle machine three threads wake one after the other, 0.2 ms instead of 0.06. A step from another process passes four
such ways. So what is small goes by a Unix datagram socket, as long as the receiver keeps up: the system queues few
datagrams (ten on a usual Linux). Everything else, and whatever the system does not take, is ZeroMQ's (``sockets.py``).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

BYTES_MAX = 16 * 1024  # larger parcels are of a crowd, for which the way of one does not count
_SUFFIX = "~"


class Express:
    """A socket bound at ``<run dir>/<name>~``. For one thread."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._folder = str(run_dir)
        self._path = self._path_of(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            Path(self._path).unlink(missing_ok=True)  # of a process that had this name before
            self._socket.bind(self._path)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def send(self, to: str, data: bytes) -> bool:
        """Send one datagram; False if it is too large, nobody is there, or the queue of the receiver is full."""
        if len(data) > BYTES_MAX:
            return False
        try:
            self._socket.sendto(data, self._path_of(to))
        except OSError:
            return False
        return True

    def drain(self, limit: int) -> list[bytes]:
        """Return what has arrived, at most so many, without waiting."""
        receive, parcels = self._socket.recv, list[bytes]()
        try:
            while len(parcels) < limit:
                parcels.append(receive(BYTES_MAX))
        except BlockingIOError:
            pass
        return parcels

    def close(self) -> None:
        self._socket.close()
        with suppress(OSError):
            Path(self._path).unlink()

    def _path_of(self, name: str) -> str:
        return f"{self._folder}/{name}{_SUFFIX}"
