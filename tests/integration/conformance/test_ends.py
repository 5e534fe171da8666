"""What an end leaves in the tables: no timer, however the run ended, and whatever other runs have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from continuum.ports.journal import Lease
from tests.integration.conformance.scene import ENDED, Scene, due_timer, far_timer, step, until

TIMERS = (due_timer(1), far_timer(2))
End = Callable[[Scene, Lease], object]


def by_its_step(state: str) -> End:
    return lambda scene, lease: scene.end(lease, state)  # type: ignore[arg-type]


def beside_another(state: str) -> End:
    def end(scene: Scene, lease: Lease) -> None:
        other = scene.leased(timers_set=TIMERS)
        assert len(scene.commit(step(lease, state=state), step(other, state=state))) == 2  # type: ignore[arg-type]

    return end


def with_its_last_timer(state: str) -> End:
    """The step that ends the run sets a timer more."""
    return lambda scene, lease: scene.commit(step(lease, state=state, timers_set=(far_timer(3),)))  # type: ignore[arg-type]


def by_a_successor(scene: Scene, lease: Lease) -> None:
    scene.succeed(lease)


def by_a_cancel(scene: Scene, lease: Lease) -> None:
    assert scene.catalog.cancel(lease.run_id, None).outcome == "cancelled"


def at_the_end_of_a_clean_up(scene: Scene, lease: Lease) -> None:
    scene.catalog.cancel(lease.run_id, None, 0.0)
    assert until(scene.dispatch.end_overdue_cancels) == [lease.run_id]


def by_the_cancel_of_its_parent(scene: Scene, lease: Lease) -> None:
    child = scene.child(lease)
    scene.commit(step(child, timers_set=TIMERS))
    scene.catalog.cancel(lease.run_id, None)


def by_its_parents_step(scene: Scene, lease: Lease) -> None:
    child = scene.child(lease)
    scene.commit(step(child, timers_set=TIMERS))
    scene.commit(step(lease, 1, children_cancelled=(1,)))
    assert scene.row(child.run_id).state == "cancelled"
    scene.end(lease)


WAYS: dict[str, End] = {
    **{f"{state} alone": by_its_step(state) for state in ENDED},
    **{f"{state} beside another": beside_another(state) for state in ENDED},
    **{f"{state} with a timer more": with_its_last_timer(state) for state in ENDED},
    "continued by a successor": by_a_successor,
    "cancelled from outside": by_a_cancel,
    "cancelled after a clean-up": at_the_end_of_a_clean_up,
    "cancelled with its parent": by_the_cancel_of_its_parent,
    "cancelled by its parent": by_its_parents_step,
}


@pytest.mark.rule("T3", "T5", "K1")
@pytest.mark.parametrize("way", WAYS)
def test_no_timer_outlives_its_run(scene: Scene, timer_rows: Callable[[], int], way: str) -> None:
    scene.leased(timers_set=TIMERS)
    lease = scene.leased(timers_set=TIMERS)
    assert timer_rows() == 4
    WAYS[way](scene, lease)
    assert scene.row(lease.run_id).completed_at is not None
    assert timer_rows() == 2, "those of the run that goes on"


@pytest.mark.rule("T5")
def test_a_timer_is_gone_with_the_step_that_clears_it(scene: Scene, timer_rows: Callable[[], int]) -> None:
    lease = scene.leased(timers_set=TIMERS)
    scene.commit(step(lease, timers_cleared=(1,)))
    assert timer_rows() == 1 and scene.timer_keys() == [(lease.run_id, 2)]
