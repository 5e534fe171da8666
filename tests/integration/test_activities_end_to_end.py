"""Activities in a whole node: cancelled awaits, kept results, heartbeats, lost threads, on both stores."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from continuum import Retry, activity, activity_info, heartbeat, last_heartbeat, sleep, wait_signal, workflow
from continuum.core.definitions import Workflow
from continuum.errors import ActivityError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES
from continuum.model.run import RunSeed
from continuum.ports.catalog import Catalog
from continuum.runtime.inprocess import InProcessNode
from tests.integration.isolated_work import hang_with_child, pids_in, running
from tests.integration.servers import wait_until
from tests.integration.test_inprocess_node import memory, postgres

__all__ = ["memory", "postgres"]  # fixtures

seen: Counter[str] = Counter()
gate = threading.Event()


@activity
async def endless() -> None:
    seen["begun"] += 1
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen["cancelled"] += 1
        raise


@activity
def behind_the_gate(name: str) -> str:
    seen[f"{name} began"] += 1
    gate.wait(30)
    seen[f"{name} ended"] += 1
    return name


@activity(retry=Retry(max_attempts=3, initial=0.01))
def step_by_step() -> list[object]:
    before = last_heartbeat()
    heartbeat("step", activity_info().attempt)
    if activity_info().attempt < 3:
        raise ValueError("not yet")
    return [before]


@activity(idempotency_key=lambda order: order)
def pay(order: str) -> str:
    seen[order] += 1
    return f"payment {seen.total()}"


@workflow
async def gives_up_on(name: str) -> str:
    try:
        async with asyncio.timeout(0.3):
            await endless()
    except TimeoutError:
        return "gave up"
    return name


@workflow
async def stops_hanging(marker: str) -> str:
    hanging = asyncio.create_task(hang_with_child(marker))
    await wait_signal("stop")
    hanging.cancel()
    await sleep(0.01)
    return "gave up"


@workflow
async def gives_up_on_a_queued_one() -> list[str]:
    first = asyncio.create_task(behind_the_gate("first"))
    await asyncio.sleep(0.2)
    second = asyncio.create_task(behind_the_gate("second"))
    await asyncio.sleep(0.2)
    second.cancel()
    await asyncio.sleep(0.2)
    return [await first]


@workflow
async def forgets_a_late_one() -> str:
    late = asyncio.create_task(behind_the_gate("late"))
    await asyncio.sleep(0.2)
    late.cancel()
    await sleep(1.0)
    return "went on"


@workflow
async def walks() -> list[object]:
    return await step_by_step()


@workflow
async def pays(order: str) -> str:
    return await pay(order)


@workflow
async def loses_threads(count: int) -> list[str]:
    async def lose(n: int) -> str:
        try:
            return await behind_the_gate(f"lost {n}").options(timeout=0.1)
        except ActivityError as error:
            return error.type

    return list(await asyncio.gather(*(lose(n) for n in range(count))))


@pytest.fixture(autouse=True)
def closed_gate() -> None:
    seen.clear()
    gate.clear()


@pytest.fixture(params=["memory", "postgres"])
def node_and_catalog(request: pytest.FixtureRequest) -> tuple[InProcessNode, Catalog]:
    found: tuple[InProcessNode, Catalog] = request.getfixturevalue(request.param)
    return found


def start(catalog: Catalog, target: Workflow[..., object], *args: object) -> UUID:
    seed = RunSeed(id=uuid4(), workflow=target.name, args=payload.encode([list(args), {}]))
    catalog.insert([seed])
    return seed.id


def result(catalog: Catalog, run_id: UUID) -> object:
    wait_until(
        lambda: catalog.endings([run_id])[run_id].state in ("completed", "failed"), "the run has ended"
    )
    ending = catalog.endings([run_id])[run_id]
    assert ending.result is not None, ending
    return payload.decode(ending.result)


def types(catalog: Catalog, run_id: UUID) -> list[str]:
    return [EVENT_TYPES[row.kind] for row in catalog.events(run_id)]


@pytest.mark.rule("A15")
def test_a_cancelled_await_cancels_an_async_activity(node_and_catalog: tuple[InProcessNode, Catalog]) -> None:
    node, catalog = node_and_catalog
    with node:
        run_id = start(catalog, gives_up_on, "async")
        assert result(catalog, run_id) == "gave up"
        wait_until(lambda: seen["cancelled"] == 1, "the activity heard of it")
    assert "activity_completed" not in types(catalog, run_id)
    assert "activity_failed" not in types(catalog, run_id)


@pytest.mark.rule("A15")
def test_a_cancelled_await_kills_an_isolated_activity_with_its_children(
    node_and_catalog: tuple[InProcessNode, Catalog], tmp_path: Path
) -> None:
    node, catalog = node_and_catalog
    marker = tmp_path / "pids"

    with node:
        run_id = start(catalog, stops_hanging, str(marker))
        wait_until(marker.exists, "it hangs")
        catalog.signal(run_id, "stop", payload.encode(None), None)
        assert result(catalog, run_id) == "gave up"
        wait_until(lambda: not running(*pids_in(marker)), "they are gone")
    ended = Counter(types(catalog, run_id))
    assert (ended["activity_scheduled"], ended["activity_completed"], ended["activity_failed"]) == (1, 0, 0)
    left = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            left.append(" ".join(process.cmdline()))
    assert not [command for command in left if "isolated" in command], "nothing is left"


@pytest.mark.rule("A15")
def test_a_queued_activity_whose_await_is_cancelled_never_starts(
    memory: tuple[InProcessNode, Catalog],
) -> None:
    node, catalog = memory
    node = InProcessNode(node._open_store, listener=node._listener, slots=1)
    with node:
        run_id = start(catalog, gives_up_on_a_queued_one)
        wait_until(lambda: types(catalog, run_id).count("timer_fired") == 3, "the second one is cancelled")
        gate.set()
        assert result(catalog, run_id) == ["first"]
    assert seen["first began"] == 1
    assert seen["second began"] == 0


@pytest.mark.rule("A15", "A8")
def test_a_late_result_of_a_cancelled_await_is_dropped_without_an_event(
    node_and_catalog: tuple[InProcessNode, Catalog],
) -> None:
    node, catalog = node_and_catalog
    with node:
        run_id = start(catalog, forgets_a_late_one)
        wait_until(lambda: "timer_fired" in types(catalog, run_id), "it is cancelled")
        gate.set()
        wait_until(lambda: seen["late ended"] == 1, "the body has ended")
        assert result(catalog, run_id) == "went on"
    assert Counter(types(catalog, run_id)) == {"activity_scheduled": 1, "timer_started": 2, "timer_fired": 2}


@pytest.mark.rule("A11")
def test_heartbeat_details_reach_the_next_attempt(node_and_catalog: tuple[InProcessNode, Catalog]) -> None:
    node, catalog = node_and_catalog
    with node:
        assert result(catalog, start(catalog, walks)) == [("step", 2)]


@pytest.mark.rule("A10")
def test_runs_that_race_for_one_key_end_with_one_result(
    node_and_catalog: tuple[InProcessNode, Catalog],
) -> None:
    node, catalog = node_and_catalog
    with node:
        runs = [start(catalog, pays, "o1") for _ in range(10)]
        results = {str(result(catalog, run_id)) for run_id in runs}
        ran = seen["o1"]
        assert result(catalog, start(catalog, pays, "o1")) in results
    assert len(results) == 1
    assert seen["o1"] == ran, "a kept result runs no body"


@pytest.mark.rule("A9")
def test_a_worker_that_lost_too_many_threads_leaves_by_itself(memory: tuple[InProcessNode, Catalog]) -> None:
    node, catalog = memory
    with node:
        assert result(catalog, start(catalog, loses_threads, 6)) == ["TimeoutError"] * 6
        worker = node._processes["worker-1"].role
        wait_until(lambda: worker.drained, "the worker drains, so that its process is replaced")
        gate.set()
