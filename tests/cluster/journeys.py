"""The application of the kill tests: every attempt of an activity leaves a line in a ledger file.

A line is one ``write`` to a file opened for appending, so that lines of several processes never mix, and what a
process wrote before it was killed stays.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from continuum import ActivityError, History, Retry, Signal, activity, activity_info, sleep, workflow

LEDGER_VARIABLE = "CONTINUUM_TEST_LEDGER"
LOST = "lost"

go = Signal("go", int)


@dataclass(frozen=True)
class Line:
    """``kind`` is ``begin`` (an attempt began) or ``pay`` (a payment was made, under its idempotency key)."""

    kind: str
    activity: str
    run: str
    number: int
    attempt: int
    key: str


def append(kind: str, name: str, number: int) -> None:
    info = activity_info()
    line = f"{kind} {name} {info.run_id} {number} {info.attempt} {info.idempotency_key}\n"
    descriptor = os.open(os.environ[LEDGER_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_ledger(path: Path) -> list[Line]:
    if not path.exists():
        return []
    fields = (line.split() for line in path.read_text().splitlines())
    return [
        Line(kind, name, run, int(number), int(attempt), key)
        for kind, name, run, number, attempt, key in fields
    ]


def by_attempt(lines: list[Line], name: str) -> dict[tuple[str, int, int], int]:
    """How often each attempt (run, number, attempt) of an activity began."""
    counts: dict[tuple[str, int, int], int] = defaultdict(int)
    for line in lines:
        if line.kind == "begin" and line.activity == name:
            counts[line.run, line.number, line.attempt] += 1
    return counts


def payment_key(number: int, run: str) -> str:
    return f"pay-{run}-{number}"


@activity(retry=Retry(max_attempts=20, initial=0.05, max_delay=0.5), idempotency_key=payment_key)
def pay(number: int, run: str) -> int:
    """A payment at a provider that knows idempotency keys: here, the ledger itself."""
    append("begin", "pay", number)
    info = activity_info()
    paid = any(
        line.kind == "pay" and line.key == info.idempotency_key
        for line in read_ledger(Path(os.environ[LEDGER_VARIABLE]))
        if line.run == str(info.run_id)
    )
    if not paid:
        append("pay", "pay", number)
    return number


@activity(retry=Retry(max_attempts=1))
async def notify(number: int) -> int:
    """Something that must not be done twice, whatever happens: one attempt."""
    append("begin", "notify", number)
    return number


@activity(retry=Retry(max_attempts=1))
def nap(number: int, seconds: float) -> int:
    """One attempt that takes a while, so that a kill finds some of them under way."""
    append("begin", "nap", number)
    threading.Event().wait(seconds)  # what the activity works on
    return number


@workflow
async def journey(number: int, legs: int) -> list[object]:
    """A chain of paid and unpaid steps with timers between them, that ends after a signal."""
    seen: list[object] = []
    for leg in range(legs):
        seen.append(await pay(leg, str(number)))
        try:
            seen.append(await (nap(leg, 0.3) if leg == 1 else notify(leg)))
        except ActivityError as error:
            if error.type != "attempts_exhausted":
                raise
            seen.append(LOST)
        await sleep(0.4)
    seen.append(await go.wait())
    return seen


def check_runs(results: Mapping[UUID, list[object]], histories: Sequence[History], lines: list[Line]) -> None:
    """Assert that each journey, of any number of legs, ended right, and that no only attempt began twice."""
    single = by_attempt(lines, "notify") | by_attempt(lines, "nap")
    assert set(single.values()) == {1}, "an activity with one attempt ran twice"
    assert {attempt for _, _, attempt in single} == {1}
    for run_id, result in results.items():
        assert result[0::2] == [*range(len(result) // 2), 7], result
        for leg, value in enumerate(result[1::2]):
            ran = (str(run_id), leg, 1) in single
            assert value == LOST or (value == leg and ran), "a result without an attempt"
    for history in histories:
        seqs = [event.seq for event in history]
        assert seqs == list(range(1, len(seqs) + 1)), f"gap or double in {history.run_id}"


def check_payments(lines: list[Line], count: int) -> None:
    """Assert that each of so many payments was made exactly once."""
    payments = [(line.run, line.number) for line in lines if line.kind == "pay"]
    assert len(payments) == len(set(payments)) == count
