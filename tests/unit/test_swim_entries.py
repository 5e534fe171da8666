"""The entries that a member publishes: how they reach the others, and when nobody has to be told."""

from __future__ import annotations

import pytest

from continuum.cluster.directives import Changed, Send
from continuum.cluster.messages import ENTRIES_BYTES_MAX, Answer, Claim, Gossip, Pull, Status, Sync
from continuum.cluster.swim import Swim
from continuum.cluster.timing import LOCAL
from continuum.errors import ConfigurationError
from tests.unit.swim_node import ME, alive, gossip, news, run, sends, swim


def test_entries_travel_with_the_rumor_while_they_are_small() -> None:
    one, other = swim("a"), swim("me2")
    one.publish(0.0, {"load": b"1"})
    ((_, said),) = sends(one.tick(0.0), Gossip)
    claim = next(each for each in said.rumors if each.sequence)
    renamed = Claim("me2", *[getattr(claim, name) for name in claim.__struct_fields__[1:]])
    other.receive(0.0, "tcp://me2", Sync(False, [Claim("me2", Status.ALIVE, 10, 0, "", "tcp://me2")]))
    assert [type(each) for each in news(other.receive(0.2, "x", Gossip([renamed])))] == [Changed]
    assert other.members["me2"].entries == {"load": b"1"}


def test_large_entries_are_pulled_from_who_told_of_them() -> None:
    node = swim("a")
    node.publish(0.0, {"large": b"x" * 5000})
    (said,) = (message for _, message in sends(node.tick(0.0), Gossip))
    assert [(claim.sequence, claim.entries) for claim in said.rumors if claim.sequence] == [(1, None)]
    told = Claim("a", Status.ALIVE, 1, 0, "", "tcp://a", 7, None)
    node.receive(0.2, "tcp://teller", Gossip([told]))
    assert sends(node.tick(0.2), Pull) == [("tcp://teller", Pull(["a"]))]
    node.receive(0.3, "tcp://teller", Answer([alive("a", sequence=7)]))
    assert (node.members["a"].sequence, node.members["a"].entries) == (7, {"x": b"7"})


def test_a_pull_is_answered_with_what_is_known() -> None:
    node = swim("a")
    node.publish(0.0, {"large": b"x" * 5000})
    ((_, answer),) = sends(node.receive(0.1, "tcp://b", Pull(["me", "stranger"])), Answer)
    assert [(claim.name, claim.entries) for claim in answer.claims] == [("me", {"large": b"x" * 5000})]


def moments(node: Swim, start: float, end: float) -> int:
    """How often the node wants to be woken between two moments, while nobody answers."""
    count, now = 0, start
    while now < end:
        node.tick(now)
        now = max(node.wake_at(), now + 1e-9)
        count += 1
    return count


def test_a_node_that_has_nobody_to_tell_its_news_rests_and_tells_them_who_comes() -> None:
    node = swim()
    node.publish(0.0, {"x": b"new"})
    assert moments(node, 0.0, 60.0) <= 60 / LOCAL.probe_s + 60 / LOCAL.sync_s + 60 / LOCAL.reconnect_s + 3
    ((_, answer),) = sends(node.receive(60.0, "tcp://a", Sync(True, [alive("a")])), Sync)
    (mine,) = (claim for claim in answer.claims if claim.name == ME.name)
    assert mine.entries == {"x": b"new"}


def test_a_node_whose_last_member_died_lets_it_hear_of_that_for_a_while_and_then_rests() -> None:
    node = swim("a")
    told = [
        now
        for now, each in run(node, 0.0, 60.0)
        if isinstance(each, Send) and isinstance(each.message, Gossip)
    ]
    assert told
    node.publish(60.0, {"x": b"new"})
    assert moments(node, 60.0, 120.0) <= 60 / LOCAL.probe_s + 60 / LOCAL.sync_s + 60 / LOCAL.reconnect_s + 3


def test_publishing_the_same_again_says_nothing() -> None:
    node = swim("a")
    node.publish(0.0, {"load": b"1"})
    node.publish(0.0, {"load": b"1"})
    assert node.members["me"].sequence == 1


def test_entries_beyond_the_limits_are_refused_and_change_nothing() -> None:
    node = swim("a")
    with pytest.raises(ConfigurationError, match="at most"):
        node.publish(0.0, {"x": b"x" * ENTRIES_BYTES_MAX})
    assert node.members["me"].sequence == 0


@pytest.mark.rule("M4")
def test_entries_forged_in_this_nodes_name_are_overwritten() -> None:
    node = swim("a")
    node.publish(0.0, {"load": b"1"})
    for forged in (1, 5):
        gossip(node, Claim("me", Status.ALIVE, 10, 0, "", "tcp://me", forged, {"load": b"forged"}))
        assert node.members["me"].sequence > forged
        assert node.members["me"].entries == {"load": b"1"}
