"""What a checker knows of the test kit: results as from a client, and fakes that are functions."""

from __future__ import annotations

from typing import assert_type

from continuum import Signal
from continuum.testing import Replayed, SyncRun, assert_histories_match, replay, run_sync, start_sync
from tests.typing.defining import Order, charge, checkout, plain

ORDER = Order("o1", 4200)
approved = Signal("approved", bool)

assert_type(run_sync(checkout(ORDER)), list[str])
run = start_sync(
    checkout(ORDER), activities={charge: lambda order: "p1"}, signals=[(approved, True), ("x", 1)]
)
assert_type(run, SyncRun[list[str]])
assert_type(run.result(), list[str])
assert_type(replay(checkout, run.history), Replayed[list[str]])
assert_type(replay(checkout(ORDER), list(run.history)).result, list[str] | None)
assert_histories_match(run.history, "history.json")
start_sync(plain(), activities={"shop.charge": lambda: "p1"}).inject_signal("approved", True)

assert run.state == "suspended"
run.fire_timer()
assert run.state == "completed"

run_sync(charge(ORDER))  # E: arg-type
run_sync(checkout)  # E: arg-type
run_sync(checkout(ORDER), activities={charge: "p1"})  # E: dict-item
run_sync(checkout(ORDER), signals=["approved"])  # E: list-item
run.advance("1h")  # E: arg-type
number: int = run.result()  # E: assignment
replay(checkout, 3)  # E: arg-type
