"""One node's membership, message by message: how it probes the others, and that no message does it harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.cluster.directives import Died, Send, Suspected
from continuum.cluster.messages import (
    COUNT_MAX,
    NAME_CHARS_MAX,
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
    encode,
)
from continuum.cluster.roster import MEMBERS_MAX
from continuum.cluster.swim import Identity
from continuum.cluster.timing import LOCAL
from continuum.errors import ConfigurationError
from tests.unit.swim_node import about, alive, gossip, news, run, sends, swim

# Probing


def test_a_member_that_nobody_reaches_is_probed_asked_for_suspected_and_declared_dead() -> None:
    node = swim("a")
    steps = run(node, 0.0, 5.0)
    kinds = [type(each.message) for _, each in steps if isinstance(each, Send)]
    assert kinds[:2] == [Ping, Ping]
    assert [each for _, each in steps if not isinstance(each, Send)] == [Suspected("a"), Died("a", 1)]
    assert node.members["a"].status == Status.DEAD


def test_an_answer_in_time_keeps_a_member_and_measures_its_distance() -> None:
    node = swim("a")
    now = node.wake_at()
    ((_, ping),) = sends(node.tick(now), Ping)
    assert (ping.target, ping.source, ping.epoch) == ("a", "me", 10)
    assert news(node.receive(now + 0.03, "tcp://a", Ack(ping.number, "a", 1, 0, []))) == []
    assert node.members["a"].rtt_s == pytest.approx(0.03)
    assert not [each for _, each in run(node, now + 0.03, now + 0.49) if isinstance(each, Suspected)]


def test_an_unanswered_probe_goes_through_others_whose_nacks_keep_this_nodes_health() -> None:
    node = swim("a", "b", "c", "d", "e")
    now = node.wake_at()
    ((_, ping),) = sends(node.tick(now), Ping)
    asked = sends(node.tick(now + 0.2), PingRequest)
    assert len({address for address, _ in asked}) == LOCAL.indirect
    assert {request.target for _, request in asked} == {ping.target}
    assert f"tcp://{ping.target}" not in {address for address, _ in asked}
    for address, request in asked:
        node.receive(now + 0.35, address, Nack(request.number))
    assert Suspected(ping.target) in node.tick(now + 0.4)
    assert node.awareness.score == 0


def test_helpers_that_say_nothing_make_this_node_doubt_itself_and_probe_more_slowly() -> None:
    node = swim("a", "b", "c", "d", "e")
    run(node, 0.0, 1.0)
    assert node.awareness.score > 0
    late = node.wake_at() + 20
    node.tick(late)
    assert node._probe_at >= late + 2 * LOCAL.probe_s


def test_a_helper_probes_a_member_where_it_knows_it_and_passes_the_answer_on() -> None:
    node = swim("a", "b")
    ((address, ping),) = sends(node.receive(1.0, "tcp://b", PingRequest(77, "a", [])), Ping)
    assert address == "tcp://a"
    answers = node.receive(1.01, "tcp://a", Ack(ping.number, "a", 1, 4, []))
    assert [(to, ack.number, ack.incarnation) for to, ack in sends(answers, Ack)] == [("tcp://b", 77, 4)]


def test_a_helper_that_does_not_know_the_member_says_nack_at_once() -> None:
    node = swim("a", "b")
    assert sends(node.receive(1.0, "tcp://b", PingRequest(77, "stranger", [])), Nack) == [
        ("tcp://b", Nack(77))
    ]


def test_a_lost_connection_is_probed_at_once_and_is_no_verdict() -> None:
    node = swim("a", "b")
    directives = node.hint_lost(0.01, "b")
    assert [address for address, _ in sends(directives, Ping)] == ["tcp://b"]
    assert news(directives) == []
    assert node.hint_lost(0.02, "b") == [] == node.hint_lost(0.02, "stranger") == node.hint_lost(0.02, "me")


def test_a_ping_for_an_earlier_owner_of_the_address_is_not_answered() -> None:
    assert not sends(swim("a").receive(1.0, "tcp://a", Ping(1, "before me", "a", 1, 0, [])), Ack)


def test_a_node_that_was_stopped_for_a_minute_blames_nobody_for_it() -> None:
    """Neither the suspect, though all have confirmed it, nor the member whose answer it could not hear."""
    node = swim("a", "b", "c", "d", "e")
    gossip(node, *(about("a", Status.SUSPECT, accuser) for accuser in "bcde"), now=0.01)
    node.hint_lost(0.02, "b")
    assert news(node.tick(60.0)) == []
    assert node.members["a"].status == Status.SUSPECT
    assert node.members["b"].status == Status.ALIVE
    assert node.awareness.score == 1
    assert Died("a", 1) in [each for _, each in run(node, 60.0, 65.0)]


# Whatever comes


@given(names=st.integers(0, 300), length=st.integers(1, NAME_CHARS_MAX), letter=st.sampled_from("aä√"))
@settings(max_examples=30, deadline=None)
def test_a_message_with_rumors_fits_into_a_datagram(names: int, length: int, letter: str) -> None:
    node = swim("a", "b")
    for number in range(names):
        name = (letter * length + str(number))[-NAME_CHARS_MAX:]
        gossip(node, Claim(name, Status.ALIVE, 1, 0, "", "tcp://" + "x" * 100))
    sent = [each.message for _, each in run(node, 1.0, 2.0) if isinstance(each, Send)]
    assert names == 0 or any(isinstance(message, Gossip) and message.rumors for message in sent)
    for message in sent:
        if not isinstance(message, Sync):
            assert len(encode(message)) <= LOCAL.datagram_bytes


@pytest.mark.rule("M4")
def test_a_flood_of_invented_members_ends_at_a_limit() -> None:
    node = swim("a")
    claims = [alive(f"forged-{number}") for number in range(MEMBERS_MAX + 500)]
    for start in range(0, len(claims), 500):
        node.receive(1.0, "tcp://b", Sync(False, claims[start : start + 500]))
    assert len(node.members) == MEMBERS_MAX
    gossip(node, about("forged-1", Status.DEAD, "a"))
    gossip(node, alive("late"))
    assert "late" in node.members, "the dead make room"
    assert len(node.members) == MEMBERS_MAX


names = st.sampled_from(["me", "a", "b", "c", "x", "y"])
numbers = st.one_of(st.integers(0, 12), st.just(COUNT_MAX), st.integers(0, COUNT_MAX))
any_claim = st.builds(
    Claim,
    names,
    st.sampled_from(Status),
    numbers,
    numbers,
    names,
    st.sampled_from(["", "tcp://me", "tcp://a", "tcp://x"]),
    numbers,
    st.one_of(st.none(), st.dictionaries(names, st.binary(max_size=3), max_size=2)),
)
rumors = st.lists(any_claim, max_size=4)
any_message: st.SearchStrategy[GossipMessage] = st.one_of(
    st.builds(Ping, numbers, names, names, numbers, numbers, rumors),
    st.builds(Ack, numbers, names, numbers, numbers, rumors),
    st.builds(PingRequest, numbers, names, rumors),
    st.builds(Nack, numbers),
    st.builds(Gossip, rumors),
    st.builds(Sync, st.booleans(), rumors),
    st.builds(Pull, st.lists(names, max_size=3)),
    st.builds(Answer, rumors),
)


@pytest.mark.rule("M4")
@given(st.lists(st.tuples(any_message, st.floats(0, 3)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_no_message_raises_or_makes_this_node_doubt_that_it_lives(
    heard: list[tuple[GossipMessage, float]],
) -> None:
    node = swim("a", "b")
    now = 0.0
    for message, pause_s in heard:
        for directive in node.receive(now, "tcp://x", message):
            if isinstance(directive, Send):
                encode(directive.message)
        now += pause_s
        node.tick(now)
        assert node.wake_at() <= now + LOCAL.probe_s * (LOCAL.health_max + 1)
    me = node.members["me"]
    assert (me.epoch, me.status, me.entries) == (10, Status.ALIVE, {})


def test_an_identity_that_cannot_travel_is_refused() -> None:
    for name, address, epoch in [("", "x", 1), ("n" * 201, "x", 1), ("n", "", 1), ("n", "x", -1)]:
        with pytest.raises(ConfigurationError):
            Identity(name, address, epoch)
