"""What the post promises on a wire that loses, doubles, delays and damages."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.errors import WireError
from continuum.wire.messages import (
    RELIABLE,
    VERSION,
    Execute,
    Finished,
    Look,
    Message,
    Parcel,
    Settled,
    Wake,
    decode_parcel,
    encode_parcel,
)
from continuum.wire.post import PARCEL_BYTES_MAX, PARCEL_MESSAGES_MAX, UNACKED_MAX, Peer, Post
from tests.unit.stage import Datagrams, HandClock

A, B = Peer("engine-1", "b-1"), Peer("worker-1", "b-2")


class Wire:
    """Two posts, and datagrams that arrive when, and as often as, a seeded fate says."""

    def __init__(self, seed: int = 0, loss: float = 0.0, double: float = 0.0, reorder: bool = False) -> None:
        self.clock, self.net = HandClock(), Datagrams()
        self.posts = {peer.name: Post(*peer, self.clock, self.net) for peer in (A, B)}
        self.got: dict[str, list[Message]] = {A.name: [], B.name: []}
        self._fate, self._loss, self._double, self._reorder = Random(seed), loss, double, reorder

    def round(self) -> None:
        for post in self.posts.values():
            post.flush()
        queue, self.net.queue = self.net.queue, []
        if self._reorder:
            self._fate.shuffle(queue)
        for to, data in queue:
            if self._fate.random() < self._loss:
                continue
            if self._fate.random() < self._double:
                self.net.queue.append((to, data))  # once more, in a later round
            opened = self.posts[to].open(data)
            if opened is not None:
                self.got[to] += opened[1]

    def run(self, seconds: float) -> None:
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.round()
            self.clock.now += 0.05


def result(n: int) -> Finished:
    return Finished(b"r", n, 1, True, b"")


def task(n: int) -> Execute:
    return Execute(b"r", n, 1, "a", b"")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.6),
    double=st.floats(0, 0.6),
    reorder=st.booleans(),
    counts=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 250)), min_size=1, max_size=5),
)
def test_every_reliable_message_arrives_once_whatever_the_wire_does(
    seed: int, loss: float, double: float, reorder: bool, counts: list[tuple[int, int]]
) -> None:
    wire = Wire(seed, loss, double, reorder)
    there: list[Message] = []
    back: list[Message] = []
    for down, up in counts:
        for _ in range(down):
            there.append(task(len(there)))
            wire.posts[A.name].send(B, there[-1])
        for _ in range(up):
            back.append(result(len(back)))
            wire.posts[B.name].send(A, back[-1])
        wire.round()
        wire.clock.now += 0.02
    wire.run(400)
    assert sorted(wire.got[B.name], key=repr) == sorted(there, key=repr)
    assert sorted(wire.got[A.name], key=repr) == sorted(back, key=repr)
    assert wire.posts[A.name].forget(B) == wire.posts[B.name].forget(A) == [], "and both know it"


def test_a_quiet_line_sends_nothing() -> None:
    wire = Wire()
    wire.posts[A.name].send(B, task(1))
    wire.run(5)
    for post in wire.posts.values():
        assert post.wake_at() == float("inf")
        post.flush()
    assert wire.net.queue == []


def test_a_hint_is_sent_once_and_by_name() -> None:
    wire = Wire()
    wire.posts[A.name].hint(B.name, Look())
    wire.run(5)
    assert wire.got[B.name] == [Look()]
    lossy = Wire(loss=1.0)
    lossy.posts[A.name].hint(B.name, Look())
    lossy.run(5)
    assert lossy.got[B.name] == []


def test_a_message_to_the_dead_does_not_reach_its_successor() -> None:
    wire = Wire(loss=1.0)
    wire.posts[A.name].send(B, task(1))
    wire.run(1)
    successor = wire.posts[B.name] = Post(B.name, "b-3", wire.clock, wire.net)
    wire._loss = 0.0
    wire.run(10)
    assert wire.got[B.name] == []
    assert successor.dropped > 0
    assert wire.posts[A.name].forget(B) == [task(1)]
    wire.net.queue.clear()
    wire.run(10)
    assert wire.net.queue == []


def test_forgetting_returns_the_work_that_may_not_have_arrived_and_no_hints() -> None:
    wire = Wire(loss=1.0)
    post = wire.posts[A.name]
    post.send(B, task(1))
    post.send(B, Wake([b"r"]))
    post.flush()
    post.send(B, task(2))
    post.send(B, Look())
    assert post.forget(B) == [task(1), task(2)]
    post.send(B, task(3))
    assert post.forget(B) == []


def test_an_echo_of_the_dead_is_not_delivered() -> None:
    wire = Wire()
    wire.posts[A.name].send(B, task(1))
    wire.posts[A.name].flush()
    ((_, data),) = wire.net.queue
    wire.posts[B.name].forget(A)
    assert wire.posts[B.name].open(data) is None
    assert wire.posts[B.name].dropped == 1


def test_parcels_to_a_peer_that_does_not_read_are_bounded_and_none_is_lost() -> None:
    wire = Wire(loss=1.0)
    post = wire.posts[A.name]
    for n in range(UNACKED_MAX + 5):
        post.send(B, task(n))
        post.flush()
    assert len(wire.net.queue) == UNACKED_MAX
    wire.net.queue.clear()
    wire._loss = 0.0
    wire.run(10)
    assert len(wire.got[B.name]) == UNACKED_MAX + 5


def test_a_batch_is_cut_into_parcels() -> None:
    wire = Wire()
    for n in range(2 * PARCEL_MESSAGES_MAX + 1):
        wire.posts[A.name].send(B, task(n))
    wire.posts[A.name].flush()
    sizes = [len(decode_parcel(data).messages) for _, data in wire.net.queue]
    assert sizes == [PARCEL_MESSAGES_MAX, PARCEL_MESSAGES_MAX, 1]


def test_large_messages_go_in_parcels_of_bounded_size_and_arrive_with_the_acknowledgements() -> None:
    wire = Wire()
    wire.posts[B.name].send(A, result(0))
    wire.round()
    half = b"x" * (PARCEL_BYTES_MAX // 2)
    payloads = [half, half[:-100], b"", b"x" * (2 * PARCEL_BYTES_MAX), b"", half]
    for n, payload in enumerate(payloads):
        wire.posts[A.name].send(B, Finished(b"r", n, 1, True, payload))
    wire.clock.now += 1
    wire.posts[A.name].flush()
    parcels = [decode_parcel(data) for to, data in wire.net.queue if to == B.name]
    assert [len(parcel.messages) for parcel in parcels] == [3, 1, 2]
    assert [parcel.acks for parcel in parcels] == [[1], [], []]
    wire.round()
    assert [message.payload for message in wire.got[B.name] if type(message) is Finished] == payloads
    wire.run(2)
    assert not wire.net.queue, "each was acknowledged"


def test_what_is_reliable_is_what_carries_work() -> None:
    assert {kind.__name__ for kind in RELIABLE} == {
        "Execute",
        "Finished",
        "Settled",
        "Disowned",
        "Abandon",
        "Recover",
        "Recovered",
        "Assign",
        "Forward",
    }


good = encode_parcel(Parcel(VERSION, *A, B.incarnation, 1, [], [task(1), Settled([(b"r", 1, 1)])]))
HOSTILE = [
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\x97\x01\xa1a\xa1b\xa0\x00\xdd\xff\xff\xff\xff",
    b"\x97\x01\xa1a\xa1b\xa0\x00\x90\xdd\xff\xff\xff\xff",
    b"\x91" * 100_000,
    b"\x97\x01\xa1a\xa1b\xa0\x00\x90" + b"\x91" * 100_000,
    b"\x97\x01\xa1\xff\xa1b\xa0\x00\x90\x90",
    good + b"\x00",
    good[:-1],
    encode_parcel(Parcel(VERSION + 1, *A, "", 0, [], [Look()])),
    msgspec.msgpack.encode([VERSION, *A, "", 0, [], [["zz", 1]]]),
    msgspec.msgpack.encode([VERSION, *A, "", 0, [], [["x", "not bytes", 1, 1, "a", b""]]]),
    msgspec.msgpack.encode([VERSION, *A, "", 2**63, [2**64 - 1], []]),
]


@pytest.mark.rule("M4")
@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_parcel_of_ours_is_dropped(data: bytes) -> None:
    post = Wire().posts[B.name]
    assert post.open(data) is None
    assert post.dropped == 1 or decode_parcel(data).messages == []


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255))))
def test_damaged_parcels_never_do_more_than_be_dropped(data: bytes | tuple[int, int]) -> None:
    if isinstance(data, tuple):
        damaged = bytearray(good)
        damaged[data[0]] = data[1]
        data = bytes(damaged)
    post = Wire().posts[B.name]
    opened = post.open(data)
    assert opened is None or opened[1]
    post.flush()


def test_a_parcel_of_another_version_says_what_to_do() -> None:
    data = encode_parcel(Parcel(VERSION + 1, *A, "", 0, [], [Look()]))
    with pytest.raises(WireError, match="restart the node"):
        decode_parcel(data)
