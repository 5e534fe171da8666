"""A group whose network is cut, that gets forged messages, or that anything happens to: the living agree in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from bench.cluster.network import Network, seen_alive
from continuum.cluster.directives import Died, NameTaken, Recovered
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
from continuum.cluster.timing import LOCAL
from tests.simulation.groups import SEEDS, alive, died, names, started

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
