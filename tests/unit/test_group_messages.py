"""The codec of the group: what it reads, and that nothing it cannot read raises."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.messages import (
    COUNT_MAX,
    RUMORS_MAX,
    Ack,
    Answer,
    Claim,
    Gossip,
    GossipMessage,
    Nack,
    Ping,
    PingRequest,
    Pull,
    Status,
    Sync,
    decode,
    encode,
    encoded_bytes,
)

CLAIM = Claim("a", Status.SUSPECT, 3, 1, "b", "tcp://a:1", 5, {"load": b"\x01"})
MESSAGES: list[GossipMessage] = [
    Ping(1, "a", "b", 2, 3, [CLAIM]),
    Ack(1, "a", 2, 3, []),
    PingRequest(1, "a", [CLAIM]),
    Nack(1),
    Gossip([CLAIM, CLAIM]),
    Sync(True, [CLAIM]),
    Pull(["a", "b"]),
    Answer([CLAIM]),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: GossipMessage) -> None:
    assert decode(encode(message)) == message


@pytest.mark.rule("M4")
@given(st.binary(max_size=200))
def test_noise_is_no_message(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.rule("M4")
@given(st.sampled_from(MESSAGES), st.data())
def test_a_damaged_message_is_none_or_another_and_never_an_error(
    message: GossipMessage, data: st.DataObject
) -> None:
    encoded = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    decode(bytes(encoded))
    assert decode(bytes(encoded[: data.draw(st.integers(0, len(encoded) - 2))])) is None


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param([1, ["z", 1, 2]], id="a kind of a later version"),
        pytest.param([2, ["n", 1]], id="another version"),
        pytest.param([1, ["n", -1]], id="a negative number"),
        pytest.param([1, ["n", COUNT_MAX + 1]], id="a number beyond the limit"),
        pytest.param([1, ["g", [["a", 4, 1, 0]]]], id="a status of a later version"),
        pytest.param([1, ["g", [["", 0, 1, 0]]]], id="a member without a name"),
        pytest.param([1, ["g", [["a" * 201, 0, 1, 0]]]], id="a name beyond the limit"),
        pytest.param([1, ["g", [["a", 0, 1, 0]] * (RUMORS_MAX + 1)]], id="rumors beyond the limit"),
        pytest.param([1, ["s", True, "claims"]], id="another type"),
    ],
)
def test_what_breaks_the_limits_is_no_message(value: object) -> None:
    assert decode(msgspec.msgpack.encode(value)) is None


def test_a_message_may_have_fields_that_this_version_does_not_know() -> None:
    assert decode(msgspec.msgpack.encode([1, ["n", 7, "later"]])) == Nack(7)


def test_the_size_of_a_claim_is_what_it_adds_to_a_message() -> None:
    with_it, without = encode(Gossip([CLAIM])), encode(Gossip([]))
    assert len(with_it) - len(without) == encoded_bytes(CLAIM)
