"""Process groups: which processes of which nodes serve a name, as a view over the members' entries.

As in Erlang's ``pg`` each node writes only the memberships of its own processes, nobody locks or votes, and a node
that dies takes its processes out of every group. A view may be late by a round of gossip; it is never the
authority for anything.

An entry ``group/<group>/<process>`` holds the metadata of one membership. A group's name may contain slashes, a
process's may not. All other entries are the node's own metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from continuum.cluster.messages import ENTRIES_BYTES_MAX, ENTRIES_MAX, NAME_CHARS_MAX
from continuum.cluster.state import Member
from continuum.errors import ConfigurationError

_PREFIX = "group/"


class GroupMember(NamedTuple):
    node: str
    process: str
    meta: bytes


def members(nodes: Mapping[str, Member], group: str) -> list[GroupMember]:
    """Return the members of ``group`` on nodes that are here (alive or suspect), by node and process."""
    found = [
        GroupMember(node.name, process, meta)
        for node in nodes.values()
        if node.is_here
        for name, process, meta in _memberships(node.entries)
        if name == group
    ]
    return sorted(found)


def names(nodes: Mapping[str, Member]) -> list[str]:
    """Return every group that has a member."""
    here = (node for node in nodes.values() if node.is_here)
    return sorted({name for node in here for name, _, _ in _memberships(node.entries)})


class LocalEntries:
    """The entries of this node, to be given to `Swim.publish` when they have changed."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    @property
    def entries(self) -> Mapping[str, bytes]:
        return self._entries

    def join(self, group: str, process: str, meta: bytes = b"") -> bool:
        """Make a local process a member, or renew its metadata; False if that changes nothing."""
        return self.set(_key(group, process), meta)

    def leave(self, group: str, process: str) -> bool:
        """Take a process out of a group; False if it was not in it."""
        return self._entries.pop(_key(group, process), None) is not None

    def leave_all(self, process: str) -> bool:
        """A process has ended: take it out of every group."""
        ended = [key for key in self._entries if key.startswith(_PREFIX) and _split(key)[1] == process]
        for key in ended:
            del self._entries[key]
        return bool(ended)

    def set(self, key: str, value: bytes) -> bool:
        """Write an entry of the node itself; False if that changes nothing."""
        if not 0 < len(key) <= NAME_CHARS_MAX:
            raise ConfigurationError(f"an entry's name has 1 to {NAME_CHARS_MAX} characters: {key[:50]!r}")
        if self._entries.get(key) == value:
            return False
        check({**self._entries, key: value})
        self._entries[key] = value
        return True


def check(entries: Mapping[str, bytes]) -> None:
    """Refuse entries that other nodes would not accept.

    Raises:
        ConfigurationError: too many, or too large.
    """
    size = sum(len(key) + len(value) for key, value in entries.items())
    if len(entries) > ENTRIES_MAX or size > ENTRIES_BYTES_MAX:
        raise ConfigurationError(
            f"a node publishes at most {ENTRIES_MAX} entries of {ENTRIES_BYTES_MAX} bytes together;"
            f" these are {len(entries)} of {size}"
        )


def _memberships(entries: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for key, meta in entries.items():
        if key.startswith(_PREFIX):
            yield (*_split(key), meta)


def _split(key: str) -> tuple[str, str]:
    group, _, process = key.removeprefix(_PREFIX).rpartition("/")
    return group, process


def _key(group: str, process: str) -> str:
    if not group or not process or "/" in process:
        raise ConfigurationError(
            f"a group and a process need names, and a process's has no slash: {group!r}, {process!r}"
        )
    return f"{_PREFIX}{group}/{process}"
