"""Who waits for which run of a chain."""

from __future__ import annotations

from concurrent.futures import Future
from uuid import UUID

import pytest

from continuum.client.waits import Wait, Waits
from continuum.errors import ContinuumError, RunNotFoundError
from continuum.model.run import RunState
from continuum.ports.catalog import Ending
from continuum.postgres.notices import ended_payloads, ends_of

FIRST, SECOND, OTHER = (UUID(int=number) for number in (1, 2, 2**127))


def ending(run_id: UUID, state: RunState) -> Ending:
    return Ending(run_id, state, b"", None)


def waits_for(*asked: UUID) -> tuple[Waits, list[Wait]]:
    waits, each = Waits(), [Wait(run_id) for run_id in asked]
    for wait in each:
        waits.add(wait)
    return waits, each


@pytest.mark.rule("W1")
def test_a_wait_follows_its_chain_to_the_last_run() -> None:
    waits, (wait,) = waits_for(FIRST)
    assert not waits.settle(FIRST, ending(SECOND, "running"))
    assert waits.concerned([FIRST.int, SECOND.int]) == [SECOND]
    assert list(waits.settle(SECOND, ending(SECOND, "completed"))) == [wait]
    assert wait.answer == ending(SECOND, "completed") and not waits


@pytest.mark.rule("W1")
def test_waits_for_several_runs_of_a_chain_end_with_its_last() -> None:
    waits, both = waits_for(FIRST, SECOND)
    waits.settle(FIRST, ending(SECOND, "suspended"))
    assert waits.runs == [SECOND]
    assert set(waits.settle(SECOND, ending(SECOND, "failed"))) == set(both)


@pytest.mark.rule("W2")
def test_a_run_that_goes_on_is_waited_for_on_and_other_runs_concern_nobody() -> None:
    waits, (wait,) = waits_for(FIRST)
    assert not waits.settle(FIRST, ending(FIRST, "running"))
    assert not waits.settle(OTHER, ending(OTHER, "completed"))
    assert waits.concerned([OTHER.int]) == [] and waits.runs == [FIRST] and wait.answer is None


def test_who_waits_for_a_run_that_does_not_exist_is_told_which_one_was_asked_for() -> None:
    waits, (wait,) = waits_for(FIRST)
    waits.settle(FIRST, ending(SECOND, "running"))
    waits.settle(SECOND, None)
    assert isinstance(wait.answer, RunNotFoundError) and wait.answer.run_id == FIRST


def test_who_waits_no_longer_is_not_answered() -> None:
    waits, (gone, stays) = waits_for(FIRST, FIRST)
    waits.discard(gone)
    waits.discard(gone)
    assert list(waits.settle(FIRST, ending(FIRST, "completed"))) == [stays]
    waits.discard(stays)
    assert gone.answer is None


def test_all_are_told_why_their_answer_is_not_known() -> None:
    future = Future[Ending]()
    waits, _ = waits_for(FIRST)
    waits.add(Wait(SECOND, future))
    for wait in waits.give_up("closed"):
        assert isinstance(wait.answer, ContinuumError)
        wait.tell()
    assert not waits and str(future.exception(0)) == "closed"


def test_a_future_that_was_cancelled_is_left_alone() -> None:
    wait = Wait(FIRST, Future[Ending]())
    assert wait.future is not None and wait.future.cancel()
    wait.answer = ending(FIRST, "completed")
    wait.tell()
    assert wait.future.cancelled()


def test_any_ids_come_back_as_numbers_and_other_payloads_have_none() -> None:
    ids = [FIRST, OTHER, *(UUID(int=number) for number in range(1000, 1500))]
    payloads = [payload.encode() for payload in ended_payloads(ids)]
    assert [number for payload in payloads for number in ends_of(payload)] == [id.int for id in ids]
    for payload in ("", "due", "done", "done:", "done:x", "done:\xff", f"mail:{FIRST.hex}:owner"):
        assert ends_of(payload.encode()) == {}
