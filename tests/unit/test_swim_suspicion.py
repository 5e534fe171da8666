"""Who is suspected, refutes it, dies, or lives again under the same name, as one node sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.directives import Died, Joined, NameTaken, Recovered, Refuted, Suspected
from continuum.cluster.messages import COUNT_MAX, Ack, Answer, Claim, Ping, Pull, Status, Sync
from continuum.cluster.timing import LOCAL
from tests.unit.swim_node import about, alive, gossip, news, run, sends, swim

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
