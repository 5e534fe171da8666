"""Versions of workflows: who may claim a run whose code is not everywhere, stamps, and what is forgotten."""

from __future__ import annotations

from uuid import UUID

import pytest

from continuum.ports.dispatch import WANTED_S
from continuum.ports.journal import ClaimedRun, Lease, Release
from tests.integration.conformance.scene import (
    HOUR_S,
    OTHER,
    OWNER,
    Scene,
    completed,
    due_timer,
    far_timer,
    step,
    task,
)

FLOW, OLD, NEW = "shop.checkout", "old" * 8, "new" * 8
WHY = "no code is loaded"


def loads(scene: Scene, owner: str, *versions: tuple[str, str], ttl_s: float = HOUR_S) -> None:
    scene.dispatch.register(owner, owner[:2], "ipc://n", ttl_s, versions)


def claim(scene: Scene, owner: str) -> list[ClaimedRun]:
    return scene.dispatch.claim(owner, 100)


def lease_of(run: ClaimedRun) -> Lease:
    return Lease(run.run_id, run.token)


def parked(scene: Scene, version_hash: str | None = OLD, due_in_s: float = HOUR_S) -> UUID:
    """A run that OWNER has taken and given back, because it lacks its code."""
    run_id = scene.insert(workflow=FLOW, version_hash=version_hash)
    (run,) = claim(scene, OWNER)
    scene.journal.release([Release(run_id, run.token, due_in_s, WHY, lacks_code=True)])
    return run_id


@pytest.mark.rule("D4")
def test_a_run_without_its_code_is_suspended_and_not_claimed_again_before_its_pause_is_over(
    scene: Scene,
) -> None:
    loads(scene, OWNER, (FLOW, NEW))
    run_id = parked(scene)
    row = scene.row(run_id)
    assert (row.state, row.owner, row.attention, row.version_hash) == ("suspended", None, WHY, OLD)
    assert claim(scene, OWNER) == []
    assert claim(scene, OTHER) == [], "nor by one that has no code at all"
    assert scene.dispatch.claim_due(OWNER, 100) == []
    assert scene.dispatch.next_due([]).run_in_s is None


@pytest.mark.rule("D4")
def test_an_owner_that_has_the_code_takes_the_run_at_once(scene: Scene) -> None:
    run_id = parked(scene)
    loads(scene, OTHER, ("shop.other", OLD), (FLOW, NEW))
    assert claim(scene, OTHER) == [], "the version of another workflow is another version"
    assert scene.dispatch.next_due([], [OWNER, OTHER]).run_in_s is None
    loads(scene, OTHER, (FLOW, NEW), (FLOW, OLD))
    assert scene.dispatch.next_due([], [OWNER]).run_in_s is None
    assert scene.dispatch.next_due([], [OWNER, OTHER]).run_in_s == WANTED_S
    (run,) = claim(scene, OTHER)
    assert (run.run_id, run.version_hash, run.fresh) == (run_id, OLD, False)
    assert scene.row(run_id).attention is None, "it does not wait any more"
    assert scene.dispatch.next_due([], [OWNER, OTHER]).run_in_s is None


@pytest.mark.rule("D4")
def test_whatever_wakes_a_run_without_its_code_brings_no_claim_within_its_pause(scene: Scene) -> None:
    run_id = scene.insert(workflow=FLOW, version_hash=OLD)
    (run,) = claim(scene, OWNER)
    scene.commit(
        step(lease_of(run), 0, 1, timers_set=(due_timer(1), far_timer(2)), tasks_set=(task(3),)),
    )
    scene.journal.release([Release(run_id, run.token, HOUR_S, WHY, lacks_code=True)])
    for _ in range(3):
        scene.signal(run_id, "approved")
        scene.dispatch.offer_outcomes([completed(lease_of(run), 3)])
        scene.mailbox.due_timers([(run_id, 1)])
        assert claim(scene, OWNER) == []
    assert scene.row(run_id).state == "suspended"
    loads(scene, OTHER, (FLOW, OLD))
    (woken,) = claim(scene, OTHER)
    assert len(scene.mail(lease_of(woken)).signals) == 3, "and nothing of it is lost"


@pytest.mark.rule("D4")
def test_when_its_pause_is_over_any_owner_may_try_and_it_is_claimed_once(scene: Scene) -> None:
    run_id = parked(scene, due_in_s=0.0)
    (run,) = claim(scene, OTHER)
    assert run.run_id == run_id
    scene.journal.release([Release(run_id, run.token, HOUR_S, WHY, lacks_code=True)])
    assert claim(scene, OTHER) == []
    assert claim(scene, OWNER) == []


@pytest.mark.rule("D4")
def test_a_run_that_has_no_version_yet_is_taken_by_whoever_has_the_workflow(scene: Scene) -> None:
    run_id = parked(scene, version_hash=None)
    loads(scene, OTHER, ("shop.other", NEW))
    assert claim(scene, OTHER) == []
    loads(scene, OTHER, (FLOW, NEW))
    assert [run.run_id for run in claim(scene, OTHER)] == [run_id]


@pytest.mark.rule("D4")
def test_the_claim_that_finds_the_code_leaves_no_pause_behind(scene: Scene) -> None:
    run_id = parked(scene)
    loads(scene, OTHER, (FLOW, OLD))
    (run,) = claim(scene, OTHER)
    scene.journal.release([Release(run_id, run.token, 0.0)])
    assert [again.run_id for again in claim(scene, OWNER)] == [run_id]


