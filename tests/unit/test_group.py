"""The group process: how nodes find each other, what it tells its node's roles, and what it carries between hosts."""

from __future__ import annotations

import logging

import pytest

from continuum.cluster.agent import GOODBYE_S
from continuum.cluster.status import decode_status
from continuum.errors import JournalError
from continuum.wire.hosts import (
    Answers,
    AskStatus,
    Gossip,
    Results,
    StatusAnswer,
    decode_packet,
    encode_packet,
)
from continuum.wire.messages import (
    Disowned,
    EngineReady,
    Finished,
    Forward,
    Members,
    NodeDied,
    NodeSuspected,
    Route,
    Settled,
    Wake,
    WorkerReady,
)
from tests.unit.group_house import GroupHouse, GroupNode
from tests.unit.stage import Extra

RUN = b"r" * 16
RESULT = Finished(RUN, 3, 1, True, b"value")


@pytest.fixture
def house() -> GroupHouse:
    return GroupHouse()


def last_members(extra: Extra) -> Members | None:
    told = [message for message in extra.take(Members) if isinstance(message, Members)]
    return told[-1] if told else None


def pair(house: GroupHouse) -> tuple[GroupNode, GroupNode]:
    a, b = house.node("a"), house.node("b")
    house.advance(3)
    assert a.statuses == b.statuses == {"a": "alive", "b": "alive"}
    return a, b


@pytest.mark.rule("M1")
def test_nodes_find_each_other_by_the_database(house: GroupHouse) -> None:
    pair(house)


@pytest.mark.rule("M1")
def test_nodes_find_each_other_by_any_one_seed_when_the_table_names_nobody(house: GroupHouse) -> None:
    nodes = [house.node(name) for name in "abcd"]
    house.store.dispatch.groups = lambda limit: []  # type: ignore[method-assign]
    for node, seed in zip(nodes[1:], nodes, strict=False):
        node.seeds.append(seed.address)
    house.advance(8)
    assert [node.statuses for node in nodes] == [dict.fromkeys("abcd", "alive")] * 4


@pytest.mark.rule("M1")
def test_a_node_that_is_alone_looks_again_until_somebody_is_there(house: GroupHouse) -> None:
    a = house.node("a")
    house.advance(60)
    b = house.node("b")
    b.seeds.append("10.9.9.9:1")  # nobody
    house.advance(3)
    assert a.statuses == b.statuses == {"a": "alive", "b": "alive"}


@pytest.mark.rule("M2")
def test_without_the_database_a_group_begins_later_and_goes_on(house: GroupHouse) -> None:
    def fault(operation: str) -> None:
        raise JournalError(operation, "away")

    house.store.fault = fault
    a, b = house.node("a"), house.node("b")
    house.advance(20)
    assert a.statuses == {}
    house.store.fault = None
    house.advance(10)
    assert a.statuses == {"a": "alive", "b": "alive"}
    house.store.fault = fault
    house.advance(60)
    assert a.statuses == b.statuses == {"a": "alive", "b": "alive"}


@pytest.mark.rule("M1", "L4")
def test_a_dead_host_is_suspected_and_then_given_up_within_three_seconds(house: GroupHouse) -> None:
    a, b = pair(house)
    c = house.node("c")
    house.advance(3)
    dispatcher = a.process("dispatcher")
    house.advance(1)
    assert last_members(dispatcher) == Members([("b", "bboot", 0), ("c", "cboot", 0)])
    house.kill(b)
    house.advance(3)
    assert dispatcher.take(NodeSuspected) == [NodeSuspected("b", "bboot")]
    assert dispatcher.take(NodeDied) == [NodeDied("b", "bboot")]
    assert c.statuses["b"] == "dead"
    assert last_members(dispatcher) == Members([("c", "cboot", 0)])


def test_a_dispatcher_that_starts_later_hears_of_the_death_too(house: GroupHouse) -> None:
    a, b = pair(house)
    house.kill(b)
    house.advance(5)
    dispatcher = a.process("dispatcher")
    house.settle()
    assert dispatcher.take(NodeDied) == [NodeDied("b", "bboot")]


def test_a_broken_line_makes_a_node_look_at_once(house: GroupHouse) -> None:
    a, b = pair(house)
    house.kill(b)
    house.network.carried.clear()
    a.host.lost.append(b.address)
    a.step()
    assert [target for source, target, _ in house.network.carried if source == a.address] == [b.address]


