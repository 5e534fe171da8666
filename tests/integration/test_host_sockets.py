"""Packets between hosts over real TCP: who is let in, what a stranger can do, and what the end of a host looks like."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from continuum.errors import NodeError
from continuum.ports.transport import Arrival
from continuum.wire.curve import ClusterKey, generate_key
from continuum.wire.endpoint import Endpoint, parse_endpoint
from continuum.wire.hosts import PACKET_BYTES_MAX
from continuum.wire.sockets import ZmqTransport
from continuum.wire.tcp import OPEN_BYTES_MAX, QUEUE_PACKETS_MAX, HostSockets

LIMIT_S = 20.0


def new_key() -> ClusterKey:
    return ClusterKey.parse(generate_key(), "the test")


class Host:
    """The sockets of one host; ``clock`` moves by hand."""

    def __init__(self, folder: Path, name: str, key: ClusterKey | None, bind: str = "127.0.0.1:*") -> None:
        self.now = 0.0
        self._poll = ZmqTransport(folder, name)
        try:
            self.sockets = HostSockets(self._poll, parse_endpoint(bind), key, lambda: self.now)
        except BaseException:
            self._poll.close()
            raise
        self.address = str(self.sockets.address)
        self.arrived: list[Arrival] = []
        self.lost: list[str] = []
        self.refusals: list[str] = []
        self.closed = False

    def turn(self) -> None:
        self._poll.wait(0.01)
        self.arrived += self.sockets.drain()
        self.lost += self.sockets.take_lost()
        self.refusals += self.sockets.take_refusals()

    @property
    def data(self) -> list[bytes]:
        return [arrival.data for arrival in self.arrived]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.sockets.close()
            self._poll.close()


MakeHost = Callable[..., Host]


@pytest.fixture
def host(open_folder: Path) -> Iterator[MakeHost]:
    with ExitStack() as stack:

        def make(key: ClusterKey | None, bind: str = "127.0.0.1:*") -> Host:
            made = Host(open_folder, f"h{time.monotonic_ns() % 10**9}", key, bind)
            stack.callback(made.close)
            return made

        yield make


def until(condition: Callable[[], object], *hosts: Host) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, [(h.data, h.lost, h.refusals) for h in hosts]
        for each in hosts:
            each.turn()


@pytest.mark.rule("M3")
def test_hosts_with_one_key_hear_each_other_and_can_answer(host: MakeHost) -> None:
    key = new_key()
    a, b = host(key), host(key)
    assert a.sockets.send(b.address, b"question")
    until(lambda: b.data == [b"question"], a, b)
    assert b.sockets.reply(b.arrived[0].way, b"by the same way")
    assert b.sockets.send(a.address, b"by a way of its own")
    until(lambda: a.data == [b"by a way of its own"], a, b)
    assert a.sockets.is_up(b.address) and a.sockets.secure


@pytest.mark.rule("M3")
@pytest.mark.parametrize("stranger_has", ["another key", "no key"])
def test_a_stranger_is_refused_in_both_directions_and_reads_nothing(
    host: MakeHost, stranger_has: str
) -> None:
    member, stranger = host(new_key()), host(new_key() if stranger_has == "another key" else None)
    stranger.sockets.send(member.address, b"let me in")
    member.sockets.send(stranger.address, b"a secret")
    until(
        lambda: member.address in stranger.refusals and stranger.address in member.refusals, member, stranger
    )
    until(lambda: "" in member.refusals, member, stranger)
    assert member.data == stranger.data == []


@pytest.mark.rule("M3")
def test_who_knows_the_public_key_of_the_cluster_but_not_its_secret_is_refused(host: MakeHost) -> None:
    key = new_key()
    member = host(key)
    context = zmq.Context()
    impostor: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    impostor.linger = 0
    impostor.curve_publickey, impostor.curve_secretkey = zmq.curve_keypair()
    impostor.curve_serverkey = key.public
    impostor.connect(f"tcp://{member.address}")
    impostor.send(b"let me in")
    until(lambda: [r for r in member.refusals if r], member)  # the allow-list names who was refused
    assert member.data == []
    context.destroy(linger=0)


def test_a_host_that_refused_is_left_alone_for_a_while(host: MakeHost) -> None:
    member, stranger = host(new_key()), host(new_key())
    stranger.sockets.send(member.address, b"x")
    until(lambda: stranger.refusals, member, stranger)
    assert not stranger.sockets.send(member.address, b"x")
    stranger.now += 5.1
    assert stranger.sockets.send(member.address, b"x")


@pytest.mark.rule("M3")
@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03", b"\x16\x03\x01"],
    ids=["http", "ones", "a greeting cut short", "tls"],
)
def test_garbage_on_the_port_changes_nothing(host: MakeHost, garbage: bytes) -> None:
    key = new_key()
    a, b = host(key), host(key)
    with socket.create_connection(("127.0.0.1", a.sockets.address.port)) as stranger:
        stranger.sendall(garbage)
        b.sockets.send(a.address, b"heard")
        until(lambda: a.data == [b"heard"], a, b)


@pytest.mark.parametrize("protected", [True, False])
def test_a_packet_beyond_the_limit_is_not_taken(host: MakeHost, protected: bool) -> None:
    key = new_key() if protected else None
    a, b = host(key), host(key)
    assert not a.sockets.send(b.address, b"x" * (PACKET_BYTES_MAX + 1))
    if not protected:
        a.sockets.send(b.address, b"x" * (OPEN_BYTES_MAX + 1))
        until(lambda: a.lost == [b.address], a, b)  # the connection that it came by is ended
    a.sockets.send(b.address, b"small")
    until(lambda: b"small" in b.data, a, b)
    assert b.data == [b"small"]


@pytest.mark.rule("M3")
def test_nothing_can_be_read_on_the_way(host: MakeHost) -> None:
    key = new_key()
    a, b = host(key), host(key)
    with Wiretap(b.sockets.address) as tap:
        a.sockets.send(tap.address, b"a very secret payload")
        until(lambda: b.data == [b"a very secret payload"], a, b)
        assert tap.bytes_seen > 200
        assert b"secret" not in tap.seen
    c, d = host(None), host(None)
    with Wiretap(d.sockets.address) as tap:
        c.sockets.send(tap.address, b"a very secret payload")
        until(lambda: d.data, c, d)
        assert b"a very secret payload" in tap.seen, "the tap works"


def test_the_end_of_a_host_is_reported_once_and_a_new_one_is_found(host: MakeHost) -> None:
    key = new_key()
    a, b = host(key), host(key)
    a.sockets.send(b.address, b"x")
    until(lambda: b.data and a.sockets.is_up(b.address), a, b)
    b.close()
    until(lambda: a.lost, a)
    assert a.lost == [b.address]
    again = host(key, bind=b.address)
    a.sockets.send(b.address, b"y")
    until(lambda: b"y" in again.data, a, again)


def test_nothing_queues_without_bound_for_a_host_that_is_not_there(host: MakeHost) -> None:
    a = host(None)
    answers = [a.sockets.send("127.0.0.1:1", b"x") for _ in range(QUEUE_PACKETS_MAX + 10)]
    assert answers == [True] * QUEUE_PACKETS_MAX + [False] * 10
    assert a.sockets.dropped == 10


def test_what_is_no_address_is_dropped(host: MakeHost) -> None:
    a = host(None)
    assert not a.sockets.send("nonsense", b"x")
    assert not a.sockets.reply(b"nobody", b"x")


def test_a_taken_port_is_one_line_that_says_what_to_do(host: MakeHost) -> None:
    a = host(None)
    with pytest.raises(NodeError, match=r"cannot listen on tcp://127.0.0.1:\d+: its port is taken; stop"):
        host(None, bind=a.address)
    with pytest.raises(NodeError, match="this machine has no such address"):
        host(None, bind="192.0.2.1:0")


class Wiretap:
    """Passes a connection on, and keeps what it carries towards the host."""

    def __init__(self, to: Endpoint) -> None:
        self._to = to
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.seen = b""
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def bytes_seen(self) -> int:
        return len(self.seen)

    def __enter__(self) -> Wiretap:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.close()
        self._server.close()

    def _accept(self) -> None:
        caller, _ = self._server.accept()
        host = socket.create_connection((self._to.host, self._to.port))
        self._ends = [caller, host]
        threading.Thread(target=self._pump, args=(host, caller, False), daemon=True).start()
        self._pump(caller, host, True)

    def _pump(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        try:
            while part := source.recv(65536):
                if keep:
                    self.seen += part
                target.sendall(part)
        except OSError:
            pass  # the test is over
