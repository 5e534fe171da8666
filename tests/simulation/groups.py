"""Groups of hosts on a network that a seed makes: how they start, whom they hold for alive, who was declared dead."""

from __future__ import annotations

import os

from bench.cluster.network import Host, Network, seen_alive
from continuum.cluster.directives import Died

SEEDS = int(os.environ.get("CONTINUUM_GROUP_SEEDS", "12"))


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
