"""A snapshot of what a node's group knows, for people: the group as this node sees it, and the node itself.

It travels as JSON with names, so that a command line of another version can read what it knows of it.
"""

from __future__ import annotations

import msgspec

from continuum.cluster import groups
from continuum.cluster.load import About, EngineLoad, NodeLoad, WorkerLoad, about_of, boot_of, load_of
from continuum.cluster.state import Member


class ProcessStatus(msgspec.Struct, frozen=True):
    """A live process of the answering node."""

    name: str
    role: str
    pid: int
    incarnation: str
    restarts: int
    state: str


class MemberStatus(msgspec.Struct, frozen=True):
    """A member as the answering node sees it. ``since_s``: for how long it has had this status. ``groups``: the process
    groups of its processes, (group, process) each."""

    name: str
    address: str
    status: str  # alive, suspect, dead, left
    epoch: int
    boot: str
    since_s: float
    rtt_s: float | None
    load: NodeLoad
    about: About
    groups: list[tuple[str, str]]


class NodeStatus(msgspec.Struct, frozen=True):
    """``node`` answers, and sees ``members``, itself among them. ``processes``, ``engines`` and ``workers`` are those
    of this node. ``counts``: what its group has sent, taken, dropped and ignored since it began. ``up_s``: for how long
    it has been running, by a clock that nobody sets."""

    node: str
    instance: str
    boot: str
    realm: str
    address: str
    secure: bool
    members: list[MemberStatus]
    processes: list[ProcessStatus]
    engines: dict[str, EngineLoad]
    workers: dict[str, WorkerLoad]
    counts: dict[str, int]
    up_s: float = 0.0


def status_of(member: Member, now: float) -> MemberStatus:
    """Return what is known of a member."""
    alone = {member.name: member}
    return MemberStatus(
        name=member.name,
        address=member.address,
        status=member.status.name.lower(),
        epoch=member.epoch,
        boot=boot_of(member.entries),
        since_s=round(now - member.since, 3),
        rtt_s=member.rtt_s,
        load=load_of(member.entries),
        about=about_of(member.entries),
        groups=[
            (name, found.process) for name in groups.names(alone) for found in groups.members(alone, name)
        ],
    )


def encode_status(status: NodeStatus) -> bytes:
    return msgspec.json.encode(status)


def decode_status(data: bytes) -> NodeStatus:
    """Return the snapshot.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return msgspec.json.decode(data, type=NodeStatus)
