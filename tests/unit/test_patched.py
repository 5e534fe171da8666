"""``patched``: one answer for a run's whole life, whatever is changed around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

import continuum
from continuum.core.definitions import Workflow, activity
from continuum.core.effects import patched, sleep
from continuum.core.failure import decode_failure
from continuum.core.machine import Machine
from continuum.core.step import Crew, RunIdentity
from continuum.errors import ReplayDriftError
from continuum.model import payload
from continuum.model.events import EVENT_TYPES, EventRow, TimerStarted, from_row

RUN = UUID(int=7)
BEGAN = 1_700_000_000_000_000
SECOND = 1_000_000
Code = Callable[[], Awaitable[object]]


@activity(name="patched.note")
def note(text: str) -> str:
    return text


class Walk:
    """A run of ``code`` along a journal, and on: every activity gives its argument back, every timer fires."""

    def __init__(self, code: Code, journal: list[EventRow] | None = None) -> None:
        identity = RunIdentity(RUN, "patched.flow", "default", BEGAN, RUN)
        target: Workflow[..., Any] = Workflow(code, "patched.flow")
        self.machine = Machine(identity, target, payload.encode([[], {}]), Crew("b:0"))
        self.journal = list(journal or [])
        self.machine.begin(self.journal)
        self.take()

    def take(self) -> None:
        step = self.machine.take()
        self.journal += step.events
        if step.state in ("completed", "failed"):
            assert step.state == "completed", decode_failure(step.error or b"")
            self.result: Any = payload.decode(step.result or b"")

    def turn(self) -> bool:
        """Answer the oldest thing that the code waits for."""
        if not self.machine.pending:
            return False
        seq = min(self.machine.pending)
        at = BEGAN + len(self.journal) * SECOND
        current = self.machine.attempt(seq)
        if current is not None:
            self.machine.complete(seq, current[1], payload.encode(current[0].args[0]), at)
        else:
            self.machine.fire(seq, at)
        self.take()
        return True

    def to_the_end(self) -> Walk:
        while self.turn():
            continue
        return self

    @property
    def types(self) -> list[str]:
        return [EVENT_TYPES[row.kind] for row in self.journal]


def begun(code: Code, turns: int) -> list[EventRow]:
    """The journal of a run of ``code`` that had so many answers, and is still alive."""
    walk = Walk(code)
    for _ in range(turns):
        walk.turn()
    assert not walk.machine.ended
    return walk.journal


async def before() -> object:
    return [await note("a"), await note("b"), await note("c")]


async def at_the_front() -> object:
    first = await note("new") if patched("front") else None
    return [await note("a"), await note("b"), await note("c"), first]


async def in_the_middle() -> object:
    texts = [await note("a")]
    if patched("middle"):
        texts.append(await note("new"))
    return [*texts, await note("b"), await note("c")]


async def at_the_back() -> object:
    texts = [await note("a"), await note("b"), await note("c")]
    return [*texts, await note("new")] if patched("back") else texts


@pytest.mark.rule("D7")
@pytest.mark.parametrize("code", [at_the_front, in_the_middle, at_the_back])
def test_a_new_run_takes_the_new_way_and_says_so_in_its_journal(code: Code) -> None:
    walk = Walk(code).to_the_end()
    assert "new" in walk.result
    assert walk.types.count("patched") == 1
    assert Walk(code, walk.journal[:-1]).to_the_end().journal == walk.journal


@pytest.mark.rule("D7")
@pytest.mark.parametrize(
    ("code", "turns"), [(at_the_front, 0), (at_the_front, 2), (in_the_middle, 1), (in_the_middle, 2)]
)
def test_a_run_that_is_past_the_change_keeps_the_old_way(code: Code, turns: int) -> None:
    journal = begun(before, turns)
    walk = Walk(code, journal)
    assert walk.journal == journal, "it consumes no history, and adds none"
    assert "new" not in walk.to_the_end().result
    assert "patched" not in walk.types


@pytest.mark.rule("D7")
@pytest.mark.parametrize(("code", "turns"), [(in_the_middle, 0), (at_the_back, 0), (at_the_back, 2)])
def test_a_run_that_has_not_come_to_the_change_takes_the_new_way(code: Code, turns: int) -> None:
    walk = Walk(code, begun(before, turns)).to_the_end()
    assert "new" in walk.result
    assert walk.types.count("patched") == 1


@pytest.mark.rule("D7")
@pytest.mark.parametrize("old_turns", range(3))
@pytest.mark.parametrize("code", [at_the_front, in_the_middle, at_the_back])
def test_a_crash_after_any_commit_finds_the_same_answer_again(code: Code, old_turns: int) -> None:
    journal = begun(before, old_turns)
    whole = Walk(code, journal).to_the_end()
    for turns in range(5):
        crashed = Walk(code, journal)
        for _ in range(turns):
            crashed.turn()
        again = Walk(code, crashed.journal).to_the_end()
        assert (again.journal, again.result) == (whole.journal, whole.result)


@pytest.mark.rule("D7")
def test_in_a_loop_the_first_answer_holds_for_every_turn() -> None:
    def loop(asks: bool) -> Code:
        async def code() -> object:
            said = []
            for _ in range(4):
                said.append(asks and patched("loop"))
                await sleep(2 if said[-1] else 1)
            return said

        return code

    old = Walk(loop(True), begun(loop(False), 2)).to_the_end()
    assert old.result == [False] * 4
    assert "patched" not in old.types
    new = Walk(loop(True)).to_the_end()
    assert new.result == [True] * 4
    assert new.types.count("patched") == 1


@pytest.mark.rule("D7")
def test_a_loop_that_comes_to_its_first_call_late_is_decided_there() -> None:
    async def code() -> object:
        said = []
        for turn in range(4):
            if turn >= 2:
                said.append(patched("late"))
            await sleep(1)
        return said

    async def old() -> object:
        for _ in range(4):
            await sleep(1)
        return None

    assert Walk(code, begun(old, 1)).to_the_end().result == [True, True]
    assert Walk(code, begun(old, 2)).to_the_end().result == [False, False]


@pytest.mark.rule("D7")
def test_patches_of_two_ids_do_not_disturb_each_other_in_either_order() -> None:
    def code(*ids: str) -> Code:
        async def flow() -> object:
            said = {id: patched(id) for id in ids}
            await note("a")
            return [[id, said[id]] for id in sorted(said)]

        return flow

    one_two = Walk(code("one", "two"))
    assert Walk(code("two", "one"), one_two.journal).to_the_end().result == [["one", True], ["two", True]]
    only_one = begun(code("one"), 0)
    for ids in (("one", "two"), ("two", "one")):
        walk = Walk(code(*ids), only_one)
        assert walk.journal == only_one
        assert walk.to_the_end().result == [["one", True], ["two", False]]


@pytest.mark.rule("D7")
def test_a_later_patch_behind_an_earlier_one_that_ends_the_journal_is_new_ground() -> None:
    async def first() -> object:
        await note("a")
        said = [patched("one")]
        await note("b")
        return said

    async def second() -> object:
        await note("a")
        said = [patched("two"), patched("one")]
        await note("b")
        return said

    assert Walk(second, begun(first, 0)).to_the_end().result == [True, True]
    assert Walk(second, begun(first, 1)).to_the_end().result == [False, True]


@pytest.mark.rule("D7")
def test_parallel_tasks_get_one_answer() -> None:
    async def branch(text: str) -> object:
        return [patched("both"), await note(text), patched("both")]

    async def code() -> object:
        return await asyncio.gather(branch("a"), branch("b"))

    async def old() -> object:
        return await asyncio.gather(note("a"), note("b"))

    assert Walk(code).to_the_end().result == [[True, "a", True], [True, "b", True]]
    for turns in (0, 1):
        assert Walk(code, begun(old, turns)).to_the_end().result == [[False, "a", False], [False, "b", False]]


@pytest.mark.rule("D7", "R3")
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_taking_a_patch_out_of_the_code_too_early_is_drift_that_names_it(turns: int) -> None:
    async def kept() -> object:
        return [await note("new"), await note("a"), await note("b"), await note("c")]

    journal = begun(at_the_front, turns)
    with pytest.raises(ReplayDriftError) as caught:
        Walk(kept, journal)
    assert "patch front #1" in caught.value.recorded
    assert "test_patched.py" in caught.value.recorded, "and where it stood"
    assert "does not ask for this patch" in caught.value.commanded


@pytest.mark.rule("D7", "R3")
def test_a_patch_in_front_of_other_drift_does_not_hide_it() -> None:
    async def other() -> object:
        if patched("front"):
            await sleep(1)
        return None

    with pytest.raises(ReplayDriftError) as caught:
        Walk(other, begun(at_the_front, 0))
    assert caught.value.position == 2
    assert "activity patched.note #1" in caught.value.recorded
    assert "timer #1" in caught.value.commanded


def test_a_patch_alone_is_committed_before_anything_depends_on_it() -> None:
    async def code() -> object:
        patched("alone")
        await asyncio.Event().wait()
        return None

    walk = Walk(code)
    assert walk.types == ["patched"]
    assert Walk(code, walk.journal).journal == walk.journal


def test_numbers_of_the_commands_behind_a_patch_are_their_places_in_the_journal() -> None:
    async def code() -> object:
        patched("one")
        patched("two")
        await sleep(1)
        return None

    walk = Walk(code)
    again = Walk(code, walk.journal)
    assert list(again.machine.pending) == [3]
    assert isinstance(from_row(walk.journal[2]), TimerStarted)


@pytest.mark.rule("X8", "D7")
def test_dropping_a_run_makes_no_decision() -> None:
    async def code() -> object:
        try:
            await sleep(1)
        finally:
            patched("cleanup")
        return None

    walk = Walk(code)
    walk.machine.drop()
    assert walk.machine.cursor.take()[1] == []


@pytest.mark.rule("X9")
def test_outside_a_workflow_it_is_false() -> None:
    assert continuum.patched("anything") is False


@pytest.mark.parametrize("id", ["", 3])
def test_a_patch_has_a_name(id: Any) -> None:
    with pytest.raises(ValueError, match="a patch has a name"):
        patched(id)
