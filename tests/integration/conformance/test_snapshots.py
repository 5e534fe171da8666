"""Snapshots in the store: kept under a lease, read instead of their events, gone with the run."""

from __future__ import annotations

import pytest

from continuum.ports.journal import Lease, Snapshot
from tests.integration.conformance.scene import Scene, step

SNAPSHOT = Snapshot(2, 1, "v1", b"blob")


@pytest.mark.rule("P1")
def test_a_run_with_a_snapshot_is_loaded_with_it_and_the_events_after_it(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 3))
    scene.journal.save_snapshot(lease, SNAPSHOT)
    (loaded,) = scene.journal.load([lease])
    assert (loaded.snapshot, [event.seq for event in loaded.events]) == (SNAPSHOT, [3])
    (whole,) = scene.journal.load([lease], snapshots=False)
    assert (whole.snapshot, [event.seq for event in whole.events]) == (None, [1, 2, 3])


def test_a_later_snapshot_replaces_an_earlier_one(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 3))
    scene.journal.save_snapshot(lease, SNAPSHOT)
    later = Snapshot(3, 2, "v2", b"other")
    scene.journal.save_snapshot(lease, later)
    (loaded,) = scene.journal.load([lease])
    assert (loaded.snapshot, loaded.events) == (later, ())


@pytest.mark.rule("L1")
def test_a_snapshot_under_a_stale_lease_is_not_kept(scene: Scene) -> None:
    lease = scene.leased()
    scene.commit(step(lease, 0, 2))
    scene.journal.save_snapshot(Lease(lease.run_id, lease.token + 1), SNAPSHOT)
    (loaded,) = scene.journal.load([lease])
    assert (loaded.snapshot, len(loaded.events)) == (None, 2)


def test_runs_with_and_without_snapshots_are_loaded_together(scene: Scene) -> None:
    leases = [scene.leased() for _ in range(2)]
    scene.commit(*(step(lease, 0, 3) for lease in leases))
    scene.journal.save_snapshot(leases[0], SNAPSHOT)
    loaded = {run.run.run_id: len(run.events) for run in scene.journal.load(leases)}
    assert loaded == {leases[0].run_id: 1, leases[1].run_id: 3}
