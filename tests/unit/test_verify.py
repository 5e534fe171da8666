"""Checking code against histories: it runs along what is recorded, and not a step beyond."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from continuum.core.definitions import Registry, Workflow, activity
from continuum.core.effects import patched, side_effect, sleep, wait_signal
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.core.verify import verify
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.events import EventRow
from continuum.model.run import RunSeed
from continuum.ports.journal import RunCommit
from continuum.runtime import check
from continuum.runtime.check import CheckedRun, check_runs

FLOW = "verify.flow"
ARGS = payload.encode([[], {}])
IDENTITY = RunIdentity(UUID(int=7), FLOW, "default", 0, UUID(int=7))
OWNER = "n/default/engine-1/b-1"
Code = Callable[[], Awaitable[object]]


@activity(name="verify.note")
def note(text: str) -> str:
    return text


async def old() -> object:
    await note("a")
    await sleep(1)
    return await wait_signal("go")


async def reordered() -> object:
    await note("a")
    await wait_signal("go")
    await sleep(1)
    return None


async def guarded() -> object:
    await note("a")
    await sleep(1)
    answer = await wait_signal("go")
    return await note("b") if patched("after") else answer


async def shorter() -> object:
    return await note("a")


async def failing() -> object:
    await note("a")
    raise KeyError("no such thing")


def definition(code: Code, *, adopt: bool = False) -> Workflow[..., Any]:
    return Workflow(code, FLOW, versioning="adopt" if adopt else "pinned")


def journal(code: Code = old) -> list[EventRow]:
    """An activity that completed, a timer that waits."""
    machine = Machine(IDENTITY, definition(code), ARGS, Crew("b:0"))
    machine.begin()
    machine.complete(1, 1, payload.encode("a"), 1)
    return machine.take().events


@pytest.mark.rule("R3")
def test_code_that_does_what_is_recorded_matches_however_it_goes_on() -> None:
    assert verify(IDENTITY, definition(old), ARGS, journal()) is None
    assert verify(IDENTITY, definition(guarded), ARGS, journal()) is None


@pytest.mark.rule("R3")
def test_a_mismatch_shows_both_sides_and_what_is_around_it() -> None:
    found = verify(IDENTITY, definition(reordered), ARGS, journal())
    assert found is not None
    assert found.position == 3
    assert found.recorded.startswith("timer #1 (unit/test_verify.py:")
    assert found.commanded.startswith("wait for signal go #1 (unit/test_verify.py:")
    assert [seq for seq, _ in found.before] == [1, 2]
    assert found.before[0][1].startswith("activity verify.note #1")
    assert found.after == ()


@pytest.mark.rule("R5")
@pytest.mark.parametrize(
    ("code", "words"), [(shorter, "it has returned"), (failing, "it has raised KeyError: 'no such thing'")]
)
def test_a_workflow_that_ends_too_early_says_how(code: Code, words: str) -> None:
    found = verify(IDENTITY, definition(code), ARGS, journal())
    assert found is not None and found.position == 3
    assert words in found.commanded


def test_nothing_runs_beyond_the_last_recorded_event() -> None:
    ran = []

    async def curious() -> object:
        await note("a")
        await sleep(0.5)
        return 0

    async def more() -> object:
        try:
            await note("a")
            side_effect(lambda: ran.append("effect"))
        finally:
            side_effect(lambda: ran.append("finally"))
        return 0

    recorded = journal(curious)
    assert verify(IDENTITY, definition(more), ARGS, recorded[:2]) is None
    assert ran == []


class Runs:
    """A store with live runs of the workflow, as an engine has left them."""

    def __init__(self) -> None:
        self.store = MemoryStore(lambda: 1_700_000_000.0)
        self.store.dispatch.register(OWNER, "n", "", 1e6)
        self._count = 0

    def add(self, version_hash: str | None, events: list[EventRow], workflow: str = FLOW) -> UUID:
        self._count += 1
        run_id = UUID(int=self._count)
        seed = RunSeed(id=run_id, workflow=workflow, args=ARGS, version_hash=version_hash)
        (inserted,) = self.store.catalog.insert([seed], owner=OWNER)
        assert inserted.token is not None
        if events:
            assert self.store.journal.commit([RunCommit(run_id, inserted.token, 0, events, "suspended")])
        return run_id

    def check(self, *definitions: Workflow[..., Any]) -> list[CheckedRun]:
        known = Registry()
        for each in definitions:
            known.add_workflow(each)
        return list(check_runs(self.store.catalog, known))


@pytest.mark.rule("D5")
def test_every_live_run_is_checked_against_the_code_that_it_would_get() -> None:
    runs = Runs()
    own, others = definition(old).version_hash, definition(reordered).version_hash
    runs.add(own, journal())
    runs.add(None, journal())
    runs.add(others, journal())
    runs.add(own, [])
    runs.add(own, journal(), workflow="verify.elsewhere")
    pinned = [(run.choice, run.verdict) for run in runs.check(definition(old))]
    assert pinned == [
        ("own", "matches"),
        ("newest", "matches"),
        ("other", "matches"),
        ("own", "matches"),
        ("none", "no code"),
    ]
    adopted = [(run.choice, run.verdict) for run in runs.check(definition(reordered, adopt=True))]
    assert adopted == [
        ("newest", "drifts"),
        ("newest", "drifts"),
        ("own", "drifts"),
        ("newest", "matches"),
        ("none", "no code"),
    ]


def test_a_run_that_has_ended_is_not_checked() -> None:
    runs = Runs()
    run_id = runs.add(None, journal())
    runs.store.catalog.cancel(run_id, None)
    assert runs.check(definition(reordered)) == []


def test_a_history_that_cannot_be_read_is_said_to_be_so() -> None:
    runs = Runs()
    runs.add(None, [EventRow(1, 2, b"\xc1")])
    (checked,) = runs.check(definition(old))
    assert checked.verdict == "unreadable" and checked.reason is not None and "damaged" in checked.reason


def test_a_run_whose_row_is_damaged_is_unreadable_and_the_others_are_checked() -> None:
    runs = Runs()
    damaged, whole = runs.add(None, journal()), runs.add(None, journal())
    record = runs.store._database._tables.runs[damaged]
    record.seed = msgspec.structs.replace(record.seed, args=b"\xc1")
    verdicts = {run.run_id: run.verdict for run in runs.check(definition(old))}
    assert verdicts == {damaged: "unreadable", whole: "matches"}


def test_more_runs_than_a_page_are_all_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PAGE_RUNS", 2)
    runs = Runs()
    added = [runs.add(None, journal()) for _ in range(7)]
    assert sorted(run.run_id for run in runs.check(definition(old))) == sorted(added)
