"""What must be true when the demo is over, each as a finding. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from continuum_cli.demo.orders import Watched
from continuum_cli.demo.story import ORDERS, Victim

_NAMED_MAX = 3


@dataclass(frozen=True, slots=True)
class Finding:
    fine: bool
    text: str


def findings_of(
    orders: Sequence[Watched],
    results: Mapping[str | None, Any],
    ledger: Sequence[Any],
    gaps: Sequence[str],
    victims: Sequence[Victim],
) -> list[Finding]:
    """``results``: of the runs, by order; ``gaps``: orders whose journal has a gap or a double."""
    return [
        _finished(orders, results),
        _charged(orders, ledger),
        _journals(orders, gaps),
        _recovered(victims),
    ]


def _finished(orders: Sequence[Watched], results: Mapping[str | None, Any]) -> Finding:
    shipped = {
        order.id
        for order in orders
        if order.state == "completed" and results[order.id]["parcel"] == f"parcel-{order.id}"
    }
    missing = [f"{order.id} ({order.stage.text})" for order in orders if order.id not in shipped]
    text = f"{len(shipped)} of {ORDERS} orders finished"
    return Finding(len(shipped) == ORDERS, text + (f"; not {_named(missing)}" if missing else ""))


def _charged(orders: Sequence[Watched], ledger: Sequence[Any]) -> Finding:
    charges = Counter((entry.order, entry.cents) for entry in ledger if entry.kind == "charge")
    wrong = [order.id for order in orders if charges[order.id, order.cents] != 1]
    exact = not wrong and len(ledger) == len(orders) == ORDERS
    repeated = sum(order.stage.retried for order in orders)
    text = f"{len(ledger)} charges in the ledger, {'each made exactly once' if exact else 'NOT one for each order'}"
    if wrong:
        text += f"; see {_named(wrong)}"
    plural = "attempt was" if repeated == 1 else "attempts were"
    return Finding(exact, f"{text}; {repeated} {plural} repeated")


def _journals(orders: Sequence[Watched], gaps: Sequence[str]) -> Finding:
    text = f"{len(orders) - len(gaps)} journals without a gap or a double"
    return Finding(not gaps, text + (f"; not {_named(gaps)}" if gaps else ""))


def _recovered(victims: Sequence[Victim]) -> Finding:
    told = [
        f"{victim.name} back after {victim.away_s:.1f} s" if victim.successor else f"{victim.name} NOT back"
        for victim in victims
    ]
    return Finding(
        len(victims) == 2 and all(victim.successor for victim in victims),
        f"killed with kill -9: {', '.join(told) or 'nobody'}",
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
