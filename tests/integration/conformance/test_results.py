"""Results that are kept by idempotency key, and the heartbeats of attempts in task rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from continuum.ports.journal import KeptResult, Lease, ResultKey, TaskOutcome, TaskRow
from tests.integration.conformance.scene import ENDED, OTHER, OWNER, Scene, Store, task

CHARGE, REFUND = ResultKey("shop.charge", "o1"), ResultKey("shop.refund", "o1")
WORKER = "n1/worker-1/b1-1"


def kept(lease: Lease, payload: bytes, name: ResultKey = CHARGE) -> KeptResult:
    return KeptResult(lease.run_id, lease.token, 1, name, payload)


@pytest.mark.rule("A10")
def test_the_first_result_of_a_name_stays_and_is_what_everybody_gets(scene: Scene) -> None:
    first, second = scene.leased(), scene.leased()
    assert scene.dispatch.results([CHARGE]) == {}
    assert scene.journal.keep([kept(first, b"first")]) == [b"first"]
    assert scene.journal.keep([kept(second, b"second")]) == [b"first"]
    assert scene.dispatch.results([CHARGE, REFUND]) == {CHARGE: b"first"}


@pytest.mark.rule("A10")
def test_a_name_is_of_an_activity_and_a_key(scene: Scene) -> None:
    lease = scene.leased()
    results = [kept(lease, b"charged"), kept(lease, b"refunded", REFUND)]
    assert scene.journal.keep(results) == [b"charged", b"refunded"]
    assert scene.dispatch.results([REFUND, CHARGE]) == {CHARGE: b"charged", REFUND: b"refunded"}
    assert scene.journal.keep([]) == []
    assert scene.dispatch.results([]) == {}


@pytest.mark.rule("A10")
def test_of_two_results_of_a_name_in_one_question_the_first_is_kept(scene: Scene) -> None:
    first, second = scene.leased(), scene.leased()
    assert scene.journal.keep([kept(second, b"a"), kept(first, b"b")]) == [b"a", b"a"]


@pytest.mark.rule("A10")
def test_keeping_twice_is_keeping_once(scene: Scene) -> None:
    lease = scene.leased()
    assert [scene.journal.keep([kept(lease, b"value")]) for _ in range(2)] == [[b"value"], [b"value"]]


@pytest.mark.rule("A10", "L1")
def test_nothing_is_kept_for_a_run_that_is_not_held(scene: Scene) -> None:
    ended, stale, good = scene.leased(), scene.leased(), scene.leased()
    scene.end(ended, ENDED[0])
    scene.expire(OWNER)
    scene.claim(OTHER)
    scene.dispatch.register(OWNER, "n1", "ipc://n1", 30.0)
    good = scene.leased()
    results = [kept(ended, b"ended"), kept(stale, b"stale"), kept(good, b"good", REFUND)]
    assert scene.journal.keep(results) == [None, None, b"good"]
    assert scene.dispatch.results([CHARGE, REFUND]) == {REFUND: b"good"}


@pytest.mark.rule("A10")
def test_a_kept_result_outlives_its_run(scene: Scene) -> None:
    lease = scene.leased()
    scene.journal.keep([kept(lease, b"value")])
    scene.end(lease)
    assert scene.dispatch.results([CHARGE]) == {CHARGE: b"value"}


@pytest.mark.rule("A10")
def test_owners_that_race_for_many_names_agree_on_each(scene: Scene, beside: Callable[[], Store]) -> None:
    names = [ResultKey("shop.charge", f"o{n}") for n in range(40)]
    leases = [scene.leased() for _ in range(4)]
    stores = [beside() for _ in leases]

    def race(number: int) -> list[bytes | None]:
        order = names if number % 2 else names[::-1]
        results = [kept(leases[number], b"%d" % number, name) for name in order]
        answers: list[bytes | None] = []
        for start in range(0, len(results), 8):
            answers += stores[number].journal.keep(results[start : start + 8])
        return answers if number % 2 else answers[::-1]

    with ThreadPoolExecutor(len(leases)) as threads:
        answers = list(threads.map(race, range(len(leases))))
    stored = scene.dispatch.results(names)
    assert answers == [[stored[name] for name in names]] * len(leases)


@pytest.mark.rule("A11", "A12")
def test_a_task_row_carries_the_heartbeat_policy_and_the_details_of_the_attempt_before(scene: Scene) -> None:
    row = TaskRow(1, 2, "shop.charge", b"args", "default", heartbeat_timeout_s=2.5, last_heartbeat=b"far")
    scene.leased(tasks_set=(row,))
    (claimed,) = scene.dispatch.claim_tasks(OTHER, ["default"], 10)
    assert (claimed.heartbeat_timeout_s, claimed.last_heartbeat) == (2.5, b"far")


@pytest.mark.rule("A11")
def test_the_outcome_of_a_lost_task_has_its_last_details(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1), task(2)))
    keys = scene.tasks(OTHER)
    scene.dispatch.assign_task(OTHER, keys, WORKER)
    scene.dispatch.note_heartbeats(OTHER, [(keys[0], b"near")])
    scene.dispatch.note_heartbeats(OTHER, [(keys[0], b"far")])
    scene.dispatch.lose_tasks(OTHER, WORKER)
    assert [outcome.details for outcome in scene.mail(lease).outcomes] == [b"far", b""]


@pytest.mark.rule("A11", "A7")
def test_only_the_claimer_of_the_attempt_notes_heartbeats(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    (key,) = scene.tasks(OTHER)
    scene.dispatch.note_heartbeats(OWNER, [(key, b"another's")])
    scene.dispatch.note_heartbeats(OTHER, [((key[0], key[1], 2), b"another attempt's")])
    scene.dispatch.note_heartbeats(OTHER, [])
    scene.dispatch.lose_tasks(OTHER, None)
    assert [outcome.details for outcome in scene.mail(lease).outcomes] == [b""]


@pytest.mark.rule("A11")
def test_a_failed_outcome_brings_its_details(scene: Scene) -> None:
    lease = scene.leased(tasks_set=(task(1),))
    scene.tasks(OTHER)
    failed = TaskOutcome(lease.run_id, 1, 1, False, b"failure", details=b"far")
    scene.dispatch.offer_outcomes([failed])
    assert scene.mail(lease).outcomes == (failed,)
