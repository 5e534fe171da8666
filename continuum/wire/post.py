"""The post office of a process: batches, acknowledges, sends again, drops doubles.

Between two incarnations of processes every reliable message arrives once as long as both live, whatever the
transport loses, doubles or reorders (order is not kept). A message to an incarnation that has died is returned by
:meth:`Post.forget`; it is never delivered to the next incarnation of that name.

The protocol is that of every datagram protocol since the Arpanet's: numbered parcels, acknowledgements on
parcels that go the other way or alone after a moment, retransmission. It is pure: the shell carries the bytes and
calls ``flush``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from continuum.errors import WireError
from continuum.ports.clock import Clock
from continuum.ports.transport import Transport
from continuum.wire.messages import RELIABLE, VERSION, Message, Parcel, decode_parcel, encode_parcel

PARCEL_MESSAGES_MAX = 200
PARCEL_BYTES_MAX = 1 << 20
RESEND_S = 0.5
RESEND_MAX_S = 4.0
ACK_DELAY_S = 0.05
UNACKED_MAX = 10_000  # parcels to one peer: beyond it the peer is not reading, and new ones wait
UNACKED_BYTES_MAX = 64 << 20  # likewise


class Peer(NamedTuple):
    name: str
    incarnation: str


class _Sent:
    __slots__ = ("data", "delay_s", "messages", "resend_at")

    def __init__(self, data: bytes, messages: list[Message], resend_at: float) -> None:
        self.data, self.messages, self.resend_at, self.delay_s = data, messages, resend_at, RESEND_S


class _Line:
    """The state towards one incarnation."""

    __slots__ = (
        "ack_at",
        "acks",
        "beyond",
        "next_number",
        "outbox",
        "resend_at",
        "seen_to",
        "unacked",
        "unacked_bytes",
    )

    def __init__(self) -> None:
        self.outbox: list[Message] = []
        self.unacked: dict[int, _Sent] = {}
        self.unacked_bytes = 0
        self.next_number = 1
        self.resend_at = float("inf")  # no later than the first of `unacked`
        self.seen_to = 0  # every number up to this was received
        self.beyond: set[int] = set()  # and these larger ones
        self.acks: list[int] = []
        self.ack_at = 0.0

    @property
    def is_full(self) -> bool:
        return len(self.unacked) >= UNACKED_MAX or self.unacked_bytes >= UNACKED_BYTES_MAX

    def acked(self, number: int) -> None:
        """The peer has this parcel."""
        sent = self.unacked.pop(number, None)
        if sent is not None:
            self.unacked_bytes -= len(sent.data)

    def is_double(self, number: int) -> bool:
        """Note a received number; True if it was received before."""
        if number == self.seen_to + 1 and not self.beyond:  # as nearly all are
            self.seen_to = number
            return False
        if number <= self.seen_to or number in self.beyond:
            return True
        self.beyond.add(number)
        while self.seen_to + 1 in self.beyond:
            self.seen_to += 1
            self.beyond.remove(self.seen_to)
        return False


class Post:
    """``dropped`` counts parcels that were not ours to read: damaged, of another version, or for a dead incarnation."""

    def __init__(self, name: str, incarnation: str, clock: Clock, transport: Transport) -> None:
        self.name, self.incarnation = name, incarnation
        self._clock, self._transport = clock, transport
        self._lines: dict[Peer, _Line] = {}
        self._dead: set[Peer] = set()
        self._hints: dict[str, list[Message]] = {}
        self._dirty: dict[Peer, _Line] = {}
        self.dropped = 0

    def send(self, to: Peer, message: Message) -> None:
        """Queue ``message`` for that incarnation; it leaves with the next ``flush``."""
        self.send_all(to, (message,))

    def send_all(self, to: Peer, messages: Iterable[Message]) -> None:
        """Queue ``messages`` for that incarnation; they leave with the next ``flush``."""
        if to in self._dead:
            return
        line = self._line(to)
        line.outbox += messages
        self._dirty[to] = line

    def hint(self, to: str, message: Message) -> None:
        """Queue a message for whoever has that name now; it may be lost."""
        assert type(message) not in RELIABLE, "work goes to an incarnation, not to a name"
        self._hints.setdefault(to, []).append(message)

    def open(self, data: bytes) -> tuple[Peer, list[Message]] | None:
        """Return the sender and the messages of a datagram; None if there is nothing in it to deliver."""
        try:
            parcel = decode_parcel(data)
        except WireError:
            self.dropped += 1
            return None
        peer = Peer(parcel.sender, parcel.incarnation)
        if (parcel.to and parcel.to != self.incarnation) or peer in self._dead:
            self.dropped += 1
            return None
        if parcel.number or parcel.acks:
            line = self._line(peer)
            for number in parcel.acks:
                line.acked(number)
            if parcel.number:
                if not line.acks:
                    line.ack_at = self._clock.monotonic() + ACK_DELAY_S
                line.acks.append(parcel.number)
                self._dirty[peer] = line
                if line.is_double(parcel.number):
                    return None
        return (peer, parcel.messages) if parcel.messages else None

    def flush(self) -> None:
        """Send what is queued, what must be sent again, and acknowledgements that found no parcel to ride on."""
        now = self._clock.monotonic()
        for name, messages in self._hints.items():
            for part in _parts(messages):
                self._hint_part(name, part)
        self._hints.clear()
        waiting: dict[Peer, _Line] = {}
        for peer, line in self._dirty.items():
            if line.outbox and not line.is_full:
                outbox, line.outbox = line.outbox, []
                for part in _parts(outbox):
                    if line.is_full:
                        line.outbox += part
                    else:
                        self._send_part(peer, line, part, now)
            if line.acks and now >= line.ack_at:
                self._send_part(peer, line, [], now)
            if now >= line.resend_at:
                self._resend(peer, line, now)
            if line.unacked or line.acks or line.outbox:
                waiting[peer] = line
        self._dirty = waiting

    def wake_at(self) -> float:
        """When ``flush`` has something to do that only time brings."""
        moment = float("inf")
        for line in self._dirty.values():
            if line.unacked:
                moment = min(moment, line.resend_at)
            if line.acks:
                moment = min(moment, line.ack_at)
        return moment

    def forget(self, peer: Peer) -> list[Message]:
        """The incarnation is dead: return the reliable messages that it may not have received."""
        self._dead.add(peer)
        self._dirty.pop(peer, None)
        line = self._lines.pop(peer, None)
        if line is None:
            return []
        unsure = [m for sent in line.unacked.values() for m in sent.messages] + line.outbox
        return [message for message in unsure if type(message) in RELIABLE]

    def _line(self, peer: Peer) -> _Line:
        line = self._lines.get(peer)
        if line is None:
            line = self._lines[peer] = _Line()
        return line

    def _resend(self, peer: Peer, line: _Line, now: float) -> None:
        line.resend_at = float("inf")
        for sent in line.unacked.values():
            if now >= sent.resend_at:
                self._transport.send(peer.name, sent.data)
                sent.delay_s = min(2 * sent.delay_s, RESEND_MAX_S)
                sent.resend_at = now + sent.delay_s
            line.resend_at = min(line.resend_at, sent.resend_at)

    def _hint_part(self, name: str, part: list[Message], *, weighed: bool = False) -> None:
        data = encode_parcel(Parcel(VERSION, self.name, self.incarnation, "", 0, [], part))
        if len(data) > PARCEL_BYTES_MAX and not weighed:
            for piece in _weighed(part):
                self._hint_part(name, piece, weighed=True)
        else:
            self._transport.send(name, data)

    def _send_part(
        self, peer: Peer, line: _Line, part: list[Message], now: float, *, weighed: bool = False
    ) -> None:
        number = 0 if RELIABLE.isdisjoint(map(type, part)) else line.next_number
        data = self._parcel(peer, line, number, part)
        if len(data) > PARCEL_BYTES_MAX and not weighed:
            for piece in _weighed(part):
                if line.is_full:
                    line.outbox += piece
                else:
                    self._send_part(peer, line, piece, now, weighed=True)
            return
        if number:
            line.next_number += 1
            line.unacked[number] = _Sent(data, part, now + RESEND_S)
            line.unacked_bytes += len(data)
            line.resend_at = min(line.resend_at, now + RESEND_S)
        line.acks = []
        self._transport.send(peer.name, data)

    def _parcel(self, peer: Peer, line: _Line, number: int, part: list[Message]) -> bytes:
        return encode_parcel(
            Parcel(VERSION, self.name, self.incarnation, peer.incarnation, number, line.acks, part)
        )


def _parts(messages: list[Message]) -> Iterable[list[Message]]:
    """Cut into parcels of a bounded number."""
    if len(messages) <= PARCEL_MESSAGES_MAX:
        return (messages,)
    return [
        messages[start : start + PARCEL_MESSAGES_MAX]
        for start in range(0, len(messages), PARCEL_MESSAGES_MAX)
    ]


def _weighed(messages: list[Message]) -> Iterable[list[Message]]:
    """Cut what makes too large a parcel into parcels of bounded size; a message that is larger goes alone. That one is
    too large is found out when it is made, because nearly all are small, and weighing costs as much as sending."""
    part: list[Message] = []
    size = 0
    for message in messages:
        weight = len(getattr(message, "args", b"")) + len(getattr(message, "payload", b""))
        if part and size + weight > PARCEL_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(message)
        size += weight
    if part:
        yield part
