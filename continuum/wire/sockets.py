"""Datagrams between the processes of a node over ZeroMQ ipc sockets, and the poll that waits for them.

    PULL bound at <run dir>/<own name>      what the others send
    PUSH per peer                           what we send: never blocks, and queues no more than so much
    Express beside both                     what is small and would wake threads of ZeroMQ for itself alone

A PUSH socket queues while its peer starts, which saves the first hints and the time until they are repeated. It
does not outlive the peer: `disconnect` drops the queue when the supervisor says that the process is dead, and
what was queued a moment too long is addressed to the dead incarnation, which the next one does not read.

Awaiting every message costs several times what draining a batch after one poll does, so there is no event loop
here: `wait`, then `drain`, which reads where the poll has found something. To find out that nothing is there costs as
much as a parcel. Neither order nor delivery is promised to anybody.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import zmq

from continuum.errors import NodeError
from continuum.wire.express import Express

QUEUE_PARCELS_MAX = 1000  # per peer and direction; beyond it parcels are dropped, and sent again by the post
RECONNECT_MS = 20  # while a peer starts
PARCEL_BYTES_MAX = 512 * 2**20  # a parcel of the most messages with the largest payloads is smaller
DRAIN_PARCELS_MAX = 256  # at once, so that the role's tick and the liveness ping get their turn
SOCKET_PATH_BYTES_MAX = 103  # sun_path has 104 on macOS, 108 on Linux, with the final NUL
_WAIT_S_MAX = 3600.0
_LINGER_MS = 200  # at a graceful end: what was sent a moment ago still leaves


class ZmqTransport:
    """The ``Transport`` of one process, for one thread. ``run_dir`` is a folder that only its user may enter.

    Raises:
        NodeError: the socket cannot be bound.
    """

    def __init__(self, run_dir: Path, name: str) -> None:
        self._run_dir = run_dir
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._ready: Collection[object] = ()  # what `wait` has found, until `drain`
        self._behind = False  # it did not have to wait: more than one parcel may be there
        self._peers: dict[str, zmq.Socket[bytes]] = {}
        self._gone: set[str] = set()
        self._pull: zmq.Socket[bytes] = self._context.socket(zmq.PULL)
        self._pull.setsockopt(zmq.RCVHWM, QUEUE_PARCELS_MAX)
        self._pull.setsockopt(zmq.MAXMSGSIZE, PARCEL_BYTES_MAX)
        try:
            self._pull.bind(self._address(name))
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise _cannot_open(run_dir / name, error.strerror) from error
        try:
            self._express = Express(run_dir, name)
        except OSError as error:
            self._context.destroy(linger=0)
            raise _cannot_open(run_dir / name, error.strerror) from error
        self._poller.register(self._pull, zmq.POLLIN)
        self._express_fd = self._express.fileno()
        self._poller.register(self._express_fd, zmq.POLLIN)

    def connect(self, to: str) -> None:
        """Open the way to this process, which need not be there yet; again: no effect.

        ``send`` does it too, unless the process was disconnected.
        """
        self._gone.discard(to)
        if to not in self._peers:
            push: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
            push.setsockopt(zmq.SNDHWM, QUEUE_PARCELS_MAX)
            push.setsockopt(zmq.LINGER, 0)
            push.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
            push.connect(self._address(to))
            self._peers[to] = push

    def disconnect(self, to: str) -> None:
        """Drop what waits for this process, which is dead; whoever takes its name gets none of it.

        What is sent to the name before the next ``connect`` is dropped.
        """
        self._gone.add(to)
        push = self._peers.pop(to, None)
        if push is not None:
            push.close(linger=0)

    def send(self, to: str, data: bytes) -> bool:
        """Send one datagram; False if the process is dead, or the queue for it full."""
        push = self._peers.get(to)
        if push is None:
            if to in self._gone:
                return False
            self.connect(to)
            push = self._peers[to]
        if self._express.send(to, data):
            return True
        try:
            push.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def drain(self) -> list[bytes]:
        """Return what had arrived when `wait` returned, at most `DRAIN_PARCELS_MAX`; the rest stays readable."""
        parcels: list[bytes] = []
        if self._express_fd in self._ready:
            parcels += self._express.drain(DRAIN_PARCELS_MAX if self._behind else 1)
        if self._pull in self._ready:
            receive = self._pull.recv
            with suppress(zmq.Again):
                while len(parcels) < DRAIN_PARCELS_MAX:
                    parcels.append(receive(zmq.NOBLOCK))
        self._ready = ()
        return parcels

    def watch(self, descriptor: int, *, writing: bool = False) -> None:
        """Let ``wait`` return when this descriptor can be read; ``writing``: or written."""
        self._poller.register(descriptor, zmq.POLLIN | zmq.POLLOUT if writing else zmq.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Take a descriptor back, before it is closed."""
        self._poller.unregister(descriptor)

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """For further sockets of this process, which `attach` lets ``wait`` wait for."""
        return self._context

    def attach(self, socket: zmq.Socket[bytes]) -> None:
        """Let ``wait`` return when this socket of the `context` can be read."""
        self._poller.register(socket, zmq.POLLIN)

    def detach(self, socket: zmq.Socket[bytes]) -> None:
        """Take a socket back, before it is closed."""
        self._poller.unregister(socket)

    def wait(self, timeout_s: float) -> Collection[object]:
        """Wait until parcels arrive, a watched descriptor is ready, or the time is over; return what is ready: the
        descriptors, and what stands for our own sockets.

        A descriptor whose other end is gone counts as readable.
        """
        timeout_ms = math.ceil(min(max(timeout_s, 0.0), _WAIT_S_MAX) * 1000)
        poll = self._poller.poll
        waiting = poll(0)
        self._behind = bool(waiting)
        self._ready = [ready for ready, _ in waiting or poll(timeout_ms)]
        return self._ready

    def close(self) -> None:
        """Give what was sent a moment to leave, then close."""
        self._express.close()
        self._context.destroy(linger=_LINGER_MS)

    def _address(self, name: str) -> str:
        path = self._run_dir / name
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX, f"{path} is too long for a socket"
        return f"ipc://{path}"


def _cannot_open(path: Path, reason: str | None) -> NodeError:
    return NodeError(f"cannot open the socket {path}: {reason}; check the permissions of its folder")
