"""Who waits for a run, or for a descendant of it, hears of its cancel: once, in one shape, by every path (K2)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from continuum import (
    AsyncClient,
    ChildError,
    Client,
    RunCancelledError,
    RunHandle,
    continue_as_new,
    start_child,
    wait_signal,
    workflow,
)
from continuum.client import waiting
from continuum.client.link import EndListener
from continuum.testing import start_sync
from continuum.testing.database import node_on
from tests.integration.servers import wait_until

LIMIT_S = 60.0
WHY = "no stock"
CHECKOUT = Path(__file__).parents[3]
PROGRAM = """
import sys
from uuid import UUID
from continuum import Client, RunCancelledError
with Client(sys.argv[1], instance=sys.argv[2]) as client:
    handle = client.handle(UUID(sys.argv[3]))
    print("waiting", handle.run().state, flush=True)
    try:
        handle.result(60)
    except RunCancelledError as error:
        print(error.run_id, error.reason)
"""


@workflow(name="waits.leaf")
async def leaf() -> str:
    return str(await wait_signal("never"))


@workflow(name="waits.chain")
async def chain(left: int) -> str:
    await wait_signal("next")
    if left:
        continue_as_new(chain(left - 1))
    return await leaf()


@workflow(name="waits.middle")
async def middle() -> str:
    return await leaf()


@workflow(name="waits.top")
async def top() -> str:
    return await middle()


@workflow(name="waits.by_call")
async def by_call() -> list[str]:
    try:
        return [await leaf()]
    except ChildError as error:
        return [type(error).__name__, error.state, str(error.run_id), str(error)]


@workflow(name="waits.by_reference")
async def by_reference() -> list[str]:
    ref = await start_child(leaf())
    try:
        return [await ref]
    except ChildError as error:
        return [type(error).__name__, error.state, str(error.run_id), str(error)]


@workflow(name="waits.of_chain")
async def of_chain() -> list[str]:
    try:
        return [await chain(1)]
    except ChildError as error:
        return [type(error).__name__, error.state, str(error.run_id), str(error)]


@pytest.fixture
def node(database_url: str, schema: str) -> Iterator[None]:
    with node_on(database_url, schema):
        yield


@pytest.fixture(params=["message", "scan"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By message alone: the next scan is beyond the limit of any test. By scan alone: clients hear no message."""
    chosen: str = request.param
    if chosen == "message":
        monkeypatch.setattr(waiting, "SCAN_INTERVAL_S", 10 * LIMIT_S)
    else:
        wait = EndListener.wait

        def deaf(self: EndListener, timeout_s: float | None) -> Sequence[int]:
            wait(self, timeout_s)
            return []

        monkeypatch.setattr(EndListener, "wait", deaf)
    return chosen


def shape(wait: Future[object]) -> tuple[UUID, str | None, str]:
    error = wait.exception(LIMIT_S)
    assert type(error) is RunCancelledError
    return error.run_id, error.reason, str(error)


def child_of(client: Client, run: RunHandle[object]) -> UUID:
    """The only child that the run has, once it waits for it."""
    wait_until(lambda: any(event.type == "child_started" for event in run.history()), "a child was started")
    (started,) = [event for event in run.history() if event.type == "child_started"]
    child = started.data["child"]
    assert isinstance(child, UUID)
    wait_until(lambda: len(client.history(child)) > 0, "it waits")
    return child


def waiters(client: Client) -> int:
    return len(client._waiters._waits)


def waits_for(client: Client, run_id: UUID) -> int:
    return len(client._waiters._waits._by_run.get(run_id.int, ()))


@pytest.mark.rule("K2", "W1")
@pytest.mark.usefixtures("node", "path")
def test_every_client_that_waits_for_the_run_or_below_it_hears_the_same(
    database_url: str, instance: str
) -> None:
    with (
        Client(database_url, instance=instance) as client,
        Client(database_url, instance=instance) as other,
        ThreadPoolExecutor(8) as threads,
    ):
        run = client.start(top())
        middle_id = child_of(client, run)
        leaf_id = child_of(client, client.handle(middle_id))

        async def by_asyncio() -> None:
            async with AsyncClient(database_url, instance=instance) as asynchronous:
                await asynchronous.result(run.id, LIMIT_S)

        waits: dict[UUID, list[Future[object]]] = {
            run.id: [
                threads.submit(run.result, LIMIT_S),
                threads.submit(client.result, run.id, LIMIT_S),
                threads.submit(other.handle(run.id).result, LIMIT_S),
                threads.submit(lambda: asyncio.run(by_asyncio())),
            ],
            middle_id: [threads.submit(other.result, middle_id, LIMIT_S)],
            leaf_id: [
                threads.submit(client.result, leaf_id, LIMIT_S),
                threads.submit(other.handle(leaf_id).result, LIMIT_S),
            ],
        }
        wait_until(lambda: waiters(client) == 2 and waiters(other) == 3, "they wait")
        client.cancel(run.id, reason=WHY)
        for run_id, of_run in waits.items():
            expected = (run_id, WHY, f"run {run_id} was cancelled: {WHY}")
            assert [shape(wait) for wait in of_run] == [expected] * len(of_run)
        assert waiters(client) == waiters(other) == 0, "nobody is told a second time"
        with pytest.raises(RunCancelledError) as late:
            other.result(leaf_id, 0)
        assert (late.value.run_id, late.value.reason) == (leaf_id, WHY), "nor in another shape afterwards"


