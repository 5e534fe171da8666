"""The control channel: whole messages, never blocking, and what each side makes of a broken peer."""

from __future__ import annotations

import socket
import struct

import pytest

from continuum.errors import WireError
from continuum.supervisor.control import (
    BUFFER_BYTES_MAX,
    ControlLink,
    ControlMessage,
    Fatal,
    PeerDown,
    PeerUp,
    Ping,
    Pong,
    Ready,
    Stop,
    control_pair,
)


def test_messages_arrive_whole_and_in_order_in_both_directions() -> None:
    link, channel = control_pair()
    sent: list[ControlMessage] = [Ping(1), PeerUp("a", "ab-1", 0), PeerDown("a", "ab-1", 1), Stop(2.5)]
    for message in sent:
        link.send(message)
    assert channel.receive() == sent
    channel.pong(1)
    channel.ready("bound")
    channel.fatal("no such module", 2)
    assert link.receive() == [Pong(1), Ready("bound"), Fatal("no such module", 2)]


def test_nothing_to_read_is_an_empty_list() -> None:
    _link, channel = control_pair()
    assert channel.receive() == []
    assert not channel.closed


def test_the_end_of_the_supervisor_closes_the_channel_after_its_last_message() -> None:
    link, channel = control_pair()
    link.send(Stop(1.0))
    link.close()
    assert channel.receive() == [Stop(1.0)]
    assert channel.closed
    channel.pong(1)


def test_a_peer_that_never_reads_counts_as_gone_and_blocks_nobody() -> None:
    link, _channel = control_pair()
    for number in range(BUFFER_BYTES_MAX):
        link.send(Ping(number))
        if link.closed:
            return
    pytest.fail("the buffer has no bound")


def test_what_the_socket_did_not_take_is_sent_by_a_later_flush() -> None:
    link, channel = control_pair()
    count = 0
    while not link.has_unsent:
        link.send(Ping(count))
        count += 1
    received = channel.receive()
    link.flush()
    received += channel.receive()
    assert received == [Ping(number) for number in range(count)]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(struct.pack(">I", 0), id="empty"),
        pytest.param(b"\xff" * 8, id="too-long"),
        pytest.param(struct.pack(">I", 2) + b"\x63\x80", id="version"),
        pytest.param(struct.pack(">I", 2) + b"\x01\xc1", id="not-msgpack"),
        pytest.param(struct.pack(">I", 2) + b"\x01\x80", id="no-message"),
    ],
)
def test_garbage_is_an_error_of_its_own(garbage: bytes) -> None:
    ours, theirs = socket.socketpair()
    link = ControlLink(ours)
    theirs.sendall(garbage)
    with pytest.raises(WireError):
        link.receive()


def test_a_reason_of_any_length_and_content_can_be_sent() -> None:
    link, channel = control_pair()
    channel.fatal("\udcff" + "é" * 100_000)
    (message,) = link.receive()
    assert isinstance(message, Fatal)
    assert message.reason.startswith("?é")
