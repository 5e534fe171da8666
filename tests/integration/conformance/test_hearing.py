"""Owners that hear by themselves: which runs are leased to them as they are inserted."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from continuum.ports.journal import Lease
from tests.integration.conformance.scene import HOUR_S, OTHER, OWNER, Scene, Store, seed, step, until

CODE = [("shop.checkout", "v1"), ("shop.checkout", "v2")]
CHANNEL = "a channel"


@pytest.fixture
def engine(scene: Scene, beside: Callable[[], Store]) -> Store:
    """A session of the owner's, which lives while that is open."""
    engine = beside()
    for owner in (OWNER, OTHER):
        engine.dispatch.hold(owner)
        engine.dispatch.register(owner, "n1", "", HOUR_S, CODE)
    assert engine.dispatch.hear(OWNER, CHANNEL, 7)
    return engine


def owner_of(scene: Scene, run_id: UUID) -> str | None:
    return scene.row(run_id).owner


def leases_of(scene: Scene, owner: str) -> list[Lease]:
    return scene.journal.leased_since(owner, 0)


@pytest.mark.rule("L1", "B6")
def test_a_run_that_comes_alone_is_leased_to_who_hears_and_is_held_as_if_it_had_been_claimed(
    scene: Scene, engine: Store
) -> None:
    run_id = scene.insert()
    row = scene.row(run_id)
    assert (row.owner, row.state) == (OWNER, "running") and row.started_at is not None
    (lease,) = leases_of(scene, OWNER)
    assert lease.run_id == run_id
    beat = scene.dispatch.heartbeat(OWNER, HOUR_S)
    assert beat is not None and beat.token == lease.token, "so it is found if the notice is lost"
    (loaded,) = scene.journal.load([lease])
    assert (loaded.run.args, loaded.run.previous_owner, loaded.events) == (b"args", None, ())
    assert scene.dispatch.claim(OTHER, 10) == scene.dispatch.claim_due(OTHER, 10) == []
    assert scene.commit(step(lease, 0, 1)) and not scene.commit(step(Lease(run_id, lease.token + 1), 1, 1))


def test_tokens_of_such_leases_are_larger_than_any_before(scene: Scene, engine: Store) -> None:
    before = scene.leased(OTHER).token
    scene.insert()
    (lease,) = leases_of(scene, OWNER)
    assert before < lease.token < scene.leased(OTHER).token


def test_a_run_that_exists_stays_as_it_is(scene: Scene, engine: Store) -> None:
    scene.dispatch.hear(OWNER, CHANNEL, 0)
    run_id = scene.insert()
    scene.dispatch.hear(OWNER, CHANNEL, 7)
    (again,) = scene.catalog.insert([seed(id=run_id)])
    assert not again.created and owner_of(scene, run_id) is None


def test_several_runs_together_and_later_ones_are_left_to_the_dispatchers(
    scene: Scene, engine: Store
) -> None:
    several = [row.run_id for row in scene.catalog.insert([seed(), seed()])]
    later = scene.insert(delay_s=HOUR_S)
    assert [owner_of(scene, run_id) for run_id in (*several, later)] == [None] * 3
    assert {run.run_id for run in scene.dispatch.claim(OTHER, 10)} == set(several)


@pytest.mark.parametrize("room", [3, 9])
def test_of_two_that_hear_the_freer_one_gets_the_run(scene: Scene, engine: Store, room: int) -> None:
    scene.dispatch.hear(OTHER, "another channel", room)
    assert owner_of(scene, scene.insert()) == (OTHER if room > 7 else OWNER)


def test_who_has_no_room_or_hears_no_more_gets_none(scene: Scene, engine: Store) -> None:
    for channel in (CHANNEL, None):
        assert scene.dispatch.hear(OWNER, channel, 0)
        assert owner_of(scene, scene.insert()) is None


@pytest.mark.rule("D4")
def test_a_run_goes_only_to_who_has_its_code(scene: Scene, engine: Store) -> None:
    known = [scene.insert(version_hash=version) for version in ("v1", "v2")]
    unknown = [scene.insert(version_hash="v3"), scene.insert(workflow="shop.refund")]
    assert [owner_of(scene, run_id) for run_id in known] == [OWNER] * 2
    assert [owner_of(scene, run_id) for run_id in unknown] == [None] * 2


@pytest.mark.rule("L2")
def test_an_owner_that_has_expired_gets_none_and_cannot_say_that_it_hears(
    scene: Scene, engine: Store
) -> None:
    scene.dispatch.retire([OWNER])
    assert owner_of(scene, scene.insert()) is None
    assert not scene.dispatch.hear(OWNER, CHANNEL, 7)
    assert not scene.dispatch.hear("n9/default/engine-1/b9-1", CHANNEL, 7)


@pytest.mark.rule("B3")
def test_an_owner_whose_sessions_have_ended_gets_none_before_anybody_has_noticed_its_death(
    scene: Scene, engine: Store
) -> None:
    engine.close()
    until(lambda: OWNER in scene.dispatch.look_for_gone("b9", 10).gone)
    run_id = scene.insert()
    assert [run.run_id for run in scene.dispatch.claim(OTHER, 10)] == [run_id]


@pytest.mark.rule("B3")
def test_what_was_leased_to_an_owner_that_dies_is_claimed_by_another(scene: Scene, engine: Store) -> None:
    run_id = scene.insert()
    scene.dispatch.retire([OWNER])
    (claimed,) = scene.dispatch.claim(OTHER, 10)
    assert (claimed.run_id, claimed.previous_owner, claimed.fresh) == (run_id, OWNER, False)