@pytest.mark.rule("K2", "N2")
@pytest.mark.usefixtures("node", "path")
def test_who_waits_for_any_run_of_a_chain_hears_of_the_cancel_of_its_last(
    database_url: str, instance: str
) -> None:
    with Client(database_url, instance=instance) as client, ThreadPoolExecutor(4) as threads:
        first = client.start(chain(1))
        waits: list[Future[object]] = [threads.submit(first.result, LIMIT_S)]
        client.signal(first.id, "next")
        wait_until(lambda: first.run().continued_to_run_id is not None, "it was continued")
        last = first.run().continued_to_run_id
        assert last is not None
        waits += [threads.submit(client.result, run_id, LIMIT_S) for run_id in (first.id, last)]
        wait_until(
            lambda: waits_for(client, last) == 3 and waiters(client) == 1,
            "all follow the last run",
        )
        client.cancel(first.id, reason=WHY)  # any id of the chain means the run that lives
        with Client(database_url, instance=instance) as fresh:
            waits.append(threads.submit(fresh.result, first.id, LIMIT_S))
            assert [shape(wait)[:2] for wait in waits] == [(last, WHY)] * 4


@pytest.mark.rule("K2", "C5")
@pytest.mark.usefixtures("node")
def test_a_parent_hears_once_that_its_child_was_cancelled_however_it_waits_for_it(client: Client) -> None:
    for parent in (by_call, by_reference):
        run = client.start(parent())
        child = child_of(client, run)
        client.cancel(child, reason=WHY)
        told = run.result(LIMIT_S)
        assert told[:3] == ["ChildError", "cancelled", str(child)]
        assert [event.type for event in run.history()].count("child_cancelled") == 1
        in_memory = start_sync(parent())
        in_memory.children[0].cancel(reason=WHY)
        expected = in_memory.result()
        assert told[3].replace(str(child), "?") == expected[3].replace(expected[2], "?"), "as in the kit"
        assert told[:2] == expected[:2]


@pytest.mark.rule("K2", "C3", "N2")
@pytest.mark.usefixtures("node")
def test_a_parent_hears_once_that_the_last_run_of_its_childs_chain_was_cancelled(client: Client) -> None:
    run = client.start(of_chain())
    child = child_of(client, run)
    client.signal(child, "next")
    wait_until(lambda: client.get_run(child).continued_to_run_id is not None, "the child was continued")
    last = client.get_run(child).continued_to_run_id
    assert last is not None
    client.cancel(last)
    assert run.result(LIMIT_S)[:3] == ["ChildError", "cancelled", str(child)], "by the id that it knows"
    assert [event.type for event in run.history()].count("child_cancelled") == 1


@pytest.mark.rule("K2")
@pytest.mark.usefixtures("node")
def test_a_handle_in_another_process_hears_the_same(client: Client, database_url: str, instance: str) -> None:
    run = client.start(top())
    leaf_id = child_of(client, client.handle(child_of(client, run)))
    command = [sys.executable, "-c", PROGRAM, database_url, instance]
    processes = [
        subprocess.Popen([*command, str(run_id)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
        for run_id in (run.id, leaf_id)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiting ")
    client.cancel(run.id, reason=WHY)
    said = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    assert said == [f"{run.id} {WHY}\n", f"{leaf_id} {WHY}\n"]


@pytest.mark.rule("K2")
def test_in_memory_everyone_hears_the_same_shape() -> None:
    run = start_sync(top())
    (child,) = run.children
    (grandchild,) = child.children
    run.cancel(reason=WHY)
    for each in (run, child, grandchild):
        with pytest.raises(RunCancelledError) as told:
            each.result()
        assert (told.value.run_id, told.value.reason) == (each.id, WHY)
