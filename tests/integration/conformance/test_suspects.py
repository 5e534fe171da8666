"""Runs that engines have died of: counted, set aside, resumed alone, and let go again (B4)."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from continuum.ports.dispatch import Death
from continuum.ports.journal import ClaimedRun, Lease, Release
from tests.integration.conformance.scene import HOUR_S, OTHER, OWNER, Scene, completed, step, task

FLOW, HASH = "shop.checkout", "hash" * 8
MAX = 3


def lone(scene: Scene, number: int = 1) -> str:
    """A new lone engine of node n1, which has the code."""
    owner = f"n1/default/engine-alone/b1-{number}"
    scene.dispatch.register(owner, "n1", "ipc://n", HOUR_S, [(FLOW, HASH)])
    return owner


def taken(scene: Scene, owner: str = OWNER) -> ClaimedRun:
    """A run that ``owner`` has claimed."""
    scene.insert(workflow=FLOW, version_hash=HASH)
    (run,) = scene.dispatch.claim(owner, 1)
    return run


def die(scene: Scene, run_id: UUID, owner: str) -> None:
    """The owner dies in the code of the run, and its dispatcher says so."""
    scene.dispatch.blame([Death(run_id, owner)], MAX)
    scene.dispatch.retire([owner])


def died_of(scene: Scene, deaths: int, deaths_max: int = MAX) -> UUID:
    """A run that so many engines have died of without an event in between. All deaths but the last one are told when
    the next engine has claimed the run already, so that no pause has to be waited for."""
    owners = [f"n{number}/default/engine-1/b-1" for number in range(deaths)]
    run_id = scene.insert(workflow=FLOW, version_hash=HASH)
    for owner, before in zip(owners, [None, *owners], strict=False):
        scene.dispatch.register(owner, "n", "ipc://n", HOUR_S)
        assert [run.run_id for run in scene.dispatch.claim(owner, 1)] == [run_id]
        if before is not None:
            scene.dispatch.blame([Death(run_id, before)], deaths_max)
        if owner != owners[-1]:
            scene.dispatch.retire([owner])
    scene.dispatch.blame([Death(run_id, owners[-1])], deaths_max)
    return run_id


@pytest.mark.rule("B4")
def test_a_run_that_an_engine_died_of_is_set_aside_and_no_other_run_of_that_engine_is(scene: Scene) -> None:
    run, neighbour = taken(scene), taken(scene)
    die(scene, run.run_id, OWNER)
    assert [claimed.run_id for claimed in scene.dispatch.claim(OTHER, 10)] == [neighbour.run_id]
    row = scene.row(run.run_id)
    assert (row.state, row.owner) == ("suspended", None)
    assert row.attention is not None
    assert row.attention.startswith(f"engine deaths: 1 of {MAX}; ")
    assert scene.dispatch.next_due([]).run_in_s is None, "it is due for no ordinary claim"


@pytest.mark.rule("B4")
@pytest.mark.parametrize(("deaths", "pause_s"), [(1, 0), (2, 1), (3, 4), (4, 16), (5, 60), (40, 60)])
def test_the_first_death_leads_to_a_trial_at_once_and_each_further_one_to_a_longer_pause(
    scene: Scene, deaths: int, pause_s: int
) -> None:
    run_id = died_of(scene, deaths, deaths_max=99)
    owner = lone(scene)
    wait_s = scene.dispatch.next_due([], [owner]).suspect_in_s
    assert wait_s is not None
    assert pause_s - 1 < wait_s <= pause_s
    tried = [run.run_id for run in scene.dispatch.claim_suspect(owner)]
    assert tried == ([run_id] if deaths == 1 else []), "not before its pause is over"
    assert (scene.row(run_id).attention is None) == (deaths == 1)


@pytest.mark.rule("B4")
def test_an_owner_that_never_had_the_run_is_not_believed(scene: Scene) -> None:
    run = taken(scene)
    scene.dispatch.blame([Death(run.run_id, OTHER)], MAX)
    assert (scene.row(run.run_id).owner, scene.row(run.run_id).attention) == (OWNER, None)


@pytest.mark.rule("B4")
def test_a_death_told_twice_counts_once(scene: Scene) -> None:
    run = taken(scene)
    for _ in range(5):
        die(scene, run.run_id, OWNER)
    assert str(scene.row(run.run_id).attention).startswith("engine deaths: 1 of 3; ")


@pytest.mark.rule("B4")
def test_whatever_wakes_a_run_that_was_set_aside_brings_no_claim_and_nothing_is_lost(scene: Scene) -> None:
    run = taken(scene)
    lease = Lease(run.run_id, run.token)
    scene.commit(step(lease, 0, 1, tasks_set=(task(1),)))
    die(scene, run.run_id, OWNER)
    scene.signal(run.run_id, "approved")
    scene.dispatch.offer_outcomes([completed(lease, 1)])
    assert scene.dispatch.claim(OTHER, 10) == []
    (claimed,) = scene.dispatch.claim_suspect(lone(scene))
    mail = scene.mail(Lease(claimed.run_id, claimed.token))
    assert (len(mail.signals), len(mail.outcomes)) == (1, 1)


@pytest.mark.rule("B4")
def test_the_lone_engine_gets_one_run_at_a_time_the_one_that_waits_longest(scene: Scene) -> None:
    runs = [taken(scene) for _ in range(3)]
    for run in runs:
        scene.dispatch.blame([Death(run.run_id, OWNER)], MAX)
    owner = lone(scene)
    order = [scene.dispatch.claim_suspect(owner)[0].run_id for _ in runs]
    assert sorted(order) == sorted(run.run_id for run in runs)
    assert order == [run.run_id for run in runs] or len(
        {scene.row(run.run_id).created_at for run in runs}
    ) < len(runs)
    assert scene.dispatch.claim_suspect(owner) == []
    assert scene.dispatch.next_due([], [owner]).suspect_in_s is None


@pytest.mark.rule("B4")
def test_a_run_that_survived_alone_is_a_run_like_any_other(scene: Scene) -> None:
    run = taken(scene)
    die(scene, run.run_id, OWNER)
    owner = lone(scene)
    (claimed,) = scene.dispatch.claim_suspect(owner)
    assert scene.commit(step(Lease(claimed.run_id, claimed.token), 0, 1))
    scene.journal.release([Release(claimed.run_id, claimed.token, 0.0)])
    (again,) = scene.dispatch.claim(OTHER, 10)
    assert again.run_id == run.run_id
    die(scene, run.run_id, OTHER)
    assert str(scene.row(run.run_id).attention).startswith("engine deaths: 1 of 3; "), "it had got ahead"


@pytest.mark.rule("B4")
def test_a_run_at_the_limit_stays_suspended_with_the_reason_until_a_person_resumes_it(scene: Scene) -> None:
    run_id = died_of(scene, MAX)
    row = scene.row(run_id)
    assert row.state == "suspended"
    assert "engine deaths: 3 of 3; " in str(row.attention)
    assert "last in n2/default/engine-1/b-1, " in str(row.attention)
    assert f"continuum run resume {run_id}" in str(row.attention)
    owner = lone(scene)
    scene.signal(run_id, "approved")
    assert scene.dispatch.claim_suspect(owner) == []
    assert scene.dispatch.claim(OTHER, 10) == []
    assert scene.dispatch.next_due([], [owner]).suspect_in_s is None
    assert scene.catalog.resume(run_id)[0] == "resumed"
    assert scene.row(run_id).attention is None
    assert scene.dispatch.claim(OTHER, 10) == [], "it is tried alone first"
    assert [run.run_id for run in scene.dispatch.claim_suspect(owner)] == [run_id]
    die(scene, run_id, owner)
    assert str(scene.row(run_id).attention).startswith("engine deaths: 1 of 3; ")


def test_only_what_was_set_aside_can_be_resumed(scene: Scene) -> None:
    assert scene.catalog.resume(uuid4()) == ("not_found", None)
    run = taken(scene)
    assert scene.catalog.resume(run.run_id) == ("not_set_aside", "running")
    scene.catalog.cancel(run.run_id, None)
    assert scene.catalog.resume(run.run_id) == ("terminal", "cancelled")


def test_a_run_that_was_set_aside_can_be_cancelled_and_is_gone(scene: Scene) -> None:
    run_id = died_of(scene, MAX)
    waiting = taken(scene, OTHER)
    scene.dispatch.blame([Death(waiting.run_id, OTHER)], MAX)
    for doomed in (run_id, waiting.run_id):
        assert scene.catalog.cancel(doomed, None)[0] == "cancelled"
    owner = lone(scene)
    assert scene.dispatch.claim_suspect(owner) == []
    assert scene.dispatch.next_due([], [owner]).suspect_in_s is None


@pytest.mark.rule("B4")
def test_a_death_that_is_told_when_somebody_has_claimed_the_run_already_is_counted_and_takes_nothing_away(
    scene: Scene,
) -> None:
    run = taken(scene)
    scene.dispatch.retire([OWNER])
    (claimed,) = scene.dispatch.claim(OTHER, 10)
    scene.dispatch.blame([Death(run.run_id, OWNER)], MAX)
    assert scene.row(run.run_id).owner == OTHER
    assert scene.commit(step(Lease(claimed.run_id, claimed.token), 0, 0)), "its lease holds"
    die(scene, run.run_id, OTHER)
    assert str(scene.row(run.run_id).attention).startswith("engine deaths: 2 of 3; ")


@pytest.mark.rule("B4", "D4")
def test_an_engine_without_the_code_leaves_the_run_for_a_minute_to_those_that_have_it(scene: Scene) -> None:
    run = taken(scene)
    die(scene, run.run_id, OWNER)
    scene.dispatch.register(OTHER, "n2", "ipc://n2", HOUR_S)
    assert scene.dispatch.claim_suspect(OTHER) == []
    wait_s = scene.dispatch.next_due([], [OTHER]).suspect_in_s
    assert wait_s is not None
    assert 50 < wait_s <= 60
    assert len(scene.dispatch.claim_suspect(lone(scene))) == 1


@pytest.mark.rule("L1")
def test_what_a_blamed_owner_still_tries_to_write_changes_nothing(scene: Scene) -> None:
    run = taken(scene)
    scene.dispatch.blame([Death(run.run_id, OWNER)], MAX)
    assert scene.commit(step(Lease(run.run_id, run.token), 0, 1)) == set()
    assert scene.seqs(run.run_id) == []
