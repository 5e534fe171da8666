"""What the membership tells its shell: messages to send, and what it has learned of others.

All of it is advice (M4): a wrong verdict may cost a resume, and fencing sees to the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from continuum.cluster.messages import GossipMessage
from continuum.cluster.state import Member


@dataclass(frozen=True, slots=True)
class Send:
    """Carry this message to an address; it may be lost."""

    address: str
    message: GossipMessage


@dataclass(frozen=True, slots=True)
class Joined:
    """A member is here: a new name, a later life of one, or one that was given up and lives."""

    member: Member


@dataclass(frozen=True, slots=True)
class Changed:
    """A member published other entries."""

    member: Member


@dataclass(frozen=True, slots=True)
class Suspected:
    """A member did not answer some prober. It is still a member; `Recovered` or `Died` follows."""

    name: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A suspected member has refuted."""

    name: str


@dataclass(frozen=True, slots=True)
class Died:
    """The verdict of the group, or a later life has begun: this life of the name is over."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Left:
    """A member has said goodbye."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Refuted:
    """Others took this node for dead or suspect, and it has told them better: it, or its network, is slow."""


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Somebody lives under this node's name in a later epoch (at ``address``): the group no longer listens to this
    node. Stop it, or give it a new epoch if the name is still its own."""

    address: str
    epoch: int


Directive = Send | Joined | Changed | Suspected | Recovered | Died | Left | Refuted | NameTaken
