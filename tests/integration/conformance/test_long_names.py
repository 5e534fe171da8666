"""The longest names that are taken anywhere fit into every index of a store, however little they can be compressed."""

from __future__ import annotations

from random import Random
from string import ascii_letters

from continuum.core.options import NAME_BYTES_MAX
from continuum.ports.dispatch import Dispatch
from continuum.ports.journal import KeptResult, Release, ResultKey, TaskRow
from tests.integration.conformance.scene import OWNER, Scene, step


def longest(seed: int) -> str:
    return "".join(Random(seed).choices(ascii_letters, k=NAME_BYTES_MAX))


def test_the_longest_name_of_a_workflow_can_be_run_looked_for_and_parked(scene: Scene) -> None:
    name, namespace = longest(1), longest(2)
    dispatch: Dispatch = scene.dispatch
    dispatch.register(OWNER, "n1", "", 30.0, [(name, "v1" * 32)])
    run_id = scene.insert(
        workflow=name, namespace=namespace, version_hash="v1" * 32, attributes={longest(3): 1}
    )
    lease = scene.take(run_id)
    scene.journal.release([Release(lease.run_id, lease.token, 60.0, "no code", lacks_code=True)])
    assert scene.claimed_ids() == [run_id]
    assert (name, "v1" * 32) in [(row.workflow, row.version_hash) for row in scene.catalog.versions()]
    assert scene.row(run_id).namespace == namespace


def test_the_longest_names_of_signals_tasks_and_results_are_kept(scene: Scene) -> None:
    lease = scene.leased()
    signalled = scene.catalog.signal(lease.run_id, longest(1), b"x", longest(2))
    assert signalled[0] == "delivered"
    assert [signal.name for signal in scene.mail(lease).signals] == [longest(1)]
    scene.commit(
        step(lease, tasks_set=(TaskRow(1, 1, longest(3), b"x", longest(4), idempotency_key=longest(5)),))
    )
    (task,) = scene.dispatch.claim_tasks(OWNER, [longest(4)], 10)
    assert (task.activity, task.idempotency_key) == (longest(3), longest(5))
    name = ResultKey(longest(3), longest(5))
    assert scene.journal.keep([KeptResult(lease.run_id, lease.token, 1, name, b"value")]) == [b"value"]
    assert scene.dispatch.results([name]) == {name: b"value"}
