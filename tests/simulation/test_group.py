"""A group of hosts on a network that loses, doubles, delays, reorders and cuts, and hosts that crash and come back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from bench.cluster.network import Host, Network, seen_alive
from continuum.cluster.directives import Died, Joined, Left, NameTaken, Recovered, Suspected
from continuum.cluster.messages import (
    COUNT_MAX,
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
from continuum.cluster.swim import Swim
from continuum.cluster.timing import LOCAL, WAN

SEEDS = int(os.environ.get("CONTINUUM_GROUP_SEEDS", "12"))
KNOWN_S = 3.0  # M1


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def started(net: Network, count: int, seeds: tuple[str, ...] = ("n0",)) -> list[Host]:
    hosts = [net.start(name, seeds) for name in names(count)]
    assert net.run(10.0, net.agree)
    return hosts


def alive(host: Host) -> set[str]:
    assert host.node is not None
    return seen_alive(host.node)


def died(net: Network, after: float = 0.0) -> list[tuple[float, str, str]]:
    return [
        (moment, host, directive.name)
        for moment, host, directive in net.log
        if isinstance(directive, Died) and moment >= after
    ]


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


# Partitions


@pytest.mark.parametrize(("size", "minority"), [(2, 1), (10, 1), (10, 5), (40, 20)])
def test_the_halves_of_a_network_find_each_other_when_it_heals(size: int, minority: int) -> None:
    net = Network(size + minority)
    hosts = started(net, size)
    there, here = names(size)[:minority], names(size)[minority:]
    net.cut(there, here)
    net.run(60.0)
    for host in hosts:
        assert alive(host) == set(there if host.name in there else here)
    net.heal()
    assert net.run(30.0, net.agree)
    healed = net.now
    net.run(30.0)
    assert not died(net, healed)


def test_a_node_that_is_heard_but_hears_nothing_doubts_itself_and_comes_back() -> None:
    net = Network(11)
    started(net, 10)
    net.cut(names(10)[:3] + names(10)[4:], ["n3"], both_ways=False)
    net.run(20.0)
    node = net.hosts["n3"].node
    assert node is not None
    assert node.awareness.score == LOCAL.health_max
    assert all(name == "n3" or host == "n3" for _, host, name in died(net)), "others keep each other"
    net.heal()
    assert net.run(30.0, net.agree)


@pytest.mark.rule("M1")
def test_a_cut_between_two_nodes_that_others_reach_kills_neither() -> None:
    net = Network(12)
    started(net, 10)
    net.cut(["n3"], ["n4"])
    net.run(60.0)
    assert not died(net)
    assert net.agree()


# Forgery


def forged(random: Random, known: list[str]) -> GossipMessage:
    name = random.choice(known + ["nobody"])
    address = random.choice([f"tcp://{name}:7400", "tcp://nowhere:1", ""])
    number = random.choice([0, 1, 3, 1 << 40, COUNT_MAX])

    def claim() -> Claim:
        status = random.choice(list(Status))
        entries = random.choice([None, {}, {"load": b"forged"}])
        epoch = random.randint(0, 12)
        return Claim(name, status, epoch, number, random.choice(known), address, number, entries)

    claims = [claim() for _ in range(random.randint(0, 5))]
    kinds: list[Callable[[], GossipMessage]] = [
        lambda: Ping(number, random.choice(known), name, 1, random.choice([0, number]), claims),
        lambda: Ack(number, name, random.randint(0, 12), number, claims),
        lambda: PingRequest(number, name, claims),
        lambda: Nack(number),
        lambda: Gossip(claims),
        lambda: Sync(random.random() < 0.2, claims),
        lambda: Pull(known),
        lambda: Answer(claims),
    ]
    return random.choice(kinds)()


@pytest.mark.rule("M4")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_forged_messages_break_no_membership_for_good(seed: int) -> None:
    """A node whose number was used up asks for a new life, as its shell does when it hears that its name is taken."""
    net = Network(seed)
    random = Random(seed)
    started(net, 6)
    net.run(5.0)
    for _ in range(300):
        name = random.choice(names(6))
        sender = random.choice(["tcp://n1:7400", "tcp://nowhere:1"])
        data = encode(forged(random, names(6)))
        if random.random() < 0.1:
            data = data[: random.randrange(len(data))]
        net.inject(sender, name, data)
        net.run(random.random() * 0.1)
    for name in {host for _, host, each in net.log if isinstance(each, NameTaken)}:
        while net.start(name, ["n0", "n1"]).node.me.epoch <= 12:  # type: ignore[union-attr]
            pass
    expected = set(names(6))

    def is_well() -> bool:
        return all(expected == alive(host) - {"nobody"} for host in net.hosts.values())

    assert net.run(60.0, is_well)
    assert net.run(60.0, net.agree)


# Anything


@pytest.mark.rule("M1", "M4")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happened_the_living_agree_in_the_end(seed: int) -> None:
    random = Random(1000 + seed)
    net = Network(seed, loss=random.choice([0.0, 0.1, 0.25]), doubled=0.05, delay_s=(0.0002, 0.05))
    count = random.choice([3, 5, 9])
    started(net, count)
    for _ in range(12):
        name = random.choice(names(count))
        host = net.hosts[name]
        match random.randrange(7):
            case 0 if host.node is not None:
                net.kill(name)
            case 1 | 2 if host.node is None:
                net.start(name, random.sample(names(count), 2))
            case 3 if host.node is not None and not host.frozen:
                net.freeze(name)
            case 4 if host.frozen and host.node is not None:
                net.thaw(name)
            case 5:
                some = random.sample(names(count), random.randint(1, count - 1))
                others = [each for each in names(count) if each not in some]
                net.cut(some, others, both_ways=random.random() < 0.5)
            case 6:
                net.heal()
            case _:
                pass
        net.run(random.random() * 8.0)
    net.heal()
    for name, host in net.hosts.items():
        if host.node is None:
            net.start(name, names(count))
        elif host.frozen:
            net.thaw(name)
    net.loss = 0.0
    assert net.run(60.0, net.agree)
    calm = net.now + 15.0
    net.run(60.0)
    assert not died(net, calm)
    assert net.agree()


def test_the_same_seed_gives_the_same_run() -> None:
    def log() -> list[object]:
        net = Network(21, loss=0.2, doubled=0.1)
        started(net, 10)
        net.kill("n3")
        net.run(20.0)
        return list(net.log)

    assert log() == log()


def test_what_a_node_keeps_is_bounded_while_others_come_and_go() -> None:
    net = Network(22, timing=replace(LOCAL, forget_dead_s=60.0))
    started(net, 5)
    for number in range(100):
        net.start(f"guest-{number}", ["n0"])
        net.run(2.0)
        net.kill(f"guest-{number}")
    net.run(30.0)
    node = net.hosts["n1"].node
    assert isinstance(node, Swim)
    assert seen_alive(node) == set(names(5))
    net.run(70.0)
    assert set(node.members) == set(names(5))
    assert any(isinstance(each, Recovered | Died) for _, _, each in net.log)
