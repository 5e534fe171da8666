"""One node's membership, message by message."""

from __future__ import annotations

from random import Random
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.cluster.directives import (
    Changed,
    Died,
    Directive,
    Joined,
    Left,
    NameTaken,
    Recovered,
    Refuted,
    Send,
    Suspected,
)
from continuum.cluster.messages import (
    COUNT_MAX,
    ENTRIES_BYTES_MAX,
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
from continuum.cluster.swim import Identity, Swim
from continuum.cluster.timing import LOCAL
from continuum.errors import ConfigurationError

T = TypeVar("T")
ME = Identity("me", "tcp://me", 10)


def swim(*others: str) -> Swim:
    node = Swim(ME, LOCAL, Random(5), 0.0)
    if others:
        node.receive(0.0, "tcp://seed", Sync(False, [alive(name) for name in others]))
    return node


def alive(name: str, epoch: int = 1, incarnation: int = 0, sequence: int = 0) -> Claim:
    entries = {"x": b"%d" % sequence} if sequence else None
    return Claim(name, Status.ALIVE, epoch, incarnation, "", f"tcp://{name}", sequence, entries)


def about(name: str, status: Status, by: str = "", epoch: int = 1, incarnation: int = 0) -> Claim:
    return Claim(name, status, epoch, incarnation, by)


def gossip(node: Swim, *claims: Claim, now: float = 1.0) -> list[Directive]:
    return node.receive(now, "tcp://b", Gossip(list(claims)))


def sends(directives: list[Directive], kind: type[T]) -> list[tuple[str, T]]:
    return [
        (each.address, each.message)
        for each in directives
        if isinstance(each, Send) and isinstance(each.message, kind)
    ]


def news(directives: list[Directive]) -> list[Directive]:
    return [each for each in directives if not isinstance(each, Send)]


def run(node: Swim, start: float, end: float) -> list[tuple[float, Directive]]:
    """Tick when due; nobody answers."""
    done: list[tuple[float, Directive]] = []
    now = start
    while now < end:
        done += [(now, each) for each in node.tick(now)]
        now = max(node.wake_at(), now + 1e-9)
    return done


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


# Suspicion and refutation


def test_a_suspicion_that_is_refuted_ends() -> None:
    node = swim("a", "b", "c")
    assert news(gossip(node, about("a", Status.SUSPECT, "b"))) == [Suspected("a")]
    assert news(gossip(node, alive("a", incarnation=1))) == [Recovered("a")]
    assert news(gossip(node, about("a", Status.SUSPECT, "c"))) == []


def test_a_suspect_hears_of_it_with_the_next_probe_and_its_answer_refutes() -> None:
    node = swim("a")
    gossip(node, about("a", Status.SUSPECT, "me"), now=0.01)
    directives = node.hint_lost(0.02, "a")
    ((_, ping),) = sends(directives, Ping)
    assert (ping.rumors[0].name, ping.rumors[0].status) == ("a", Status.SUSPECT)
    assert Recovered("a") in node.receive(0.03, "tcp://a", Ack(ping.number, "a", 1, 1, []))


def test_accusers_that_nobody_knows_do_not_count() -> None:
    node = swim("a", "b", "c", "d", "e")
    for number in range(10):
        assert news(gossip(node, about("a", Status.SUSPECT, f"forged-{number}"))) == []
    assert node.ignored == 10


def test_confirmations_bring_the_verdict_forward() -> None:
    def verdict(*accusers: str) -> float:
        node = swim("a", "b", "c", "d", "e")
        for accuser in accusers:
            gossip(node, about("a", Status.SUSPECT, accuser), now=0.0)
        return next(now for now, each in run(node, 0.0, 20.0) if each == Died("a", 1))

    assert verdict("b", "c", "d", "e") < verdict("b", "c") <= verdict("b")


def test_an_accused_node_refutes_with_a_larger_incarnation_and_doubts_itself() -> None:
    node = swim("a", "b")
    assert news(gossip(node, about("me", Status.SUSPECT, "a", epoch=10))) == [Refuted()]
    assert node.members["me"].incarnation == 1
    assert node.awareness.score == 1
    ((_, said),) = sends(node.receive(1.1, "tcp://a", Ping(1, "me", "a", 1, 0, [])), Ack)
    assert said.incarnation == 1
    assert any(claim.name == "me" and claim.incarnation == 1 for claim in said.rumors)
    assert news(gossip(node, about("me", Status.SUSPECT, "b", epoch=10))) == []


@pytest.mark.rule("M4")
@given(
    st.lists(
        st.builds(
            about, st.just("me"), st.sampled_from(Status), st.just("a"), st.just(10), st.integers(0, 1 << 60)
        )
    )
)
def test_a_node_outranks_whatever_is_said_of_it(claims: list[Claim]) -> None:
    node = swim("a")
    gossip(node, *claims)
    me = node.members["me"]
    assert me.status == Status.ALIVE
    assert all((claim.incarnation, claim.status) <= (me.incarnation, Status.ALIVE) for claim in claims)


def test_who_is_taken_for_dead_hears_it_when_it_says_something() -> None:
    node = swim("a", "b")
    assert news(gossip(node, about("a", Status.DEAD, "b"))) == [Died("a", 1)]
    ((address, ack),) = sends(node.receive(1.1, "tcp://a", Ping(1, "me", "a", 1, 0, [])), Ack)
    assert (address, ack.rumors[0].name, ack.rumors[0].status) == ("tcp://a", "a", Status.DEAD)
    assert [type(each) for each in news(gossip(node, alive("a", incarnation=1)))] == [Joined]


def test_who_pings_lives_even_where_the_rumor_of_its_refutation_was_missed() -> None:
    node = swim("a", "b")
    gossip(node, about("a", Status.DEAD, "b"))
    said = news(node.receive(1.1, "tcp://a", Ping(1, "me", "a", 1, 1, [])))
    assert said == [Joined(node.members["a"])]


def test_a_death_in_a_full_exchange_makes_this_node_look_for_itself() -> None:
    node = swim("a", "b")
    dead = Claim("a", Status.DEAD, 1, 0, "b", "tcp://a")
    assert news(node.receive(0.01, "tcp://b", Sync(False, [dead]))) == []
    assert "tcp://a" in [address for address, _ in sends(node.tick(0.01), Ping)]
    assert node.members["a"].status == Status.ALIVE


def test_the_dead_and_those_who_left_are_forgotten_in_time_and_then_unknown_deaths_are_not_believed() -> None:
    node = swim("a", "b", "c")
    gossip(node, about("a", Status.DEAD, "c"), about("b", Status.LEFT))
    assert {node.members["a"].status, node.members["b"].status} == {Status.DEAD, Status.LEFT}
    run(node, LOCAL.forget_dead_s, LOCAL.forget_dead_s + 2 * LOCAL.reconnect_s)
    assert "a" not in node.members and "b" not in node.members
    gossip(node, about("a", Status.DEAD, "c"), about("b", Status.LEFT), now=5000.0)
    assert "a" not in node.members and "b" not in node.members


# Lives of a name


def test_a_restarted_node_replaces_its_earlier_life_at_once() -> None:
    node = swim("a", "b")
    said = news(gossip(node, Claim("a", Status.ALIVE, 2, 0, "", "tcp://elsewhere")))
    assert said == [Died("a", 1), Joined(node.members["a"])]
    assert (node.members["a"].address, node.members["a"].epoch) == ("tcp://elsewhere", 2)
    assert news(gossip(node, alive("a", epoch=1, incarnation=9))) == []


def test_an_answer_of_a_later_life_asks_for_its_state() -> None:
    node = swim("a")
    ((_, ping),) = sends(node.hint_lost(0.01, "a"), Ping)
    directives = node.receive(0.02, "tcp://a", Ack(ping.number, "a", 2, 0, []))
    assert sends(directives, Pull) == [("tcp://a", Pull(["a"]))]


@pytest.mark.rule("M4")
def test_a_later_life_under_this_nodes_name_is_reported_once() -> None:
    node = swim("a")
    other = Claim("me", Status.ALIVE, 11, 0, "", "tcp://impostor")
    assert news(gossip(node, other)) == [NameTaken("tcp://impostor", 11)]
    assert news(gossip(node, other)) == []
    assert node.members["me"].epoch == 10


@pytest.mark.rule("M4")
def test_an_incarnation_that_cannot_be_outranked_is_reported_and_not_passed() -> None:
    node = swim("a")
    said = news(gossip(node, about("me", Status.DEAD, "a", epoch=10, incarnation=COUNT_MAX)))
    assert said == [NameTaken("tcp://me", 10)]


@pytest.mark.rule("M4")
def test_a_forged_later_life_that_is_long_dead_gives_way_to_the_one_that_talks() -> None:
    node = swim("a", "b")
    gossip(node, Claim("a", Status.ALIVE, 1 << 60, 0, "", "tcp://nowhere"))
    gossip(node, about("a", Status.DEAD, "b", epoch=1 << 60))
    ping = Ping(1, "me", "a", 1, 0, [])
    assert not sends(node.receive(2.0, "tcp://a", ping), Pull)
    later = 2.0 + LOCAL.dead_gossip_s
    assert sends(node.receive(later, "tcp://a", ping), Pull) == [("tcp://a", Pull(["a"]))]
    node.receive(later, "tcp://a", Answer([alive("a")]))
    assert (node.members["a"].epoch, node.members["a"].status) == (1, Status.ALIVE)


# Entries


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


# Joining and leaving


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
