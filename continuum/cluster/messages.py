"""What the groups of two nodes say to each other: tagged structs in a versioned envelope.

All of it is hearsay (M4). A message that is damaged, of another version or of an unknown kind decodes to None: the
receiver counts it and goes on, so that a rolling upgrade may add kinds. The name of the instance, authentication
and encryption are the transport's.

    Ping ──► Ack                          direct probe
    PingRequest ──► (Ping ──► Ack) ──► Ack | Nack      indirect probe, through another member
    Gossip                                rumors that found no probe to ride on
    Sync ──► Sync                         full state, both ways (memberlist: push-pull)
    Pull ──► Answer                       the state of some members, because a rumor was too small for it
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec
from msgspec import Meta

VERSION = 1
NAME_CHARS_MAX = 200
ADDRESS_CHARS_MAX = 300
RUMORS_MAX = 200  # in one message
CLAIMS_MAX = 5000  # in one message of a sync
PULL_MAX = 100
ENTRIES_MAX = 1000  # of one member
ENTRIES_BYTES_MAX = 64 * 1024
COUNT_MAX = 1 << 62  # of an epoch, incarnation, sequence or number

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Address = Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Entries = Annotated[dict[Name, bytes], Meta(max_length=ENTRIES_MAX)]


class Status(IntEnum):
    """Of two claims about one incarnation the larger wins."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What somebody says of one member. The state of the group is the join of all claims, whatever their order.

    ``by`` accuses (suspect, dead). ``sequence`` 0 says nothing of the entries; with ``entries`` None they were too
    large for this message."""

    name: Name
    status: Status
    epoch: Count
    incarnation: Count
    by: Annotated[str, Meta(max_length=NAME_CHARS_MAX)] = ""
    address: Address = ""
    sequence: Count = 0
    entries: Entries | None = None


Rumors = Annotated[list[Claim], Meta(max_length=RUMORS_MAX)]


class Ping(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """Are you ``target``? I am ``source``, alive in this epoch and incarnation."""

    number: Count
    target: Name
    source: Name
    epoch: Count
    incarnation: Count
    rumors: Rumors


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="a", gc=False):
    """``name`` lives, in this epoch and incarnation; ``number`` is that of the Ping or PingRequest. It answers every
    older accusation, even where the rumor of the refutation was missed."""

    number: Count
    name: Name
    epoch: Count
    incarnation: Count
    rumors: Rumors


class PingRequest(msgspec.Struct, frozen=True, array_like=True, tag="r", gc=False):
    """Probe ``target`` for me, at the address where you know it (never at one that a message brings)."""

    number: Count
    target: Name
    rumors: Rumors


class Nack(msgspec.Struct, frozen=True, array_like=True, tag="n", gc=False):
    """I am here, but your target has not answered me (Lifeguard §3.1): so it is not you who is deaf."""

    number: Count


class Gossip(msgspec.Struct, frozen=True, array_like=True, tag="g", gc=False):
    rumors: Rumors


class Sync(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """All that I know, or a part of it; ``answer`` asks for all that you know."""

    answer: bool
    claims: Annotated[list[Claim], Meta(max_length=CLAIMS_MAX)]


class Pull(msgspec.Struct, frozen=True, array_like=True, tag="l", gc=False):
    """What do you know of these members?"""

    names: Annotated[list[Name], Meta(max_length=PULL_MAX)]


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="w", gc=False):
    """What I know of the members that you asked for, or a part of it."""

    claims: Annotated[list[Claim], Meta(max_length=CLAIMS_MAX)]


GossipMessage = Ping | Ack | PingRequest | Nack | Gossip | Sync | Pull | Answer


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, GossipMessage])


def encode(message: GossipMessage) -> bytes:
    return _encoder.encode((VERSION, message))


def encoded_bytes(claim: Claim) -> int:
    """What a claim adds to a message."""
    return len(_encoder.encode(claim))


def decode(data: bytes) -> GossipMessage | None:
    """Return the message in ``data``; None if this version cannot read it."""
    try:
        version, message = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return message if version == VERSION else None
