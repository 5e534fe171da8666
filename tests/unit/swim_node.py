"""One node of a membership, what others say to it, and what it says."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from continuum.cluster.directives import Directive, Send
from continuum.cluster.messages import Claim, Gossip, Status, Sync
from continuum.cluster.swim import Identity, Swim
from continuum.cluster.timing import LOCAL

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
