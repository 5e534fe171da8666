"""Signals, cancels, attributes, queries and histories of runs, through a client."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from continuum import (
    Client,
    ConfigurationError,
    PayloadError,
    RunCancelledError,
    RunNotFoundError,
    RunTerminalError,
    Signal,
    asc,
    attr,
    desc,
    field,
)
from continuum.core.loop import running
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import DeterminismError
from continuum.model import payload
from continuum.model.events import ActivityCompleted, ActivityScheduled, SignalAwaited
from continuum.model.history import History
from continuum.ports.journal import Lease
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, archive, checkout

approved = Signal("approved", bool)


def mail_of(engine: HandEngine, id: object) -> list[tuple[str, object]]:
    (run,) = [run for run_id, run in engine.claim().items() if run_id == id]
    (mail,) = engine.store.journal.mail([Lease(run.run_id, run.token)])
    return [(signal.name, payload.decode(signal.payload)) for signal in mail.signals]


@pytest.mark.rule("S1")
def test_signals_arrive_in_the_order_of_their_sending(client: Client, engine: HandEngine) -> None:
    handle = client.start(checkout(ORDER), id="order-o1")
    handle.signal(approved, True)
    client.signal("order-o1", "approved", False)
    client.signal(handle.id, "note")
    assert mail_of(engine, handle.id) == [("approved", True), ("approved", False), ("note", None)]


def test_a_delivery_with_an_id_is_accepted_once(client: Client, engine: HandEngine) -> None:
    handle = client.start(checkout(ORDER))
    for _ in range(3):
        client.signal(handle.id, approved, True, id="webhook-1")
    assert mail_of(engine, handle.id) == [("approved", True)]


@pytest.mark.rule("S4")
def test_signalling_a_run_that_does_not_exist_or_has_ended_is_refused(
    client: Client, engine: HandEngine
) -> None:
    with pytest.raises(RunNotFoundError, match="nothing"):
        client.signal("nothing", approved, True)
    handle = client.start(checkout(ORDER))
    engine.complete(handle.id)
    with pytest.raises(RunTerminalError) as refused:
        handle.signal(approved, True)
    assert (refused.value.run_id, refused.value.state) == (handle.id, "completed")


def test_a_signal_that_cannot_be_is_refused(client: Client) -> None:
    handle = client.start(checkout(ORDER))
    with pytest.raises(PayloadError, match="signal approved"):
        handle.signal("approved", object())
    with pytest.raises(ConfigurationError):
        handle.signal("")
    with pytest.raises(TypeError):
        handle.signal(approved.wait)  # type: ignore[arg-type]


def test_a_cancel_ends_a_run_at_once(client: Client) -> None:
    handle = client.start(checkout(ORDER))
    handle.cancel(reason="out of stock")
    run = handle.run()
    assert run.state == "cancelled"
    assert run.error is not None
    assert (run.error["type"], run.error["message"]) == ("continuum.Cancelled", "out of stock")
    assert run.completed_at is not None


@pytest.mark.rule("K4")
def test_a_cancel_with_cleanup_leaves_the_run_running_until_it_has_ended(
    client: Client, engine: HandEngine
) -> None:
    handle = client.start(checkout(ORDER))
    engine.claim()
    handle.cancel(reason="out of stock", cleanup=timedelta(minutes=1))
    assert handle.run().state == "running"
    client.cancel(handle.id)
    assert handle.run().state == "cancelled"
    with pytest.raises(RunTerminalError, match="cancelled"):
        handle.cancel(cleanup=1.0)


@pytest.mark.rule("B5", "K2")
def test_a_run_that_has_not_begun_is_cancelled_at_once_whatever_its_time_for_clean_up(client: Client) -> None:
    handle = client.start(checkout(ORDER), delay=timedelta(hours=1))
    handle.signal(approved, True)
    assert handle.run().started_at is None
    handle.cancel(reason="out of stock", cleanup=timedelta(minutes=1))
    with pytest.raises(RunCancelledError, match="out of stock"):
        handle.result(timeout=5)


@pytest.mark.parametrize("cleanup", [-1.0, "soon", float("nan")])
def test_a_time_for_clean_up_that_is_none_is_refused(client: Client, cleanup: Any) -> None:
    handle = client.start(checkout(ORDER))
    with pytest.raises((TypeError, ValueError)):
        handle.cancel(cleanup=cleanup)
    assert handle.run().state == "running"


def test_cancelling_a_run_that_does_not_exist_or_has_ended_is_refused(client: Client) -> None:
    with pytest.raises(RunNotFoundError):
        client.cancel(uuid4())
    handle = client.start(checkout(ORDER))
    handle.cancel()
    with pytest.raises(RunTerminalError, match="cancelled"):
        handle.cancel()


def test_what_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(RunNotFoundError):
        client.get_run("nothing")
    with pytest.raises(RunNotFoundError):
        client.history("nothing")
    with pytest.raises(RunNotFoundError):
        client.set_attributes("nothing", {"a": 1})
    with pytest.raises(TypeError):
        client.get_run(7)  # type: ignore[arg-type]


def test_a_history_reads_in_plain_values_and_knows_its_run(client: Client, engine: HandEngine) -> None:
    handle = client.start(checkout(ORDER))
    args = payload.encode([[{"id": "o1"}], {}])
    engine.complete(
        handle.id,
        events=[
            ActivityScheduled("shop.charge", args, "shop.py:3"),
            ActivityCompleted(1, payload.encode("p1"), 1),
            SignalAwaited("approved", 3.0),
        ],
    )
    history = handle.history()
    assert (history.run_id, history.workflow) == (handle.id, checkout.name)
    assert history.args == [[{"id": "o1", "cents": 4200}], {}]
    assert [event.type for event in history] == [
        "activity_scheduled",
        "activity_completed",
        "signal_awaited",
    ]
    assert history[0].data["args"] == [[{"id": "o1"}], {}]
    assert history[1].data["value"] == "p1"
    assert History.from_json(history.to_json()) == history


@pytest.mark.rule("Q2")
def test_concurrent_merges_of_different_attributes_all_survive(client: Client) -> None:
    handle = client.start(checkout(ORDER), attributes={"plan": "pro"})
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: handle.set_attributes({f"k{number}": number}), range(40)))
    assert handle.run().attributes == {"plan": "pro"} | {f"k{number}": number for number in range(40)}


@pytest.mark.rule("Q1")
def test_a_namespace_scopes_listing_and_nothing_else(client: Client) -> None:
    handle = client.start(checkout(ORDER), namespace="billing")
    assert client.query().runs == []
    assert [run.id for run in client.query(namespace="billing").runs] == [handle.id]
    assert [run.id for run in client.query(namespace=None).runs] == [handle.id]
    assert client.get_run(handle.id).namespace == "billing"
    client.signal(handle.id, approved, True)


@pytest.mark.rule("Q3")
def test_runs_are_found_by_fields_and_attributes(client: Client, engine: HandEngine) -> None:
    pro = client.start(checkout(ORDER), attributes={"customer": {"plan": "pro"}, "items": 3})
    free = client.start(archive(ORDER), attributes={"customer": {"plan": "free"}, "items": 30})
    engine.complete(free.id)

    def found(*where: object) -> set[object]:
        return {run.id for run in client.query(where=where).runs}  # type: ignore[arg-type]

    assert found(attr("customer", "plan") == "pro") == {pro.id}
    assert found(attr("items") > 3) == {free.id}
    assert found(field("state").in_(["completed", "failed"])) == {free.id}
    assert found(field("workflow") == checkout.name) == {pro.id}
    assert found(field("state") == "running", attr("items") == 30) == set()


@pytest.mark.rule("Q3")
@pytest.mark.parametrize("order", [asc("created_at"), desc("created_at"), desc("completed_at"), None])
def test_pages_stay_stable_while_runs_are_added(client: Client, order: object) -> None:
    expected = {client.start(archive(ORDER), attributes={"old": True}).id for _ in range(7)}
    seen = []
    cursor = None
    while True:
        page = client.query(where=[attr("old") == True], order_by=order, limit=3, cursor=cursor)  # type: ignore[arg-type]  # noqa: E712
        seen += [run.id for run in page.runs]
        client.start(archive(ORDER), attributes={"old": False})
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 7
    assert set(seen) == expected


def test_a_page_that_holds_all_has_no_next(client: Client) -> None:
    client.start_many([archive(ORDER)] * 3)
    assert client.query(limit=3).next_cursor is None
    assert client.query(limit=2).next_cursor is not None


def test_questions_that_cannot_be_are_refused(client: Client) -> None:
    client.start_many([archive(ORDER)] * 2)
    cursor = client.query(limit=1, order_by=asc("created_at")).next_cursor
    for limit in (0, 1001, True, "3"):
        with pytest.raises(ConfigurationError, match="1 to 1,000"):
            client.query(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no cursor"):
        client.query(cursor="garbage")
    with pytest.raises(ConfigurationError, match="another order"):
        client.query(cursor=cursor, order_by=desc("created_at"))
    with pytest.raises(TypeError, match="where="):
        client.query(where=[True])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="order_by="):
        client.query(order_by="created_at")  # type: ignore[arg-type]


def test_workflow_code_cannot_use_a_client(client: Client) -> None:
    handle = client.start(archive(ORDER))
    call = archive(ORDER)
    call.take()
    operations: list[Callable[[], object]] = [
        lambda: client.start(call),
        lambda: client.start_many([call]),
        handle.result,
        lambda: handle.signal(approved, True),
        handle.cancel,
        lambda: client.resume(handle.id),
        handle.run,
        handle.history,
        lambda: handle.set_attributes({}),
        client.query,
    ]
    identity = RunIdentity(handle.id, archive.name, "default", 0, handle.id)
    running.loop = Machine(identity, archive, b"", Crew("b:0")).loop
    try:
        for operation in operations:
            with pytest.raises(DeterminismError, match="call it from an activity"):
                operation()
    finally:
        running.loop = None
