"""Workflows of more than one run for the test kit, and a fixture that replays every run that ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from continuum import Retry, Signal, activity, workflow
from continuum.testing import SyncRun


@pytest.fixture(autouse=True)
def paranoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run that ends is replayed at once, and must end in the same way."""
    monkeypatch.setenv("CONTINUUM_PARANOID", "1")


@dataclass(frozen=True)
class Parcel:
    weight: int


go = Signal("go", int)


@activity(name="kin_kit.weigh")
def weigh(parcel: Parcel) -> int:
    return parcel.weight


@activity(name="kin_kit.undo", retry=Retry(max_attempts=2, jitter=0))
def undo(what: str) -> None:
    """Undoes nothing; tests replace it."""


@workflow(name="kin_kit.waits")
async def waits() -> int:
    return await go.wait()


@workflow(name="kin_kit.awaits")
async def awaits() -> int:
    return await waits()


def types(run: SyncRun[Any]) -> list[str]:
    return [event.type for event in run.history]