@pytest.mark.rule("L4", "M4")
def test_a_group_process_that_is_killed_comes_back_and_nobody_is_declared_dead(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher = a.process("dispatcher")
    house.kill(b)
    house.advance(0.3)
    again = house.node("b", address="10.0.0.8:7", boot=b.boot, number=7)
    house.advance(6)
    assert dispatcher.take(NodeDied) == []
    assert a.statuses == again.statuses == {"a": "alive", "b": "alive"}
    assert last_members(dispatcher) == Members([("b", "bboot", 0)])
    assert [group.address for group in house.store.dispatch.groups(9) if group.node == "b"] == ["10.0.0.8:7"]


@pytest.mark.rule("L4")
def test_a_node_that_is_started_again_says_that_its_former_life_is_over(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher = a.process("dispatcher")
    house.kill(b)
    house.node("b", address=b.address, boot="later")
    house.advance(4)
    assert dispatcher.take(NodeDied) == [NodeDied("b", "bboot")]
    assert last_members(dispatcher) == Members([("b", "later", 0)])


def test_a_node_that_stops_leaves_and_is_not_taken_for_dead(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher = a.process("dispatcher")
    b.group.drain()
    house.advance(GOODBYE_S + 0.1)
    assert b.group.drained
    house.kill(b)
    house.advance(10)
    assert a.statuses["b"] == "left"
    assert dispatcher.take(NodeDied) == dispatcher.take(NodeSuspected) == []
    assert [group.node for group in house.store.dispatch.groups(9)] == ["a"]


def test_a_node_without_others_leaves_at_once(house: GroupHouse) -> None:
    a = house.node("a")
    house.advance(1)
    a.group.drain()
    house.settle()
    assert a.group.drained


def test_a_node_is_gone_when_its_goodbye_is_said_and_waits_for_nobody_who_is_away(house: GroupHouse) -> None:
    a, b = pair(house)
    b.group.drain()
    assert not b.group.drained, "it has to be out of the table"
    house.advance(GOODBYE_S - 0.1)
    assert b.group.drained
    assert a.statuses["b"] == "left"
    house.kill(b)
    house.advance(4)
    a.group.drain()
    house.settle()
    assert a.group.drained, "b was the only other one"


def test_two_nodes_of_one_name_are_an_error_for_the_elder(
    house: GroupHouse, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair(house)
    with caplog.at_level(logging.ERROR, "continuum"):
        house.node("b", address="10.0.0.9:7", boot="twin")
        house.advance(5)
    (line,) = {record.getMessage() for record in caplog.records}
    assert "another node named b runs at 10.0.0.9:7" in line and "--name" in line
    assert len(caplog.records) == 1, "once a minute"
    assert a.statuses["b"] == b.statuses["b"] == "alive"


def test_a_stranger_is_one_line_a_minute_that_says_what_to_do(
    house: GroupHouse, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = pair(house)
    with caplog.at_level(logging.WARNING, "continuum"):
        for _ in range(50):
            a.host.refusals += ["10.0.0.66:7", "", ""]
            house.advance(1)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "10.0.0.66:7 has another cluster key" in lines[0]
    assert all("CONTINUUM_CLUSTER_KEY" in line for line in lines)


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x91" * 10_000, encode_packet("elsewhere", "x:1", Gossip(b""))]
)
def test_what_cannot_be_read_is_counted_and_changes_nothing(house: GroupHouse, data: bytes) -> None:
    a, b = pair(house)
    house.network.carry(b.address, a.address, data)
    house.network.carry(b.address, a.address, encode_packet("memory", b.address, Gossip(b"not gossip")))
    house.settle()
    assert a.group.counts["ignored"] == 2
    assert a.statuses == {"a": "alive", "b": "alive"}


# Routing


@pytest.mark.rule("M2")
def test_a_wake_gets_to_the_engine_of_another_node_in_one_hop(house: GroupHouse) -> None:
    a, b = pair(house)
    router, engine = a.process("router"), b.process("engine-1")
    house.network.carried.clear()
    a.send(router, Route([(b.owner("engine-1"), [RUN, b"s" * 16])]))
    house.settle()
    assert engine.take(Wake) == [Wake([RUN, b"s" * 16])]
    assert [(source, target) for source, target, _ in house.network.carried] == [(a.address, b.address)]


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    "owner",
    [
        "b/default/engine-1/former-9",  # another life of the node
        "b/default/engine-1/bboot-8",  # another incarnation of the process
        "b/default/engine-2/bboot-9",
        "b/other/engine-1/bboot-9",
        "c/default/engine-1/bboot-9",
        "nonsense",
    ],
)
def test_a_wake_for_somebody_else_reaches_nobody(house: GroupHouse, owner: str) -> None:
    a, b = pair(house)
    router, engine = a.process("router"), b.process("engine-1")
    a.send(router, Route([(owner, [RUN])]))
    house.settle()
    assert engine.take(Wake) == []


@pytest.mark.rule("A8", "A12")
def test_a_result_gets_to_the_owner_and_its_settlement_comes_back(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher, engine = a.process("dispatcher"), b.process("engine-1")
    a.send(dispatcher, Forward(b.owner("engine-1"), [RESULT]))
    house.settle()
    assert engine.take(Finished) == [RESULT]
    b.send(engine, Settled([RESULT.key]))
    house.settle()
    assert dispatcher.take(Settled) == [Settled([RESULT.key])]


@pytest.mark.rule("A8")
def test_a_result_that_the_owner_does_not_own_comes_back(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher, engine = a.process("dispatcher"), b.process("engine-1")
    a.send(dispatcher, Forward(b.owner("engine-1"), [RESULT]))
    house.settle()
    b.send(engine, Disowned([RESULT.key]))
    house.settle()
    assert dispatcher.take(Disowned) == [Disowned([RESULT.key])]


@pytest.mark.rule("A8")
@pytest.mark.parametrize("case", ["nobody there", "engine dead", "no key"])
def test_a_result_that_finds_no_way_comes_back_at_once(case: str) -> None:
    house = GroupHouse(secure=case != "no key")
    a, b = pair(house)
    dispatcher, engine = a.process("dispatcher"), b.process("engine-1")
    if case == "engine dead":
        b.kill_process("engine-1")
    owner = "c/default/engine-1/x-1" if case == "nobody there" else b.owner("engine-1")
    a.send(dispatcher, Forward(owner, [RESULT]))
    house.settle()
    assert dispatcher.take(Disowned) == [Disowned([RESULT.key])]
    assert engine.take(Finished) == []


@pytest.mark.rule("M4")
def test_without_a_key_no_result_is_taken_from_a_host(house: GroupHouse) -> None:
    open_house = GroupHouse(secure=False)
    a, b = pair(open_house)
    engine = b.process("engine-1")
    forged = encode_packet("memory", a.address, Results(b.owner("engine-1"), [RESULT]))
    open_house.network.carry(a.address, b.address, forged)
    open_house.settle()
    assert engine.take(Finished) == []


def test_answers_that_nobody_waits_for_are_dropped(house: GroupHouse) -> None:
    a, b = pair(house)
    dispatcher = a.process("dispatcher")
    for _ in range(2):
        answers = encode_packet("memory", b.address, Answers([RESULT.key], [RESULT.key]))
        house.network.carry(b.address, a.address, answers)
    house.settle()
    assert dispatcher.take(Settled) == dispatcher.take(Disowned) == []


def test_a_group_that_is_cut_off_tells_its_roles_that_nobody_is_reached(house: GroupHouse) -> None:
    a, b = pair(house)
    timer = a.process("timer")
    house.network.part(a.address, b.address)
    house.advance(8)
    assert last_members(timer) == Members([])
    house.network.cut.clear()
    house.advance(20)
    assert last_members(timer) == Members([("b", "bboot", 0)])


# What a node publishes


def test_a_node_publishes_its_load_and_its_process_groups(house: GroupHouse) -> None:
    a, b = pair(house)
    engine, worker = a.process("engine-1"), a.process("worker-1")
    for steps in (0, 1000):
        a.send(engine, EngineReady(a.owner("engine-1"), 90, 10, 4, steps // 10, steps))
        a.send(worker, WorkerReady(("default", "gpu"), 8, 3))
        house.advance(6)
    (seen,) = [member for member in b.group.status().members if member.name == "a"]
    assert (seen.load.free, seen.load.live, seen.load.parked) == (90, 10, 4)
    assert (seen.load.slots, seen.load.busy, seen.load.batch) == (8, 3, 10.0)
    assert 10 < seen.load.commits_s < 20
    assert seen.groups == [("engines", "engine-1"), ("queue/default", "worker-1"), ("queue/gpu", "worker-1")]
    roles = b.process("dispatcher")
    house.advance(0.5)
    assert last_members(roles) == Members([("a", "aboot", 90)])
    a.kill_process("worker-1")
    house.advance(4)
    (seen,) = [member for member in b.group.status().members if member.name == "a"]
    assert seen.groups == [("engines", "engine-1")]


def test_entries_change_at_a_bounded_rate(house: GroupHouse) -> None:
    a, b = pair(house)
    engine = a.process("engine-1")
    before = _sequence(b, "a")
    for free in range(200):
        a.send(engine, EngineReady(a.owner("engine-1"), free))
        house.advance(0.05)
    assert 3 <= _sequence(b, "a") - before <= 6, "10 s, every 2 s"


def _sequence(node: GroupNode, name: str) -> int:
    swim = node.group._swim
    assert swim is not None
    return swim.members[name].sequence


def test_whoever_asks_for_the_status_gets_a_snapshot(house: GroupHouse) -> None:
    a, b = pair(house)
    house.network.carried.clear()
    house.network.carry("10.0.0.77:1", a.address, encode_packet("", "", AskStatus()))
    a.step()
    (answer,) = [data for source, target, data in house.network.carried if target == "10.0.0.77:1"]
    sender, message = decode_packet(answer, "memory")
    assert sender == a.address and isinstance(message, StatusAnswer)
    status = decode_status(message.data)
    assert (status.node, status.address, status.secure) == ("a", a.address, True)
    assert {member.name: member.boot for member in status.members} == {"a": "aboot", "b": b.boot}
