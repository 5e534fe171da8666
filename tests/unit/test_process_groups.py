"""Process groups as a view over the entries of the members."""

from __future__ import annotations

import pytest

from continuum.cluster.groups import GroupMember, LocalEntries, members, names
from continuum.cluster.messages import ENTRIES_BYTES_MAX, ENTRIES_MAX, Status
from continuum.cluster.state import Member
from continuum.errors import ConfigurationError


def node(name: str, entries: LocalEntries, status: Status = Status.ALIVE) -> Member:
    return Member(name, f"tcp://{name}", 1, 0, status, 1, dict(entries.entries), None, 0.0)


def test_a_group_has_the_processes_of_all_nodes_that_are_here() -> None:
    one, two, three = LocalEntries(), LocalEntries(), LocalEntries()
    one.join("workers/default", "worker-1", b"4")
    one.join("workers/default", "worker-2")
    one.join("engines", "engine-1")
    two.join("workers/default", "worker-1", b"8")
    three.join("workers/default", "worker-1")
    nodes = {
        member.name: member
        for member in (node("b", two, Status.SUSPECT), node("a", one), node("c", three, Status.DEAD))
    }
    assert members(nodes, "workers/default") == [
        GroupMember("a", "worker-1", b"4"),
        GroupMember("a", "worker-2", b""),
        GroupMember("b", "worker-1", b"8"),
    ]
    assert members(nodes, "workers") == []
    assert names(nodes) == ["engines", "workers/default"]


def test_joining_and_leaving_say_whether_there_is_anything_to_publish() -> None:
    entries = LocalEntries()
    assert entries.join("engines", "engine-1", b"1")
    assert not entries.join("engines", "engine-1", b"1")
    assert entries.join("engines", "engine-1", b"2")
    assert entries.leave("engines", "engine-1")
    assert not entries.leave("engines", "engine-1")
    assert entries.entries == {}


def test_a_process_that_ends_leaves_all_of_its_groups_and_no_other() -> None:
    entries = LocalEntries()
    entries.set("load", b"0.5")
    for group in ("workers/a", "workers/b"):
        entries.join(group, "worker-1")
        entries.join(group, "worker-2")
    assert entries.leave_all("worker-1")
    assert not entries.leave_all("worker-1")
    nodes = {"n": node("n", entries)}
    assert [member.process for member in members(nodes, "workers/a")] == ["worker-2"]
    assert entries.entries["load"] == b"0.5"


def test_entries_that_other_nodes_would_refuse_are_refused_here() -> None:
    entries = LocalEntries()
    with pytest.raises(ConfigurationError, match="at most"):
        entries.set("large", b"x" * ENTRIES_BYTES_MAX)
    with pytest.raises(ConfigurationError, match="characters"):
        entries.set("", b"")
    with pytest.raises(ConfigurationError, match="slash"):
        entries.join("engines", "a/b")
    for number in range(ENTRIES_MAX):
        entries.set(str(number), b"")
    with pytest.raises(ConfigurationError, match="at most"):
        entries.set("one more", b"")
    assert len(entries.entries) == ENTRIES_MAX
