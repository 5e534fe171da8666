"""Children, chains and sagas make the same histories in the test kit as on a node (A13)."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest

from continuum import ChildError, activity, continue_as_new, patched, saga, start_child, workflow
from continuum.client.rows import history_of
from continuum.core.definitions import Workflow
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.history import History
from continuum.model.run import RunSeed
from continuum.runtime.inprocess import InProcessNode, NoticeQueue
from continuum.testing import SyncRun, assert_histories_match, start_sync
from tests.integration.servers import wait_until
from tests.unit.stage import run_id


@activity(name="same.undo")
def undo(what: str) -> str:
    if what == "hotel":
        raise ConnectionError("away")
    return what


@workflow(name="same.sum")
async def summed(left: int, total: int) -> int:
    if left:
        continue_as_new(summed(left - 1, total + left))
    return total


@workflow(name="same.trip")
async def trip(cities: list[str]) -> None:
    async with saga() as undos:
        for city in cities:
            undos.push(undo(city))
        raise ValueError("fully booked")


@workflow(name="same.parent")
async def parent() -> list[Any]:
    seen: list[Any] = []
    try:
        await trip(["car", "hotel"])
    except ChildError as error:
        seen += [error.state, str(error).partition(") ")[2]]
    ref = await start_child(summed(2, 0), id="chain")
    return [*seen, patched("same"), await ref, await ref]


# workflow, arguments, and how many runs it comes to
CALLS: list[tuple[Workflow[..., Any], list[Any], int]] = [
    (parent, [], 5),
    (trip, [["car", "hotel", "boat"]], 1),
    (summed, [2, 0], 3),
]


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """What a real engine, worker and executor have made of the calls."""
    store, notices = MemoryStore(time.time), NoticeQueue()
    store.subscribe(notices.put)
    ids = [run_id(number) for number in range(len(CALLS))]
    with InProcessNode(lambda: nullcontext(store), listener=notices):
        store.catalog.insert(
            [
                RunSeed(id=id, workflow=target.name, args=payload.encode([args, {}]))
                for id, (target, args, _) in zip(ids, CALLS, strict=True)
            ]
        )
        wait_until(
            lambda: all(end.state in ("completed", "failed") for end in store.catalog.endings(ids).values()),
            "the runs have ended",
        )
    return store


@pytest.mark.rule("A13", "C1", "C3", "N1", "G1", "G3")
@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda number: CALLS[number][0].name)
def test_a_family_has_the_same_histories_in_memory_as_on_a_node(
    number: int, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_PARANOID", "1")
    target, args, runs = CALLS[number]
    run = start_sync(target(*args))
    here = chains_below(run)
    there = chains_of(store, run_id(number))
    assert len(here) == len(there) == runs
    for one, other in zip(here, there, strict=True):
        assert_histories_match(one, other)
    ending = store.catalog.endings([run_id(number)])[run_id(number)]
    assert ending.state == run.state
    if ending.result is not None:
        assert payload.decode(ending.result) == run.result()


def chains_below(run: SyncRun[Any]) -> list[History]:
    return [*run.chain, *(history for child in run.children for history in chains_below(child))]


def chains_of(store: MemoryStore, first: UUID) -> list[History]:
    """The histories of a run, of those that continue it, and of its children, in the same order."""
    found: list[History] = []
    following: UUID | None = first
    while following is not None:
        row = store.catalog.get(following)
        assert row is not None
        found.append(history_of(row, store.catalog.events(following)))
        following = row.continued_to_run_id
    below: list[Any] = [
        event.data["child"] for history in found for event in history if event.type == "child_started"
    ]
    return [*found, *(history for child in below for history in chains_of(store, child))]
