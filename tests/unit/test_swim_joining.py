"""How a node joins and leaves: whom it tells, how often, and in how many parts."""

from __future__ import annotations

from continuum.cluster.directives import Joined, Left
from continuum.cluster.messages import Claim, Gossip, Ping, Status, Sync
from continuum.cluster.timing import LOCAL
from tests.unit.swim_node import about, alive, gossip, news, run, sends, swim


def test_joining_exchanges_the_full_state_and_is_tried_again_while_nobody_answers() -> None:
    node = swim()
    assert [(to, sync.answer) for to, sync in sends(node.join(0.0, ["tcp://seed", "tcp://me"]), Sync)] == [
        ("tcp://seed", True)
    ]
    tried = [now for now, each in run(node, 0.0, 5.0) if sends([each], Sync)]
    assert len(tried) >= 5
    answer = node.receive(5.0, "tcp://seed", Sync(False, [alive("seed"), alive("b")]))
    assert {each.member.name for each in answer if isinstance(each, Joined)} == {"seed", "b"}


def test_joining_is_tried_again_by_who_has_heard_of_others_but_not_of_all() -> None:
    node = swim()
    node.join(0.0, ["tcp://seed"])
    gossip(node, alive("a"), now=0.0)
    assert [each for _, each in run(node, 0.0, 2.0) if sends([each], Sync)]
    node.receive(2.0, "tcp://seed", Sync(False, [alive("seed"), alive("b")]))
    assert not [each for _, each in run(node, 2.0, 2.9) if sends([each], Sync)]


def test_who_joins_is_told_everything_and_told_to_the_others() -> None:
    node = swim("a", "b")
    directives = node.receive(0.0, "tcp://new", Sync(True, [alive("new")]))
    ((address, sync),) = sends(directives, Sync)
    assert address == "tcp://new"
    assert {claim.name for claim in sync.claims} == {"me", "a", "b", "new"}
    told = sends(node.tick(0.0), Gossip)
    assert told and all("new" in {claim.name for claim in said.rumors} for _, said in told)


def test_the_answer_to_a_newcomer_is_no_news_to_the_others() -> None:
    node = swim("a", "b", "c")
    assert sends(node.tick(0.0), Gossip) == []


def test_leaving_is_said_and_is_no_death() -> None:
    node = swim("a", "b")
    directives = node.leave(1.0)
    assert {address for address, _ in sends(directives, Gossip)} == {"tcp://a", "tcp://b"}
    (said, *_) = (message for _, message in sends(directives, Gossip))
    assert [(claim.name, claim.status) for claim in said.rumors] == [("me", Status.LEFT)]
    other = swim("me2")
    left = Claim("me2", Status.LEFT, 1, 0)
    assert news(gossip(other, left)) == [Left("me2", 1)]
    assert not [each for _, each in run(node, 1.0, 5.0) if sends([each], Ping)]
    assert news(gossip(node, about("me", Status.DEAD, "a", epoch=10), now=5.0)) == []


def test_a_node_has_left_when_its_goodbye_was_said_as_often_as_any_rumor() -> None:
    node, said = swim("a"), 0
    assert not node.has_left
    said += len(sends(node.leave(1.0), Gossip))
    now = 1.0
    while not node.has_left:
        said += len(sends(node.tick(now), Gossip))
        now += LOCAL.gossip_s
    assert said == LOCAL.retransmits(2)


def test_a_node_without_others_has_left_at_once() -> None:
    node = swim()
    assert not node.has_left
    node.leave(1.0)
    assert node.has_left


def test_a_full_state_that_is_large_comes_in_parts_of_which_the_last_asks_for_an_answer() -> None:
    node = swim()
    large = {"x": b"x" * 60_000}
    claims = [
        Claim(f"n{number}", Status.ALIVE, 1, 0, "", f"tcp://n{number}", 1, large) for number in range(12)
    ]
    node.receive(0.0, "tcp://n1", Sync(False, claims))
    parts = [sync for _, sync in sends(node.join(0.1, ["tcp://seed"]), Sync)]
    assert len(parts) > 1
    assert [sync.answer for sync in parts] == [False] * (len(parts) - 1) + [True]
    assert sorted(claim.name for sync in parts for claim in sync.claims) == sorted(node.members)
