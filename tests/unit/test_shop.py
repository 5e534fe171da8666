"""The example's money: taken once, and given back when the order comes to nothing."""

from __future__ import annotations

import pytest

from continuum.model.events import CompensationScheduled, Failure, from_row
from examples.shop.flows import Order, checkout
from tests.unit.test_machine import Driver

ORDER = Order("o1", 4200)


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
