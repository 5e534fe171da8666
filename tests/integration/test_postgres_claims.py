"""Claims in both orders, held by open transactions: what one has claimed and not committed yet no other one gets."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from continuum.ports.dispatch import Death
from continuum.ports.journal import Release, TaskRow
from continuum.postgres import PostgresStore
from tests.integration.races import (
    LIMIT_S,
    OWNER,
    Connection,
    OpenStore,
    another,
    connection,
    leased,
    started,
    step,
    store,
)

__all__ = ["another", "connection", "store"]  # fixtures
OTHER, DEAD = "other/default/engine-1/boot-1", "dead/default/engine-1/boot-1"
BLOCKED = "select 1 from pg_stat_activity where application_name = 'second' and wait_event_type = 'Lock'"


class Claim(NamedTuple):
    """``arrange`` leaves four things to claim; ``claim`` takes up to ``limit`` for an owner."""

    arrange: Callable[[PostgresStore], None]
    claim: Callable[[PostgresStore, str, int], list[Hashable]]


def due(store: PostgresStore) -> None:
    started(store, 4)


def orphaned(store: PostgresStore) -> None:
    leased(store, 4, DEAD)


def wanted(store: PostgresStore) -> None:
    leases = leased(store, 4)
    store.journal.release(
        [Release(lease.run_id, lease.token, 60.0, "no code", lacks_code=True) for lease in leases]
    )


def suspect(store: PostgresStore) -> None:
    leases = leased(store, 4, DEAD)
    store.dispatch.blame([Death(lease.run_id, DEAD) for lease in leases], 5)


def queued(store: PostgresStore) -> None:
    for lease in leased(store, 4):
        commit = step(lease)
        commit.tasks_set = [TaskRow(1, 1, "charge", b"", "default")]
        store.journal.commit([commit])


def new_runs(store: PostgresStore, owner: str, limit: int) -> list[Hashable]:
    return [run.run_id for run in store.dispatch.claim_due(owner, limit)]


def runs(store: PostgresStore, owner: str, limit: int) -> list[Hashable]:
    return [run.run_id for run in store.dispatch.claim(owner, limit)]


def suspects(store: PostgresStore, owner: str, limit: int) -> list[Hashable]:
    return [run.run_id for run in store.dispatch.claim_suspect(owner)]


def tasks(store: PostgresStore, owner: str, limit: int) -> list[Hashable]:
    return [(task.run_id, task.seq) for task in store.dispatch.claim_tasks(owner, ["default"], limit)]


CLAIMS = {
    "new runs": Claim(due, new_runs),
    "due runs": Claim(due, runs),
    "runs of the dead": Claim(orphaned, runs),
    "runs for their code": Claim(wanted, runs),
    "suspects": Claim(suspect, suspects),
    "tasks": Claim(queued, tasks),
}


@pytest.mark.rule("B1")
@pytest.mark.parametrize("name", CLAIMS)
def test_what_an_open_claim_has_taken_is_passed_over_by_another_which_waits_for_nobody(
    store: PostgresStore, another: OpenStore, connection: Connection, name: str
) -> None:
    arrange, claim = CLAIMS[name]
    second = another("second")
    for each, owner in ((store, OWNER), (second, OTHER)):
        each.dispatch.register(owner, owner, "", 600.0, [("flow", "")])
    arrange(store)
    for each in (store, second):
        each.session.skip_numbers()  # once a connection, under a lock that would be held by the open transaction
    with ThreadPoolExecutor(1) as threads:
        with store.session.transaction("claim"):
            first = claim(store, OWNER, 2)
            claiming = threads.submit(claim, second, OTHER, 10)
            deadline = time.monotonic() + LIMIT_S
            while not claiming.done() and connection.execute(BLOCKED).fetchone() is None:
                assert time.monotonic() < deadline, "it neither waits nor is over"
            waited = not claiming.done()
        others = claiming.result(LIMIT_S)
    assert first and others, "there was enough for both"
    assert not set(first) & set(others), "nothing is claimed twice"
    assert not waited
    assert len(first) + len(others) == (2 if name == "suspects" else 4)


@pytest.mark.rule("B1")
@pytest.mark.parametrize("name", ["new runs", "due runs", "runs of the dead", "tasks"])
def test_claimers_that_race_get_everything_once(store: PostgresStore, another: OpenStore, name: str) -> None:
    arrange, claim = CLAIMS[name]
    for _ in range(15):
        arrange(store)

    def take(number: int) -> list[Hashable]:
        mine, owner, taken = another(), f"racer-{number}/default/engine-1/boot-1", list[Hashable]()
        mine.dispatch.register(owner, "racer", "", 600.0)
        while batch := claim(mine, owner, 3):
            taken += batch
        return taken

    with ThreadPoolExecutor(3) as threads:
        taken = [each for batch in threads.map(take, range(3)) for each in batch]
    taken += claim(store, OWNER, 100)
    assert (len(taken), len(set(taken))) == (60, 60)
