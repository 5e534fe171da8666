"""The example's families, on PostgreSQL and a node in threads: children and chains as a shop has them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from continuum import Client
from continuum.postgres import migrate
from continuum.testing.database import node_on
from examples.shop import flows, ledger
from examples.shop.flows import Delivery, Order, approved, batch
from examples.shop.subscriptions import PERIODS_A_RUN, Subscription, cancel, subscription
from tests.integration.servers import wait_until

RESULT_S = 60.0


@pytest.fixture
def client(
    database_url: str, fresh_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    monkeypatch.setenv(ledger.PATH_VARIABLE, str(tmp_path / "ledger"))
    monkeypatch.setattr(flows, "ANSWER_S", 0.0)
    migrate(database_url, fresh_schema)
    with (
        node_on(database_url, fresh_schema),
        Client(database_url, instance=fresh_schema.removeprefix("continuum_")) as client,
    ):
        yield client


def children_by_order(client: Client, parent: UUID) -> dict[str, UUID]:
    found: dict[str, UUID] = {}
    for run in client.query().runs:
        if run.parent_run_id == parent:
            (order,), _ = cast("tuple[list[dict[str, str]], object]", run.args)
            found[order["id"]] = run.id
    return found


def movements() -> list[tuple[str, str]]:
    return sorted((entry.kind, entry.order) for entry in ledger.entries())


@pytest.mark.rule("C2")
def test_a_batch_ends_with_what_became_of_each_of_its_orders(client: Client) -> None:
    run = client.start(batch([Order("shipped", 1), Order("declined", 2), Order("stopped", 3)]))

    wait_until(lambda: len(ledger.entries()) == 3, "all orders are charged")
    child = children_by_order(client, run.id)
    client.signal(child["shipped"], approved, True)
    client.signal(child["declined"], approved, False)
    client.cancel(child["stopped"])
    assert run.result(RESULT_S) == Delivery(["shipped"], ["declined"], ["stopped"])
    assert movements() == [
        ("charge", "declined"),
        ("charge", "shipped"),
        ("charge", "stopped"),
        ("refund", "declined"),
    ]


@pytest.mark.rule("N1")
def test_a_subscription_goes_on_over_its_years_until_its_cancel_comes(client: Client) -> None:
    run = client.start(subscription(Subscription("s1", 900, period=dt.timedelta(milliseconds=20))))
    wait_until(lambda: len(ledger.entries()) > PERIODS_A_RUN, "the second year has begun")
    run.signal(cancel)
    paid = run.result(RESULT_S)
    assert run.run().state == "continued"
    assert paid > PERIODS_A_RUN
    assert [entry.order for entry in ledger.entries()] == [f"s1 period {n}" for n in range(1, paid + 1)]
