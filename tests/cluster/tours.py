"""The application of the saga tests: what is booked is cancelled again; the ledger of the journeys says how often."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from continuum import Retry, activity, activity_info, compensate_all, saga, workflow
from tests.cluster.journeys import LEDGER_VARIABLE, append, read_ledger

LEGS = 4
TAKES_S = 0.2


def cancel_key(leg: int, run: str) -> str:
    return f"cancel-{run}-{leg}"


@activity(retry=Retry(max_attempts=20, initial=0.05, max_delay=0.5))
def book(leg: int) -> int:
    return leg


@activity(retry=Retry(max_attempts=20, initial=0.05, max_delay=0.5), idempotency_key=cancel_key)
def cancel(leg: int, run: str) -> None:
    """Cancel at a provider that knows idempotency keys: here, the ledger itself."""
    append("begin", "cancel", leg)
    key = activity_info().idempotency_key
    if all(line.kind != "pay" or line.key != key for line in read_ledger(Path(os.environ[LEDGER_VARIABLE]))):
        append("pay", "cancel", leg)
    threading.Event().wait(TAKES_S)  # the worst place to die: it is done, and nobody has been told


@activity(retry=Retry(max_attempts=20, initial=0.05, non_retryable=(ValueError,)))
def board(number: int) -> None:
    raise ValueError(f"tour {number} is full")


@workflow
async def tour(number: int) -> None:
    """Cancelled by the scope, one leg after the other."""
    async with saga() as undo:
        for leg in range(LEGS):
            undo.push(cancel(await book(leg), f"tour{number}"))
        await board(number)


@workflow
async def flight(number: int) -> None:
    """Cancelled by the options of its calls, side by side, by code that asks for it twice."""
    for leg in range(LEGS):
        await book(leg).options(compensate=cancel(leg, f"flight{number}"))
    try:
        await board(number)
    except Exception:
        await compensate_all(parallel=True)
        await compensate_all()
        raise
