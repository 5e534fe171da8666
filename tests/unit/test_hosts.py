"""What hosts say to each other on the wire, the addresses they write, and the key that they share."""

from __future__ import annotations

import msgspec
import pytest

from continuum.errors import ConfigurationError, WireError
from continuum.wire.curve import ClusterKey, generate_key
from continuum.wire.endpoint import DEFAULT_PORT, Endpoint, parse_endpoint
from continuum.wire.hosts import (
    VERSION,
    Answers,
    AskStatus,
    Gossip,
    HostMessage,
    Packet,
    Results,
    StatusAnswer,
    Wakes,
    decode_packet,
    encode_packet,
)
from continuum.wire.messages import Finished

MESSAGES: list[HostMessage] = [
    Gossip(b"g"),
    Wakes([("n/default/engine-1/b-1", [b"r" * 16])]),
    Results("n/default/engine-1/b-1", [Finished(b"r" * 16, 1, 2, True, b"payload")]),
    Answers([(b"r" * 16, 1, 2)], []),
    AskStatus(),
    StatusAnswer(b"s"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: HostMessage) -> None:
    assert decode_packet(encode_packet("r", "10.0.0.1:7433", message), "r") == ("10.0.0.1:7433", message)


def packet(version: int, realm: str, body: object) -> bytes:
    return msgspec.msgpack.encode(Packet(version, realm, "a:1", msgspec.Raw(msgspec.msgpack.encode(body))))


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a packet"),
        (b"\xc1", "not a packet"),
        (b"\x91" * 100_000, "not a packet"),
        (b"\xdd\xff\xff\xff\xff", "not a packet"),
        (packet(VERSION + 1, "r", ["g", b""]), f"of version {VERSION + 1}"),
        (packet(VERSION, "other", ["g", b""]), "of a:1 for another instance or database"),
        (packet(VERSION, "r", ["tide", 1, 2]), "not a packet"),
        (packet(VERSION, "r", ["k", "no list"]), "not a packet"),
    ],
)
def test_what_is_not_for_us_is_an_error_that_can_be_counted(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode_packet(data, "r")


def test_fields_that_a_newer_version_adds_are_skipped() -> None:
    body = msgspec.Raw(msgspec.msgpack.encode(["g", b"data", "new field"]))
    data = msgspec.msgpack.encode([VERSION, "r", "a:1", msgspec.msgpack.decode(body), "new"])
    assert decode_packet(data, "r") == ("a:1", Gossip(b"data"))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://10.0.0.1:7000", Endpoint("10.0.0.1", 7000)),
        ("10.0.0.1", Endpoint("10.0.0.1", DEFAULT_PORT)),
        ("nodes.example.net:1", Endpoint("nodes.example.net", 1)),
        ("tcp://*:7000", Endpoint("0.0.0.0", 7000)),
        ("127.0.0.2:*", Endpoint("127.0.0.2", 0)),
        ("[::1]:7000", Endpoint("::1", 7000)),
        ("fd00::7", Endpoint("fd00::7", DEFAULT_PORT)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", ":7000", "host:port", "host:70000", "http://host:1", "a b:1", "[::1]7"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no address; it looks like tcp://"):
        parse_endpoint(text)


def test_only_this_machine_reaches_a_loopback_address() -> None:
    assert [Endpoint(host, 1).is_loopback for host in ("127.0.0.9", "::1", "localhost")] == [True] * 3
    assert [Endpoint(host, 1).is_loopback for host in ("0.0.0.0", "10.0.0.1", "::", "name")] == [False] * 4


def test_one_key_gives_every_node_the_same_pair_and_others_another() -> None:
    text = generate_key()
    one, again, other = (ClusterKey.parse(each, "it") for each in (text, f" {text}\n", generate_key()))
    assert (one.public, one.secret, one.fingerprint) == (again.public, again.secret, again.fingerprint)
    assert one.public != other.public and one.secret != other.secret


def test_a_key_shows_itself_to_nobody() -> None:
    text = generate_key()
    key = ClusterKey.parse(text, "it")
    assert text not in repr(key) and key.secret.decode() not in repr(key)
    with pytest.raises(ConfigurationError) as refusal:
        ClusterKey.parse(text[:-3], "CONTINUUM_CLUSTER_KEY")
    assert text[:-3] not in str(refusal.value)
    assert "continuum cluster keygen" in str(refusal.value)


@pytest.mark.parametrize("text", ["", "secret", "continuum-key-", "continuum-key-" + "ä" * 43])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no cluster key"):
        ClusterKey.parse(text, "it")
