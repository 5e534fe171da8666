"""A subscription: charge, wait for a month, and again, for years, until its customer cancels it.

    continuum node start shop.subscriptions
    continuum run start shop.subscriptions.subscription --args '[{"id": "s1", "cents": 900}]'
    continuum run signal RUN cancel

A journal grows with every month and a replay reads all of it, so a run is for one year: the next year is a successor
with an empty journal. To who has its id, the chain is one run.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from continuum import Signal, continue_as_new, days, workflow

from .flows import Order, charge

MONTH = days(30)
PERIODS_A_RUN = 12
SNAPSHOT_EVENTS = 20  # a period has four: a charge and a wait, and the end of each


@dataclass(frozen=True)
class Subscription:
    """``cents`` for each ``period``."""

    id: str
    cents: int
    period: dt.timedelta = MONTH


cancel = Signal("cancel")


@workflow(snapshot_every=SNAPSHOT_EVENTS)
async def subscription(terms: Subscription, paid: int = 0) -> int:
    """Charge at the beginning of each period; return how many were charged when a cancel came. ``paid``: by then."""
    for _ in range(PERIODS_A_RUN):
        paid += 1
        await charge(Order(f"{terms.id} period {paid}", terms.cents))  # one key for each period
        if await _cancelled_within(terms.period):
            break
    else:
        continue_as_new(subscription(terms, paid))
    return paid


async def _cancelled_within(period: dt.timedelta) -> bool:
    try:
        await cancel.wait(timeout=period)  # a durable timer
    except TimeoutError:
        return False
    return True
