"""Owners that are held by sessions, and what others do when these are gone, or when they do not answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from continuum.ports.dispatch import Asked, Others
from tests.integration.conformance.scene import OTHER, OWNER, Scene, Store, completed, step, task, until

MINE, ALL = "b1", 100  # the life of the node that looks; a limit that leaves nobody out
NODE, BOOT = "n2", "b2"  # of OTHER
OpenStore = Callable[[], Store]


def held(store: Store, owner: str = OTHER) -> Store:
    """Hold and register the owner on this session."""
    assert store.dispatch.hold(owner)
    store.dispatch.register(owner, owner.partition("/")[0], "ipc://n", 1e6)
    return store


def look(scene: Scene, boot: str = MINE) -> list[str]:
    """Retire who is gone, and return them."""
    return scene.dispatch.retire_gone(scene.dispatch.look_for_gone(boot, ALL).gone)


def look_until_found(scene: Scene) -> list[str]:
    """Look until somebody is found dead: a server needs a moment to see that a connection was closed."""
    return until(lambda: look(scene))


@pytest.mark.rule("L4")
def test_the_runs_of_an_owner_whose_session_ended_can_be_claimed_at_once(
    scene: Scene, beside: OpenStore
) -> None:
    theirs = held(beside())
    lease = scene.leased(owner=OTHER)
    assert look(scene) == []
    assert scene.claim(OWNER) == []
    theirs.close()
    assert look_until_found(scene) == [OTHER]
    (mine,) = scene.claim(OWNER)
    assert mine.run_id == lease.run_id


@pytest.mark.rule("L4", "L1")
def test_an_owner_that_was_retired_wrongly_changes_nothing_and_finds_out(
    scene: Scene, beside: OpenStore
) -> None:
    theirs = held(beside())
    lease = scene.leased(owner=OTHER)
    theirs.close()  # its process lives, and its next call connects again
    assert look_until_found(scene) == [OTHER]
    (mine,) = scene.claim(OWNER)
    assert theirs.journal.commit([step(lease, 0, 1)]) == set()
    assert theirs.dispatch.heartbeat(OTHER, 30.0) is None
    assert scene.commit(step(mine, 0, 1)) == {mine.run_id}


@pytest.mark.rule("L4")
def test_an_owner_whose_session_was_replaced_in_time_is_left_alone(scene: Scene, beside: OpenStore) -> None:
    theirs = held(beside())
    theirs.close()
    assert theirs.dispatch.heartbeat(OTHER, 1e6) is not None
    assert scene.dispatch.look_for_gone(MINE, ALL) == Others([], 1)


def test_an_owner_is_gone_only_when_the_last_session_that_held_it_is(scene: Scene, beside: OpenStore) -> None:
    first, second = held(beside()), beside()
    assert second.dispatch.hold(OTHER)
    first.close()
    assert [look(scene) for _ in range(3)] == [[], [], []]
    second.close()
    assert look_until_found(scene) == [OTHER]


def test_an_owner_that_was_never_held_is_left_to_its_expiry(scene: Scene) -> None:
    scene.dispatch.register(OTHER, NODE, "", 1e6)
    assert scene.dispatch.look_for_gone(MINE, ALL) == Others([], 1)


def test_nobody_is_retired_by_a_look_of_its_own_node(scene: Scene, beside: OpenStore) -> None:
    held(beside()).close()
    held(beside(), "n2/default/engine-2/b2-7").close()
    assert scene.dispatch.look_for_gone(BOOT, ALL) == Others([], 1), "the one live other is the scene's own"


def test_an_earlier_life_of_the_same_node_is_another(scene: Scene, beside: OpenStore) -> None:
    before = "n1/default/engine-1/b0-1"
    held(beside(), before).close()
    assert look_until_found(scene) == [before]


def test_a_look_tries_no_more_than_its_limit_and_the_next_ones_the_rest(
    scene: Scene, beside: OpenStore
) -> None:
    owners = [f"n{number}/default/engine-1/c{number}-1" for number in range(5)]
    theirs = beside()
    for owner in owners:
        held(theirs, owner)
    theirs.close()
    until(lambda: len(scene.dispatch.look_for_gone(MINE, ALL).gone) == 5)
    found: list[str] = []
    for live in range(6, 1, -1):  # with the one of the scene
        others = scene.dispatch.look_for_gone(MINE, 1)
        assert (len(others.gone), others.live) == (1, live)
        found += scene.dispatch.retire_gone(others.gone)
    assert sorted(found) == owners


@pytest.mark.rule("L4")
def test_who_was_seen_gone_and_is_held_again_is_not_retired(scene: Scene, beside: OpenStore) -> None:
    theirs = held(beside())
    theirs.close()
    gone = until(lambda: scene.dispatch.look_for_gone(MINE, ALL).gone)
    assert theirs.dispatch.heartbeat(OTHER, 1e6) is not None
    assert scene.dispatch.retire_gone(gone) == []
    assert scene.dispatch.retire_gone([OWNER, "nobody"]) == [], "nor who was never held"


def test_a_session_that_ended_leaves_what_was_retired_before_in_peace(
    scene: Scene, beside: OpenStore
) -> None:
    held(beside()).close()
    assert look_until_found(scene) == [OTHER]
    assert scene.dispatch.look_for_gone(MINE, ALL) == Others([], 0)


@pytest.mark.rule("L4")
def test_an_owner_that_answers_is_not_retired(scene: Scene) -> None:
    scene.dispatch.register(OTHER, NODE, "", 1e6)
    asked = scene.dispatch.ask(NODE, BOOT)
    assert [row.owner for row in asked] == [OTHER]
    assert scene.dispatch.heartbeat(OTHER, 1e6) is not None
    assert scene.dispatch.retire_silent(asked) == []


@pytest.mark.rule("L4")
def test_an_owner_that_does_not_answer_is_retired_and_its_runs_can_be_claimed(scene: Scene) -> None:
    scene.dispatch.register(OTHER, NODE, "", 1e6)
    lease = scene.leased(owner=OTHER)
    asked = scene.dispatch.ask(NODE, BOOT)
    assert scene.dispatch.retire_silent(asked) == [OTHER]
    assert scene.claimed_ids(OWNER) == [lease.run_id]
    assert scene.dispatch.heartbeat(OTHER, 30.0) is None
    assert scene.dispatch.retire_silent(asked) == []


def test_only_this_life_of_this_node_is_asked(scene: Scene) -> None:
    for owner in (OTHER, "n2/default/engine-1/b3-1", "n3/default/engine-1/b2-1"):
        scene.dispatch.register(owner, owner.partition("/")[0], "", 1e6)
    scene.dispatch.register("n2/default/engine-2/b2-9", NODE, "", -1.0)
    assert [row.owner for row in scene.dispatch.ask(NODE, BOOT)] == [OTHER]
    assert scene.dispatch.ask("nobody", BOOT) == []
    assert scene.dispatch.retire_silent([Asked("nobody", 1)]) == []


@pytest.mark.rule("A7", "A8")
def test_a_task_that_a_dead_claimer_had_is_lost_and_what_it_says_later_is_not_heard(
    scene: Scene, beside: OpenStore
) -> None:
    theirs = held(beside())
    lease = scene.leased(tasks_set=(task(1),))
    scene.claim_task(OTHER)
    theirs.close()
    assert look_until_found(scene) == [OTHER]
    assert [woken.run_id for woken in scene.dispatch.lose_tasks(OTHER, None)] == [lease.run_id]
    theirs.dispatch.offer_outcomes([completed(lease, 1)])
    assert [outcome.ok for outcome in scene.mail(lease).outcomes] == [False]