def test_a_run_without_its_code_can_be_cancelled_and_is_gone(scene: Scene) -> None:
    run_id = parked(scene)
    loads(scene, OTHER, (FLOW, OLD))
    assert scene.catalog.cancel(run_id, None)[0] == "cancelled"
    assert claim(scene, OTHER) == []


def test_the_code_of_a_dead_owner_claims_nothing(scene: Scene) -> None:
    parked(scene)
    loads(scene, OTHER, (FLOW, OLD), ttl_s=-1.0)
    assert claim(scene, OTHER) == []


@pytest.mark.rule("D3")
def test_a_run_that_was_started_by_name_gets_its_version_with_its_first_commit(scene: Scene) -> None:
    run_id = scene.insert(workflow=FLOW, version_hash=None)
    (run,) = claim(scene, OWNER)
    assert run.version_hash is None
    lease = lease_of(run)
    commit = step(lease, 0, 1)
    commit.version_hash = NEW
    assert scene.commit(commit)
    assert scene.row(run_id).version_hash == NEW
    assert scene.commit(step(lease, 1, 1)), "a commit that says nothing leaves it"
    assert scene.row(run_id).version_hash == NEW
    assert scene.load(lease).run.version_hash == NEW
    scene.release(lease, 0.0)
    assert [again.version_hash for again in claim(scene, OTHER)] == [NEW]


@pytest.mark.rule("D5", "L1")
def test_a_stamp_needs_no_events_and_is_fenced_like_them(scene: Scene) -> None:
    run_id = scene.insert(workflow=FLOW, version_hash=OLD)
    (run,) = claim(scene, OWNER)
    lease = lease_of(run)
    stale = step(lease, 5, 0)
    stale.version_hash = NEW
    assert scene.commit(stale) == set()
    assert scene.row(run_id).version_hash == OLD
    stamp = step(lease, 0, 0, state="suspended")
    stamp.version_hash = NEW
    assert scene.commit(stamp) == {run_id}
    assert (scene.row(run_id).version_hash, scene.row(run_id).state) == (NEW, "suspended")
    assert scene.seqs(run_id) == []


def test_in_one_batch_each_run_gets_its_own_stamp(scene: Scene) -> None:
    first, second = scene.leased(), scene.leased()
    stamped = step(first, 0, 1)
    stamped.version_hash = NEW
    assert len(scene.commit(stamped, step(second, 0, 1))) == 2
    assert [scene.row(lease.run_id).version_hash for lease in (first, second)] == [NEW, None]


def listed(scene: Scene) -> list[tuple[str, str, int, int, bool]]:
    return [
        (row.workflow, row.version_hash, row.runs, row.engines, row.first_loaded_at is not None)
        for row in scene.catalog.versions()
    ]


@pytest.mark.rule("D6")
def test_versions_are_listed_with_the_runs_and_the_engines_that_have_them(scene: Scene) -> None:
    scene.catalog.register_workflows([(FLOW, OLD), ("a.flow", OLD)])
    scene.catalog.register_workflows([(FLOW, NEW), (FLOW, OLD)])
    loads(scene, OWNER, (FLOW, NEW))
    loads(scene, OTHER, (FLOW, NEW), (FLOW, OLD))
    for version_hash in (OLD, OLD, None, "unknown"):
        scene.insert(workflow=FLOW, version_hash=version_hash)
    ended = scene.insert(workflow=FLOW, version_hash=NEW)
    scene.catalog.cancel(ended, None)
    assert listed(scene) == [
        ("a.flow", OLD, 0, 0, True),
        (FLOW, OLD, 2, 1, True),
        (FLOW, NEW, 0, 2, True),
        (FLOW, "unknown", 1, 0, False),
    ]
    scene.dispatch.retire([OTHER])
    assert listed(scene)[1:3] == [(FLOW, OLD, 2, 0, True), (FLOW, NEW, 0, 1, True)]


@pytest.mark.rule("D6")
def test_a_version_that_is_pinned_or_loaded_is_never_collected(scene: Scene) -> None:
    for state in ("pinned", "suspended", "loaded", "ended", "nobody's"):
        scene.catalog.register_workflows([(FLOW, state)])
    scene.insert(workflow=FLOW, version_hash="pinned")
    suspended = scene.insert(workflow=FLOW, version_hash="suspended")
    for run in claim(scene, OWNER):
        scene.journal.release([Release(run.run_id, run.token, None)])
    assert scene.row(suspended).state == "suspended"
    scene.catalog.cancel(scene.insert(workflow=FLOW, version_hash="ended"), None)
    loads(scene, OTHER, (FLOW, "loaded"))
    assert scene.catalog.collect_versions() == [(FLOW, "ended"), (FLOW, "nobody's")]
    assert sorted(row.version_hash for row in scene.catalog.versions()) == ["loaded", "pinned", "suspended"]
    assert scene.catalog.collect_versions() == []


@pytest.mark.rule("D6")
def test_what_an_engine_loads_is_registered_again_after_it_was_collected(scene: Scene) -> None:
    loads(scene, OWNER, (FLOW, OLD))
    scene.dispatch.retire([OWNER])
    assert scene.catalog.collect_versions() == [(FLOW, OLD)]
    loads(scene, OWNER, (FLOW, OLD))
    assert listed(scene) == [(FLOW, OLD, 0, 1, True)]
    assert scene.catalog.workflows() == [FLOW]
