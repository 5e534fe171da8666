"""Datagrams between hosts: one ROUTER that all others connect to, one DEALER for each host that we talk to.

::

    our DEALER to X  ──── CURVE over TCP ───►  X's ROUTER      everything that we tell X
    our ROUTER       ◄────────────────────     X's DEALER      everything that X tells us
    our ROUTER       ────────────────────►                     only the answer to one that is no node (`reply`)

What X tells us says nothing about the way to X, so the ways are two. Each queues little, drops what does not fit, and
is taken down by heartbeats when the other side is silent. A line that breaks is reported at once by `take_lost`: a host
that was killed is noticed in milliseconds. Lines that were not used for longest are closed beyond `LINES_MAX`.

With a key both sides prove to have it, and all is encrypted (:mod:`continuum.wire.curve`, ``admission``). Without one
there is no protection, which the caller allows on the loopback interface only.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import zmq
from zmq.utils import z85

from continuum.errors import NodeError
from continuum.ports.transport import Arrival
from continuum.wire.admission import DOMAIN, Admission
from continuum.wire.curve import ClusterKey
from continuum.wire.endpoint import SCHEME, Endpoint
from continuum.wire.hosts import PACKET_BYTES_MAX
from continuum.wire.monitor import LineEvent, Monitor

LINES_MAX = 400  # two sockets each, of the 1,023 that a context has
QUEUE_PACKETS_MAX = 256  # per line and direction
DRAIN_PACKETS_MAX = 256  # at once, so that the role's tick gets its turn
OPEN_BYTES_MAX = 2**20  # of a packet while nobody has to prove anything
HOLD_OFF_S = 5.0  # before a host that refused us is tried again
HELD_MAX = 1000
_HEARTBEAT_MS, _SILENCE_MS = 1_000, 3_000
_HANDSHAKE_MS, _CONNECT_MS = 3_000, 2_000
_RECONNECT_MS, _RECONNECT_MS_MAX = 100, 2_000
_LINGER_MS = 200  # at a graceful end: the word that we leave still leaves


class Poll(Protocol):
    """What waits for the sockets, such as :class:`continuum.wire.sockets.ZmqTransport`."""

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]: ...

    def attach(self, socket: zmq.Socket[bytes]) -> None: ...

    def detach(self, socket: zmq.Socket[bytes]) -> None: ...


class _Line:
    __slots__ = ("monitor", "socket", "up")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket, self.monitor, self.up = socket, Monitor(socket), False


class HostSockets:
    """For one thread. ``address`` is where it is bound, with the port that the system chose. ``dropped`` counts
    packets that found no room, ``refused`` handshakes that failed.

    Raises:
        NodeError: the address cannot be bound; nothing is open.
    """

    def __init__(
        self, poll: Poll, bind: Endpoint, key: ClusterKey | None, clock: Callable[[], float]
    ) -> None:
        self._poll, self._key, self._clock = poll, key, clock
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._lost: list[str] = []
        self._refusals: list[str] = []
        self._held_off: dict[str, float] = {}  # until when
        self.dropped = self.refused = 0
        self._admission: Admission | None = None
        self._router: zmq.Socket[bytes] = self._socket(zmq.ROUTER, bind)
        self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._protect()
            self._router.bind(
                f"{SCHEME}{bind.host}:{bind.port or '*'}" if ":" not in bind.host else _v6(bind)
            )
        except zmq.ZMQError as error:
            self._router.close(linger=0)
            if self._admission is not None:
                self._admission.close()
            raise NodeError(_why_not(bind, error)) from error
        bound = self._router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes), "an address"
        self.address = Endpoint(bind.host, int(bound.rstrip(b"\0").rpartition(b":")[2]))
        self._monitor = Monitor(self._router)
        poll.attach(self._router)
        poll.attach(self._monitor.socket)
        if self._admission is not None:
            poll.attach(self._admission.socket)

    @property
    def secure(self) -> bool:
        """True if whoever sends to us has the key of the cluster."""
        return self._key is not None

    def send(self, address: str, data: bytes) -> bool:
        """Send one packet to the host at this address, ``HOST:PORT``; never blocks. False if it was dropped: its line
        is full, or the host has lately refused us."""
        line = self._lines.get(address) or self._open(address)
        if line is None or len(data) > PACKET_BYTES_MAX:
            self.dropped += 1
            return False
        self._lines.move_to_end(address)
        try:
            line.socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            return False
        return True

    def reply(self, way: bytes, data: bytes) -> bool:
        """Answer by the connection that an arrival came by; False if it is gone."""
        try:
            self._router.send_multipart([way, data], zmq.NOBLOCK)
        except zmq.ZMQError:  # EHOSTUNREACH, as mandatory routing says it, or no room
            self.dropped += 1
            return False
        return True

    def is_up(self, address: str) -> bool:
        """True if there is a line to the host at this moment."""
        line = self._lines.get(address)
        return line is not None and line.up

    def drain(self) -> list[Arrival]:
        """Do what the sockets ask for, and return what has arrived, at most `DRAIN_PACKETS_MAX`."""
        self._attend()
        arrived: list[Arrival] = []
        receive = self._router.recv_multipart
        with suppress(zmq.Again):
            while len(arrived) < DRAIN_PACKETS_MAX:
                frames = receive(zmq.NOBLOCK)
                if len(frames) == 2:  # else it is no node's
                    arrived.append(Arrival(*frames))
        return arrived

    def take_lost(self) -> list[str]:
        """Return the addresses whose lines broke since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def take_refusals(self) -> list[str]:
        """Return where handshakes have failed since the last call: addresses that we called, "" for a caller."""
        refusals, self._refusals = self._refusals, []
        return refusals

    def close(self) -> None:
        """Give what was sent a moment to leave, then close."""
        for address in list(self._lines):
            self._close(address, _LINGER_MS)
        self._monitor.close()
        self._router.close(linger=_LINGER_MS)
        if self._admission is not None:
            self._admission.close()

    def _attend(self) -> None:
        if self._admission is not None:
            self._refusals += self._admission.answer()
        for event in self._monitor.drain():
            if event is LineEvent.REFUSED:
                self.refused += 1
                self._refusals.append("")
        for address, line in list(self._lines.items()):
            for event in line.monitor.drain():
                self._on_event(address, line, event)

    def _on_event(self, address: str, line: _Line, event: LineEvent) -> None:
        if self._lines.get(address) is not line:
            return
        match event:
            case LineEvent.UP:
                line.up = True
            case LineEvent.DOWN if line.up:
                line.up = False
                self._lost.append(address)
            case LineEvent.DOWN:
                pass  # it never was up: nobody is there, or a refusal follows
            case LineEvent.REFUSED:
                self.refused += 1
                self._refusals.append(address)
                self._close(address, 0)
                if len(self._held_off) >= HELD_MAX:
                    self._held_off.clear()
                self._held_off[address] = self._clock() + HOLD_OFF_S

    def _open(self, address: str) -> _Line | None:
        if self._held_off.get(address, 0.0) > self._clock():
            return None
        self._held_off.pop(address, None)
        while len(self._lines) >= LINES_MAX:
            self._close(next(iter(self._lines)), 0)
        host = address.rpartition(":")[0]
        try:
            line = _Line(self._socket(zmq.DEALER, Endpoint(host.strip("[]"), 0)))
        except zmq.ZMQError:  # no more descriptors
            return None
        try:
            if self._key is not None:
                line.socket.setsockopt(zmq.CURVE_SERVERKEY, self._key.public)
                self._give_keys(line.socket)
            line.socket.connect(SCHEME + address)
        except zmq.ZMQError:  # no address at all
            line.monitor.close()
            line.socket.close(linger=0)
            return None
        self._lines[address] = line
        self._poll.attach(line.monitor.socket)
        return line

    def _close(self, address: str, linger_ms: int) -> None:
        line = self._lines.pop(address)
        self._poll.detach(line.monitor.socket)
        line.monitor.close()
        line.socket.close(linger=linger_ms)

    def _socket(self, kind: int, endpoint: Endpoint) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._poll.context.socket(kind)
        options = (
            (zmq.SNDHWM, QUEUE_PACKETS_MAX),
            (zmq.RCVHWM, QUEUE_PACKETS_MAX),
            (zmq.MAXMSGSIZE, PACKET_BYTES_MAX if self._key is not None else OPEN_BYTES_MAX),
            (zmq.LINGER, _LINGER_MS),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS),
            (zmq.HEARTBEAT_TTL, _SILENCE_MS),
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
            (zmq.CONNECT_TIMEOUT, _CONNECT_MS),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX),
            (zmq.IPV6, int(":" in endpoint.host)),
        )
        for option, value in options:
            socket.setsockopt(option, value)
        return socket

    def _protect(self) -> None:
        if self._key is None:
            return
        self._admission = Admission(self._poll.context, z85.decode(self._key.public))
        self._router.setsockopt(zmq.CURVE_SERVER, 1)
        self._router.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        self._router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._give_keys(self._router)

    def _give_keys(self, socket: zmq.Socket[bytes]) -> None:
        assert self._key is not None
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._key.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._key.secret)


def _v6(bind: Endpoint) -> str:
    return f"{SCHEME}[{bind.host}]:{bind.port or '*'}"


def _why_not(bind: Endpoint, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        what = "its port is taken; stop what uses it, choose another port with --bind, or leave --bind away"
    elif error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL, errno.EINVAL):
        what = "this machine has no such address; choose one that it has with --bind"
    else:
        what = f"{error.strerror}; choose another address with --bind"
    return f"cannot listen on {SCHEME}{bind}: {what}"
