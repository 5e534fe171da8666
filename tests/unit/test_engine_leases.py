"""The engine and its leases: which runs it finds, keeps, gives back and loses."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, cast
from uuid import UUID

import pytest

from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.ids import Owner
from continuum.model.run import RunSeed
from continuum.ports.dispatch import Beat, Dispatch
from continuum.ports.journal import Lease
from continuum.ports.offload import Desk
from continuum.runtime.limits import EngineLimits
from continuum.runtime.outgoing import Outgoing
from continuum.wire.messages import Ask, EngineReady
from tests.unit.engine_house import OWNER, RUN, House, chain, waits
from tests.unit.stage import BOOT, INSTANCE, NODE, Stage


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.rule("L6", "L1")
def test_a_fenced_run_is_dropped_at_once_said_in_the_log_and_journaled_no_more(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "continuum")
    house.start(chain, 3)
    (task,) = house.executes()
    store = house.stage.store
    store.dispatch.retire([OWNER])
    other = house.stage.owner("engine-2")
    assert [run.run_id for run in store.dispatch.claim(other, 1)] == [RUN]
    house.finish(task)
    assert house.types() == ["activity_scheduled"], "the stale owner wrote nothing"
    assert house.engine.runs == 0
    assert any("refused" in record.getMessage() for record in caplog.records)
    assert house.executes() == []


@pytest.mark.rule("L7", "O5")
def test_a_graceful_stop_finishes_what_runs_and_gives_back_the_rest(house: House) -> None:
    parked = house.start(waits, number=1)
    busy = house.start(chain, 5, number=2)
    (task,) = house.executes()
    house.engine.drain()
    house.settle()
    assert not house.engine.drained
    said = house.dispatcher.take(EngineReady)[-1]
    assert said == EngineReady(OWNER, 0, live=2, parked=1, commits=2, steps=2)
    assert house.stage.store.catalog.get(parked).owner is None  # type: ignore[union-attr]
    house.finish(task)
    assert house.engine.drained
    assert house.executes() == [], "what follows waits for the next owner"
    other = house.stage.owner("engine-2")
    claimed = house.stage.store.dispatch.claim(other, 10)
    assert [run.run_id for run in claimed] == [], "nothing has to be resumed before its activity has run"
    (queued,) = house.stage.store.dispatch.claim_tasks(other, ["default"], 10)
    assert (queued.run_id, queued.seq, queued.attempt) == (busy, 3, 1)


@pytest.mark.rule("B6")
def test_a_lease_that_no_message_announced_is_found_by_the_scan(house: House) -> None:
    seed = RunSeed(id=RUN, workflow=chain.name, args=payload.encode([[0], {}]))
    house.stage.store.catalog.insert([seed])
    house.stage.store.dispatch.claim(OWNER, 1)
    house.advance(25)
    assert house.state() == "completed"


@pytest.mark.rule("B6")
def test_a_lease_is_found_also_when_newer_ones_have_been_announced(house: House) -> None:
    dispatch = house.stage.store.dispatch
    for number in (1, 2, 3):
        seed = RunSeed(id=UUID(int=number), workflow=waits.name, args=payload.encode([[], {}]))
        house.stage.store.catalog.insert([seed])
        if number == 2:
            dispatch.claim(OWNER, 1)  # nobody says so
        else:
            house.assign()
    assert house.engine.runs == 2
    house.advance(25)
    assert house.engine.runs == 3


class Unborn:
    """The journal and the owners of a database in which the leases of some runs are not committed yet."""

    def __init__(self, store: MemoryStore, run_ids: set[UUID]) -> None:
        self._store, self._run_ids = store, run_ids
        self.load, self.commit, self.mail = store.journal.load, store.journal.commit, store.journal.mail
        self.keep, self.ended, self.weigh = store.journal.keep, store.journal.ended, store.journal.weigh
        self.release, self.save_snapshot = store.journal.release, store.journal.save_snapshot

    def leased_since(self, owner: str, token: int) -> list[Lease]:
        leases = self._store.journal.leased_since(owner, token)
        return [lease for lease in leases if lease.run_id not in self._run_ids]

    def heartbeat(self, owner: str, ttl_s: float) -> Beat | None:
        beat = self._store.dispatch.heartbeat(owner, ttl_s)
        tokens = [lease.token for lease in self.leased_since(owner, 0)]
        return beat and Beat(beat.now, max(tokens, default=0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.dispatch, name)


@pytest.mark.rule("B6")
@pytest.mark.parametrize("late_s", [15, 29, 45])
def test_a_lease_that_is_committed_long_after_its_token_was_taken_is_found_within_30_s(
    house: House, late_s: float
) -> None:
    late, unborn = UUID(int=7), {UUID(int=7)}
    database = Unborn(house.stage.store, unborn)
    house.desks.use(Desk(database, cast(Dispatch, database)))
    house.start(waits, number=1)
    seed = RunSeed(id=late, workflow=chain.name, args=payload.encode([[0], {}]))
    house.stage.store.catalog.insert([seed], owner=OWNER)
    for number in range(2, 2 + int(late_s / 5)):
        house.advance(5)
        house.start(waits, number=number + 10)
    assert house.state(late) == "running"
    unborn.clear()
    house.advance(30)
    assert house.state(late) == "completed"


@pytest.mark.rule("B6")
def test_looks_that_come_quickly_do_not_make_a_token_old(house: House) -> None:
    late, unborn = UUID(int=7), {UUID(int=7)}
    database = Unborn(house.stage.store, unborn)
    house.desks.use(Desk(database, cast(Dispatch, database)))
    seed = RunSeed(id=late, workflow=chain.name, args=payload.encode([[0], {}]))
    house.stage.store.catalog.insert([seed], owner=OWNER)
    for number in range(30):
        house.start(waits, number=number + 10)
        house.router.post.hint("engine-1", Ask(OWNER))
        house.settle()
    unborn.clear()
    house.advance(30)
    assert house.state(late) == "completed"


def test_an_engine_that_knows_all_of_its_leases_does_not_look_for_others(house: House) -> None:
    house.start(waits)
    house.advance(10)
    house.settle()
    asked = Counter[str]()
    house.advance(70)
    house.stage.store.fault = lambda operation: asked.update([operation])
    house.advance(20)
    assert (asked["heartbeat"], asked["leased_since"]) == (2, 0)


def test_beyond_its_limit_the_engine_gives_back_parked_runs_the_oldest_first() -> None:
    house = House(limits=EngineLimits(runs_max=10))
    for number in range(1, 13):
        house.start(waits, number=number)
    house.settle()
    assert house.engine.runs == 9
    assert [house.stage.store.catalog.get(UUID(int=n)).owner for n in (1, 2, 3)] == [None] * 3  # type: ignore[union-attr]
    assert house.stage.store.dispatch.claim(OWNER, 10) == [], "evicted runs sleep until something wakes them"


@pytest.mark.rule("L2")
def test_an_owner_that_was_found_expired_ends_its_process(house: House) -> None:
    house.start(waits)
    house.stage.store.dispatch.retire([OWNER])
    house.advance(11)
    assert house.engine.lost


@pytest.mark.rule("L4")
def test_an_owner_that_is_asked_for_renews_its_row_at_once_and_only_for_itself(house: House) -> None:
    dispatch = house.stage.store.dispatch
    house.stage.clock.now += 1
    for owner, silent in ((str(Owner(NODE, INSTANCE, "engine-1", "b-0")), [OWNER]), (OWNER, [])):
        house.advance(1)
        asked = dispatch.ask(NODE, BOOT)
        house.router.post.hint("engine-1", Ask(owner))
        house.settle()
        mine = [row for row in asked if row.owner == OWNER]
        if silent:
            assert [row.expires_us for row in dispatch.ask(NODE, BOOT)] == [row.expires_us for row in mine]
        else:
            assert dispatch.retire_silent(mine) == []


@pytest.mark.rule("L4")
def test_an_engine_is_held_by_its_session_from_its_registration_on(house: House) -> None:
    other = house.stage.store.beside()
    assert other.dispatch.look_for_gone("x", 10).gone == []
    house.stage.store.close()
    assert other.dispatch.look_for_gone("x", 10).gone == [OWNER]


def test_an_engine_says_that_it_takes_runs_as_soon_as_it_is_registered() -> None:
    stage = Stage()
    dispatcher = stage.extra("dispatcher")
    outgoing = Outgoing(stage.ports("engine-1"))
    outgoing.neighbours.up(*dispatcher.peer)
    outgoing.tick(lambda: None, 0)
    stage.settle()
    assert dispatcher.take(EngineReady) == []
    outgoing.tick(lambda: EngineReady(OWNER, 5), 5)
    stage.settle()
    assert dispatcher.take(EngineReady) == [EngineReady(OWNER, 5)], "and not with the next announcement"
