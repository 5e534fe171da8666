"""What a role is: a value with inputs and no loop of its own.

A role is fed by a shell (:mod:`continuum.runtime.shell` for a real process, the simulation for a virtual one)::

    begin()                      once
    receive(sender, messages)    for every parcel, after the post office has opened it
    notice(...) / complete(...)  roles that listen to the database, or work off the loop
    tick()                       after each drained batch of inputs, and at `wake_at()`; sends what is to be sent

It reads the time only from its clock, sends only through its post, and blocks only in calls to the database; so the
same code runs on sockets and in a simulation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random
from typing import Protocol

import msgspec

from continuum.ports.beginnings import NOTHING_NOTED, Beginnings
from continuum.ports.clock import Clock
from continuum.wire.messages import Message
from continuum.wire.post import Peer, Post


class Ports(msgspec.Struct, frozen=True):
    """What every role is given. ``node`` and ``instance`` name it, ``boot`` this life of the node."""

    clock: Clock
    random: Random
    post: Post
    node: str
    instance: str
    name: str  # of the process, such as "engine-1"
    incarnation: str
    crew: str  # "<boot>:<n>", n counts the deaths of workers of this tree
    beginnings: Beginnings = NOTHING_NOTED


class Role(Protocol):
    def begin(self) -> None: ...

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None: ...

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        """The supervisor started a process of this node."""
        ...

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        """The supervisor has seen a process of this node dead: that incarnation does nothing any more."""
        ...

    def tick(self) -> None: ...

    def wake_at(self) -> float:
        """When ``tick`` wants to run next, by the monotonic clock; ``inf`` for never."""
        ...

    def drain(self) -> None:
        """Take no new work, finish and give back what there is; ``drained`` says when."""
        ...

    @property
    def drained(self) -> bool: ...


log = logging.getLogger("continuum")
