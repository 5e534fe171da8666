"""A group of hosts on a network that loses, doubles, delays and reorders, and hosts that crash and come back."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from bench.cluster.network import Network
from continuum.cluster.directives import Died, Joined, Left, NameTaken, Suspected
from continuum.cluster.timing import WAN
from tests.simulation.groups import SEEDS, alive, died, names, started

KNOWN_S = 3.0  # M1


# Finding each other


@pytest.mark.rule("M1")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_nodes_find_each_other_from_any_one_of_them(seed: int) -> None:
    net = Network(seed, loss=0.1, doubled=0.05)
    random = Random(seed)
    started_names: list[str] = []
    for name in names(12):
        net.start(name, [random.choice(started_names)] if started_names else [])
        started_names.append(name)
        net.run(random.random() * 0.3)
    assert net.run(10.0, net.agree)
    assert not died(net)


def test_nodes_that_start_at_once_with_all_addresses_find_each_other() -> None:
    net = Network(1)
    for name in names(10):
        net.start(name, names(10))
    assert net.run(2.0, net.agree)


def test_entries_large_and_small_reach_every_node() -> None:
    net = Network(2, loss=0.1)
    hosts = started(net, 20)
    net.do("n3", lambda node, now: node.publish(now, {"small": b"1"}))
    net.do("n4", lambda node, now: node.publish(now, {"large": b"x" * 20_000}))

    def is_known() -> bool:
        views = [host.node.members for host in hosts if host.node is not None]
        return all(
            view["n3"].entries == {"small": b"1"} and view["n4"].entries == {"large": b"x" * 20_000}
            for view in views
        )

    assert net.run(3.0, is_known)


# Failing and being wrong about it


def times_until_known(net: Network, size: int, end: Callable[[str], None]) -> list[float]:
    """Grow a group, end host-1, and return when each of the others held it for dead, in seconds after its end."""
    net.grown(size)
    net.run(2.0 + net.random.random())
    ended = net.now
    end("host-1")
    assert net.run(10.0, lambda: len(net.told(Died, "host-1")) == size - 1)
    assert {name for _, _, name in died(net)} == {"host-1"}
    return [moment - ended for moment, _ in net.told(Died, "host-1")]


@pytest.mark.rule("M1")
@pytest.mark.parametrize("size", [2, 3, 5, 10, 50, 100])
def test_a_killed_node_is_known_to_all_others_within_three_seconds(size: int) -> None:
    for seed in range(20 if size <= 10 else 3):
        net = Network(seed)
        assert max(times_until_known(net, size, net.crash)) <= KNOWN_S


@pytest.mark.rule("M1")
@pytest.mark.parametrize("size", [2, 3, 5, 10, 50])
def test_a_host_without_power_is_mostly_known_within_three_seconds_and_always_soon(size: int) -> None:
    """Nothing tells of it, so all depends on when somebody probes it: its probes come at random, and so does that."""
    known = []
    for seed in range(20 if size <= 10 else 5):
        net = Network(seed)
        known.append(max(times_until_known(net, size, net.kill)))
    assert sorted(known)[len(known) * 8 // 10] <= KNOWN_S
    assert max(known) <= 2 * KNOWN_S


@pytest.mark.rule("M1")
@pytest.mark.parametrize("seed", range(5))
def test_no_live_node_of_a_hundred_is_declared_dead_in_ten_minutes_at_ten_percent_loss(seed: int) -> None:
    """Five groups for two minutes each; ``python -m bench.cluster`` runs one for ten."""
    net = Network(seed, loss=0.1)
    net.grown(100)
    net.run(120.0)
    assert not died(net)
    assert any(isinstance(directive, Suspected) for _, _, directive in net.log), (
        "it was not for want of doubt"
    )
    assert net.run(10.0, net.agree)


@pytest.mark.rule("M1", "M4")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_late_doubled_and_reordered_messages_do_not_kill_anybody(seed: int) -> None:
    net = Network(seed, loss=0.05, doubled=0.3, delay_s=(0.001, 0.08))
    net.grown(10)
    net.run(60.0)
    assert not died(net)


def test_hosts_on_several_continents_keep_each_other_and_miss_a_dead_one() -> None:
    net = Network(13, loss=0.02, delay_s=(0.02, 0.2), timing=WAN)
    net.grown(20)
    net.run(120.0)
    assert not died(net)
    net.kill("host-7")
    assert net.run(20.0, lambda: len(net.told(Died, "host-7")) == 19)


def test_a_node_that_is_stopped_for_a_minute_is_declared_dead_comes_back_and_blames_nobody() -> None:
    net = Network(4)
    hosts = {host.name: host for host in started(net, 8)}
    net.freeze("n3")
    net.run(60.0)
    assert {name for _, _, name in died(net)} == {"n3"}
    woken = net.now
    net.thaw("n3")
    assert net.run(5.0, net.agree)
    assert not died(net, woken)
    assert alive(hosts["n3"]) == set(names(8))
    assert len([1 for _, _, each in net.log if isinstance(each, Joined) and each.member.name == "n3"]) == 14


def test_a_node_that_is_stopped_for_less_than_a_suspicion_stays_a_member() -> None:
    net = Network(5)
    started(net, 8)
    net.freeze("n3")
    net.run(0.8)
    net.thaw("n3")
    net.run(10.0)
    assert not died(net)


def test_a_node_that_leaves_is_never_declared_dead() -> None:
    net = Network(6, loss=0.1)
    started(net, 10)
    node = net.hosts["n3"].node
    assert node is not None
    net.leave("n3")
    assert net.run(1.0, lambda: node.has_left)
    net.kill("n3")
    assert net.run(10.0, net.agree)
    assert len(net.told(Left, "n3")) == 9
    assert not died(net)


# Coming back


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_restarted_node_is_known_in_its_new_life_before_the_old_one_is_given_up(seed: int) -> None:
    net = Network(seed)
    started(net, 8)
    net.kill("n3")
    net.run(0.2)
    restarted = net.now
    host = net.start("n3", ["n0"])
    assert host.node is not None
    epoch = host.node.me.epoch

    def is_known() -> bool:
        return all(h.node is not None and h.node.members["n3"].epoch == epoch for h in net.hosts.values())

    assert net.run(1.0, is_known)
    net.run(5.0)
    assert net.agree()
    assert all(moment - restarted < 1.0 for moment, _ in net.told(Died, "n3", restarted)), "the earlier life"


def test_a_node_that_restarts_at_its_address_without_a_word_is_found_by_the_others() -> None:
    net = Network(7)
    started(net, 5)
    net.kill("n3")
    net.start("n3")  # it knows no seed
    assert net.run(3.0, net.agree)


def test_a_node_whose_seeds_are_all_gone_keeps_its_members() -> None:
    net = Network(8)
    started(net, 6, ("n0", "n1"))
    net.kill("n0")
    net.kill("n1")
    net.run(120.0)
    assert net.agree()
    assert {name for _, _, name in died(net)} == {"n0", "n1"}


def test_two_nodes_of_one_name_hear_of_each_other_and_the_later_one_stays() -> None:
    net = Network(9)
    started(net, 5)
    earlier = net.hosts["n3"]
    later = net.start("n3", ["n0"], address="tcp://elsewhere:7400")
    assert later.node is not None
    net.run(5.0)
    taken = [(host, each) for _, host, each in net.log if isinstance(each, NameTaken)]
    assert taken == [("n3", NameTaken("tcp://elsewhere:7400", later.node.me.epoch))]
    assert earlier.node is not None
    assert all(
        net.hosts[name].node.members["n3"].address == later.address  # type: ignore[union-attr]
        for name in ("n0", "n1", "n2", "n4")
    )
