"""What is measured of a group: how fast it sees a death, what it says meanwhile, whom it wrongs, how it heals.

All of it in virtual time, so that a busy machine changes no figure; only ``cost`` asks a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.cluster.network import Network
from continuum.cluster.directives import Died, Suspected
from continuum.cluster.timing import LOCAL, Timing

# memberlist's DefaultLANConfig for 100 members, as far as our parameters say the same: a suspicion lasts
# 4 * log10(100) probe intervals, and two confirmations are wanted (its SuspicionMult - 2).
MEMBERLIST_LAN_100 = Timing(
    probe_s=1.01,  # two time-outs must fit
    timeout_s=0.5,
    gossip_s=0.2,
    sync_s=30.0,
    suspicion_s=8.0,
    suspicion_rounds=1e-9,
    confirmations=2,
    confirmers=1e-9,
)
TIMINGS = {"local": LOCAL, "memberlist": MEMBERLIST_LAN_100}
LIMIT_S = 120.0


@dataclass(frozen=True)
class Job:
    """One measurement: the name of a function here, and its arguments. It can run in any process."""

    what: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        function = _MEASUREMENTS[self.what]
        return {**self.arguments, **function(**self.arguments)}


def detection(size: int, kills: int, end: str, timing: str = "local") -> dict[str, Any]:
    """Kill one host after the other, each of which comes back before the next: seconds until the first suspicion,
    the first verdict, and the verdict of the last host.

    ``end``: "power" (nothing tells of it) or "kill -9" (its connections close)."""
    net = Network(size, timing=TIMINGS[timing])
    net.grown(size)
    net.run(5.0)
    suspected, first, last = [], [], []
    for number in range(kills):
        name = f"host-{1 + number % (size - 1)}"
        net.run(net.timing.probe_s * net.random.random())
        net.log.clear()
        moment = net.now
        if end == "power":
            net.kill(name)
        else:
            net.crash(name)
        net.run(LIMIT_S, lambda name=name: len(net.told(Died, name)) >= size - 1)  # type: ignore[misc]
        suspected.append(min(moment for moment, _ in net.told(Suspected, name)) - moment)
        verdicts = [told - moment for told, _ in net.told(Died, name)]
        first.append(min(verdicts))
        last.append(max(verdicts))
        net.start(name, ["host-0"])
        net.run(3.0)
    return {"suspected_s": _rounded(suspected), "first_s": _rounded(first), "all_s": _rounded(last)}


def talk(size: int, seconds: float, publish_s: float | None = None, timing: str = "local") -> dict[str, Any]:
    """What each host sends while nothing happens; with ``publish_s`` each publishes a small entry so often."""
    net = Network(size, timing=TIMINGS[timing])
    net.grown(size)
    net.run(net.timing.sync_s)
    before = _sent(net)
    steps = round(seconds / publish_s) if publish_s is not None else 1
    for step in range(steps):
        for host in net.hosts if publish_s is not None else ():
            load = b"%40d" % step
            net.do(host, lambda node, now, load=load: node.publish(now, {"load": load}))  # type: ignore[misc]
        net.run(seconds / steps)
    return _rates(net, before, size, seconds)


def loss(size: int, loss: float, seconds: float) -> dict[str, Any]:
    """Nothing happens but that messages are lost: how often hosts are suspected and declared dead, all wrongly.

    ``verdicts`` counts each host that gives or hears one, ``victims`` the hosts that they are about."""
    net = Network(size, loss=loss)
    net.grown(size)
    net.run(5.0)
    net.log.clear()
    before = _sent(net)
    net.run(seconds)
    verdicts = [each.name for _, _, each in net.log if isinstance(each, Died)]
    suspects = [each for _, _, each in net.log if isinstance(each, Suspected)]
    return {
        **_rates(net, before, size, seconds),
        "suspicions_per_host_minute": round(len(suspects) / size / size / seconds * 60, 3),
        "verdicts": len(verdicts),
        "victims": len(set(verdicts)),
    }


def healing(size: int, cut_s: float, minority: int) -> dict[str, Any]:
    """Cut the network in two until each part has given the other up, then heal it: seconds until 999 of
    1,000 views of one host of another are right again, and until all are."""
    net = Network(size)
    hosts = [host.name for host in net.grown(size)]
    net.run(5.0)
    net.cut(hosts[:minority], hosts[minority:])
    net.run(cut_s)
    apart = all(
        len([member for member in host.node.members.values() if member.is_here])
        <= max(minority, size - minority)
        for host in net.hosts.values()
        if host.node is not None
    )
    net.heal()
    healed, before, every_s = net.now, _sent(net), 0.1 if size <= 100 else 0.5
    nearly = net.run(LIMIT_S, lambda: net.errors() <= size * (size - 1) // 1000, every_s)
    nearly_s = net.now - healed
    agreed = net.run(LIMIT_S - nearly_s, net.agree, every_s)
    return {
        "apart": apart,
        "nearly_s": round(nearly_s, 1) if nearly else None,
        "all_s": round(net.now - healed, 1) if agreed else None,
        "kilobytes_per_host": round((_sent(net)[1] - before[1]) / size / 1000, 1),
    }


def cost(size: int, seconds: float, loss: float) -> dict[str, Any]:
    """Processor time of one message: decoding, the membership's own work with its ticks, encoding, and this network."""
    net = Network(size, loss=loss)
    net.grown(size)
    net.run(5.0)
    messages, began = net.messages, time.process_time()
    net.run(seconds)
    return {"us_per_message": round((time.process_time() - began) / (net.messages - messages) * 1e6, 1)}


def _sent(net: Network) -> tuple[int, int]:
    return sum(host.sent for host in net.hosts.values()), sum(host.bytes_sent for host in net.hosts.values())


def _rates(net: Network, before: tuple[int, int], size: int, seconds: float) -> dict[str, Any]:
    messages, octets = _sent(net)
    return {
        "messages_per_host_s": round((messages - before[0]) / size / seconds, 1),
        "bytes_per_host_s": round((octets - before[1]) / size / seconds),
    }


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 2) for value in values]


_MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "detection": detection,
    "talk": talk,
    "loss": loss,
    "healing": healing,
    "cost": cost,
}
