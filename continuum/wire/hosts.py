"""What the groups of two hosts say to each other: tagged, versioned, one packet a datagram.

Nothing here is the authority (M4): each packet may be lost, doubled, late or out of order, and a peer of another
version, instance or kind of message is counted and ignored.

``Gossip`` carries what :mod:`continuum.cluster` has encoded. Attempts are named as inside of a node.
"""

from __future__ import annotations

import msgspec

from continuum.errors import WireError
from continuum.wire.messages import Finished, Key

VERSION = 1
PACKET_BYTES_MAX = 8 * 2**20  # a larger one is not sent, and ends the connection it comes by
RESULTS_BYTES_MAX = 4 * 2**20  # of payloads in one packet; what is larger goes through the database


class Gossip(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """A message of the membership."""

    data: bytes


class Wakes(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """(owner, runs): tell these engines of yours that their runs have mail."""

    wakes: list[tuple[str, list[bytes]]]


class Results(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """For this engine of yours: how attempts ended that ran here. ``Answers`` comes back, or nothing."""

    owner: str
    results: list[Finished]


class Answers(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """``settled`` results are committed, or nobody wants them; ``disowned`` ones belong into the database (A8)."""

    settled: list[Key]
    disowned: list[Key]


class AskStatus(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    """From whoever has the key: what do you know? The answer comes by the same connection."""


class StatusAnswer(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A snapshot, as :mod:`continuum.cluster.status` encodes it."""

    data: bytes


HostMessage = Gossip | Wakes | Results | Answers | AskStatus | StatusAnswer


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """``realm``: the instance that both must belong to; "" for any, which suffices for `AskStatus`.
    ``sender``: the address at which the sender is reached, "" for one that is no node."""

    version: int
    realm: str
    sender: str
    body: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_packets = msgspec.msgpack.Decoder(Packet)
_messages = msgspec.msgpack.Decoder(HostMessage)


def encode_packet(realm: str, sender: str, message: HostMessage) -> bytes:
    return _encoder.encode(Packet(VERSION, realm, sender, msgspec.Raw(_encoder.encode(message))))


def decode_packet(data: bytes, realm: str | None) -> tuple[str, HostMessage]:
    """Return the sender and the message of a packet. ``realm`` None takes any.

    Raises:
        WireError: it is none, or of another version or realm, or of a kind that is not known here; it is to be
            counted and ignored.
    """
    try:
        packet = _packets.decode(data)
        if packet.version != VERSION:
            raise WireError(f"a packet of version {packet.version}; this node reads {VERSION}")
        message = _messages.decode(packet.body)
        open_to_all = realm is None or (packet.realm == "" and isinstance(message, AskStatus))
        if packet.realm != realm and not open_to_all:
            raise WireError(
                f"a packet of {packet.sender or 'nobody'} for another instance or database; correct its --join"
            )
        return packet.sender, message
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"not a packet of version {VERSION}: {error}") from error
