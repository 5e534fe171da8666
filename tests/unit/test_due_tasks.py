"""The dispatcher finds tasks when they are due, whatever it looked for in vain before."""

from __future__ import annotations

from functools import partial

import pytest

from tests.unit.dispatcher_scene import Scene, executed, finish


@pytest.mark.rule("A12")
def test_tasks_are_taken_when_they_are_due_although_a_run_cannot_be_had() -> None:
    """Another node's dispatcher holds the run's lock, say: it is due now, and never claimed. Looks that find nothing
    become rare, and often again when one finds something."""
    scene = Scene()
    scene.engine()
    worker = scene.worker()
    scene.stage.insert(6)
    owner = scene.stage.owner(node="elsewhere")
    leases = scene.stage.claim(owner, 5)
    scene.store.fault = partial(refuse_claims, scene)
    scene.stage.advance(60)
    late_s = []
    for lease in leases:
        scene.stage.set_task(lease, delay_s=1.0)
        scene.look(tasks=True)
        began = scene.stage.clock.now
        while not (tasks := executed(worker)):
            scene.stage.advance(0.05)
        late_s.append(scene.stage.clock.now - began - 1.0)
        finish(scene, worker, *tasks)
    assert max(late_s[1:]) < 0.5


def refuse_claims(scene: Scene, operation: str) -> None:
    if operation == "claim":
        scene.store.dispatch.retire([scene.stage.owner()])
