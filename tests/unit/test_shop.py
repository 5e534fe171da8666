"""The example's money: taken once, and given back when the order comes to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from continuum.model.events import CompensationScheduled, Failure, from_row
from continuum.testing import SyncRun, run_sync, start_sync
from examples.shop import flows, ledger
from examples.shop.flows import Order, Receipt, approved, charge, checkout
from examples.shop.subscriptions import PERIODS_A_RUN, Subscription, cancel, subscription
from tests.unit.machine_driver import Driver

ORDER = Order("o1", 4200)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty book of money, and a bank and a carrier that answer at once."""
    path = tmp_path / "ledger"
    monkeypatch.setenv(ledger.PATH_VARIABLE, str(path))
    monkeypatch.setattr(flows, "ANSWER_S", 0.0)
    return path


def charged_order(*, accepted: bool) -> Driver:
    run = Driver(checkout, {"id": ORDER.id, "cents": ORDER.cents})
    run.complete(1, "charge-1")
    run.signal(1, "approved", accepted)
    return run


@pytest.mark.rule("G1", "G3")
def test_an_order_that_cannot_be_shipped_gives_its_money_back_and_fails() -> None:
    run = charged_order(accepted=True)
    run.fire(5)
    (ship,) = run.machine.attempts()
    run.machine.fail(ship.dispatch.seq, 1, Failure("OSError", "no carrier"), False, run.machine.cursor.at)
    run.take()
    (refund,) = run.machine.attempts()
    assert (refund.dispatch.call.name, refund.dispatch.idempotency_key) == (
        "examples.shop.flows.refund",
        "refund o1",
    )
    run.complete(refund.dispatch.seq, "refund-2")
    assert run.failure.message == "no carrier"


def test_a_declined_order_gives_its_money_back_once() -> None:
    run = charged_order(accepted=False)
    (refund,) = run.machine.attempts()
    run.complete(refund.dispatch.seq, "refund-2")
    assert run.result == {"order": "o1", "payment": "charge-1", "parcel": None}
    assert not any(isinstance(from_row(row), CompensationScheduled) for row in run.history)


def test_an_approved_order_is_charged_once_and_shipped(book: Path) -> None:
    receipt = run_sync(checkout(ORDER), signals=[(approved, True)])
    assert receipt == Receipt("o1", "charge-1", "parcel-o1")
    assert [(entry.kind, entry.cents) for entry in ledger.entries(book)] == [("charge", 4200)]


@pytest.mark.rule("T1")
def test_an_order_that_nobody_approves_for_three_days_gives_its_money_back(book: Path) -> None:
    assert run_sync(checkout(ORDER)) == Receipt("o1", "charge-1", None)
    assert [(entry.kind, entry.cents) for entry in ledger.entries(book)] == [
        ("charge", 4200),
        ("refund", -4200),
    ]


def subscribed(charged: list[str], paid: int = 0) -> SyncRun[int]:
    """A subscription that has begun; ``charged`` takes the ids of what it charges."""

    def note(order: Order) -> str:
        charged.append(order.id)
        return "payment"

    return start_sync(subscription(Subscription("s1", 900), paid), activities={charge: note})


def test_a_subscription_charges_every_month_until_it_is_cancelled() -> None:
    charged: list[str] = []
    run = subscribed(charged)
    run.fire_timer()
    run.fire_timer()
    assert charged == ["s1 period 1", "s1 period 2", "s1 period 3"]
    run.inject_signal(cancel)
    assert (run.state, run.result()) == ("completed", 3)


@pytest.mark.rule("N1")
def test_after_a_year_a_subscription_continues_as_new_with_what_was_paid() -> None:
    charged: list[str] = []
    run = subscribed(charged, paid=PERIODS_A_RUN)
    for _ in range(PERIODS_A_RUN):
        assert run.state == "suspended"
        run.fire_timer()
    first, second = run.chain
    assert (first[-1].type, run.state) == ("run_continued_as_new", "suspended")
    [_, paid] = cast("Any", second.args)[0]
    assert paid == 2 * PERIODS_A_RUN
    last = 2 * PERIODS_A_RUN
    assert charged[-2:] == [f"s1 period {last}", f"s1 period {last + 1}"], (
        "the successor goes on where it was"
    )
