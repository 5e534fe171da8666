"""What the demo reads from a journal, what it accepts as proof, and the ledger that the proof rests on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from continuum.model.history import Event
from continuum_cli.demo.orders import Stage, Watched, stage_of
from continuum_cli.demo.proof import findings_of
from continuum_cli.demo.story import ORDERS, Victim
from examples.shop import ledger

CHARGED = ["activity_scheduled", "activity_completed", "signal_awaited"]
HELD = [*CHARGED, "signal_received", "timer_started"]
ORDER = Watched("order-01", 100, UUID(int=1), "completed", Stage(4, "shipped"))
VICTIMS = [Victim("worker-1", 1, 0.0, successor=3), Victim("engine-1", 2, 0.0, successor=4)]


def journal(types: list[str]) -> list[Event]:
    return [Event(type, seq, {}, datetime(2030, 1, 1, tzinfo=UTC)) for seq, type in enumerate(types, 1)]


@pytest.mark.parametrize(
    ("state", "types", "stage"),
    [
        ("running", [], Stage(0, "ordered")),
        ("running", CHARGED[:1], Stage(0, "charging")),
        ("running", [*CHARGED[:1], "activity_retried"], Stage(0, "charging again", 1)),
        ("suspended", CHARGED, Stage(1, "waits for approval")),
        ("suspended", HELD, Stage(2, "on hold")),
        ("running", [*HELD, "timer_fired", "activity_scheduled"], Stage(3, "shipping")),
        (
            "completed",
            [*HELD, "timer_fired", "activity_scheduled", "activity_completed"],
            Stage(4, "shipped"),
        ),
        ("failed", CHARGED[:1], Stage(0, "failed")),
    ],
)
def test_the_stage_of_an_order_is_read_from_its_journal(state: str, types: list[str], stage: Stage) -> None:
    assert stage_of(state, journal(types)) == stage


def proof(
    *,
    orders: list[Watched] | None = None,
    entries: list[ledger.Entry] | None = None,
    gaps: tuple[str, ...] = (),
    victims: list[Victim] = VICTIMS,
) -> list[bool]:
    orders = all_orders() if orders is None else orders
    entries = all_charges() if entries is None else entries
    results: dict[str | None, dict[str, str]] = {
        order.id: {"parcel": f"parcel-{order.id}"} for order in orders
    }
    return [finding.fine for finding in findings_of(orders, results, entries, gaps, victims)]


def all_orders() -> list[Watched]:
    return [replace(ORDER, id=f"order-{number}") for number in range(ORDERS)]


def all_charges() -> list[ledger.Entry]:
    return [ledger.Entry(f"{n}", f"charge order-{n}", "charge", f"order-{n}", 100) for n in range(ORDERS)]


def test_the_proof_finds_what_is_lost_or_doubled() -> None:
    charges = all_charges()
    assert proof() == [True, True, True, True]
    assert proof(entries=charges[1:]) == [True, False, True, True]
    assert proof(entries=[*charges, charges[0]]) == [True, False, True, True]
    assert proof(entries=[*charges[1:], charges[1]]) == [True, False, True, True]
    assert proof(entries=[replace(charges[0], cents=1), *charges[1:]]) == [True, False, True, True]
    failed = [replace(ORDER, id="order-0", state="failed"), *all_orders()[1:]]
    assert proof(orders=failed) == [False, True, True, True]
    assert proof(orders=all_orders()[1:])[:2] == [False, False]
    assert proof(gaps=("order-3",)) == [True, True, False, True]
    assert proof(victims=VICTIMS[:1]) == [True, True, True, False]
    assert proof(victims=[VICTIMS[0], replace(VICTIMS[1], successor=None)]) == [True, True, True, False]


def test_a_key_is_entered_into_the_ledger_once_even_by_attempts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ledger.PATH_VARIABLE, str(tmp_path / "ledger"))

    def charge(number: int) -> ledger.Entry:
        return ledger.enter("charge", key=f"charge o{number % 3}", order=f"o{number % 3}", cents=100)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(charge, range(24)))
    assert len(ledger.entries()) == 3
    assert set(answers) == set(ledger.entries())
