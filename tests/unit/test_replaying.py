"""Replaying what was recorded: from a history, from events, from a file; and holding two histories side by side."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from continuum import (
    ActivityError,
    ConfigurationError,
    ReplayDriftError,
    Retry,
    Signal,
    activity,
    call,
    random,
    side_effect,
    sleep,
    workflow,
)
from continuum.testing import assert_histories_match, replay, start_sync

approved = Signal("approved", bool)


@activity(name="replaying.price", retry=Retry(max_attempts=2))
def price(item: str) -> Decimal:
    if item == "unknown":
        raise LookupError(item)
    return Decimal("9.90")


@workflow(name="replaying.order")
async def order(items: list[str]) -> dict[str, Any]:
    total = Decimal(0)
    for item in items:
        try:
            total += await price(item)
        except ActivityError:
            total += side_effect(lambda: 1)
    sent = await approved.wait(timeout=60)
    await sleep(dt.timedelta(days=1))
    return {"total": total, "approved": sent, "chance": random()}


@workflow(name="replaying.order_changed")
async def changed(items: list[str]) -> dict[str, Any]:
    total = Decimal(0)
    for item in items:
        total += await price(item)
    await sleep(dt.timedelta(days=1))
    return {"total": total, "approved": await approved.wait(timeout=60), "chance": random()}


def recorded(*items: str) -> Any:
    run = start_sync(order(list(items or ["book", "unknown"])), signals=[("approved", True)])
    run.fire_timer()
    return run


@pytest.mark.rule("R4", "R5")
def test_a_whole_history_replays_to_the_same_result_whatever_form_it_has(tmp_path: Path) -> None:
    run = recorded()
    file = tmp_path / "history.json"
    file.write_text(run.history.to_json())
    for form in (run.history, file, str(file)):
        replayed = replay(order, form)
        assert (replayed.state, replayed.result, replayed.error) == ("completed", run.result(), None)
    by_name = replay(call("replaying.order", ["book", "unknown"]), run.history)
    assert by_name.result == run.result()


@workflow(name="replaying.nothing")
async def needs_nothing(*more: int, last: int = 0) -> int:
    return len(more) + last + side_effect(lambda: 2)


@pytest.mark.rule("R4")
def test_bare_events_of_a_workflow_that_needs_no_arguments_replay_without_a_call() -> None:
    run = start_sync(needs_nothing())
    run.run_out()
    for events in (list(run.history), run.history.rows):
        assert replay(needs_nothing, events).result == 2


@pytest.mark.rule("R4")
def test_bare_events_replay_with_the_arguments_of_a_call() -> None:
    run = recorded()
    for events in (list(run.history), run.history.rows):
        replayed = replay(order(["book", "unknown"]), events)
        assert replayed.state == "completed"
        assert replayed.result is not None
        assert replayed.result["total"] == Decimal("10.90")
    with pytest.raises(ConfigurationError, match="pass the call"):
        replay(order, list(run.history))


@pytest.mark.rule("R5")
def test_a_history_that_ends_at_a_wait_is_suspended() -> None:
    history = recorded().history
    for length in range(1, len(history)):
        replayed = replay(order(["book", "unknown"]), history.rows[:length])
        assert (replayed.state, replayed.result) == ("suspended", None)


@pytest.mark.rule("R5")
def test_a_failed_run_replays_to_its_error() -> None:
    run = start_sync(order(["book"]))
    run.fire_timer()
    replayed = replay(order, run.history)
    assert replayed.state == "failed"
    assert replayed.error is not None
    assert replayed.error["type"] == "TimeoutError"


@pytest.mark.rule("R3")
def test_changed_code_is_drift_that_names_both_sides() -> None:
    with pytest.raises(ReplayDriftError, match=r"recorded: .*wait for signal approved #1") as caught:
        replay(changed, recorded("book").history)
    assert "commanded: timer #1" in str(caught.value)
    assert caught.value.position == 3


def test_a_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match="run history RUN --json"):
        replay(order, file)
    with pytest.raises(TypeError, match="takes a workflow"):
        replay(order.fn, file)  # type: ignore[arg-type]


def test_two_runs_of_the_same_code_tell_the_same_story(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    file.write_text(recorded().history.to_json())
    assert_histories_match(recorded().history, file)
    assert_histories_match(list(recorded().history), recorded().history)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["pen", "unknown"], "event 1"),
        (["book"], "event 3"),
        (["book", "unknown", "book"], "event 7"),
    ],
)
def test_the_first_event_that_differs_is_shown_on_both_sides(items: list[str], words: str) -> None:
    with pytest.raises(AssertionError, match=f"{words}:\n  a: .*\n  b: "):
        assert_histories_match(recorded().history, recorded(*items).history)


def test_a_history_that_stops_early_does_not_match() -> None:
    history = recorded().history
    with pytest.raises(AssertionError, match=f"event {len(history)}:\n  a: timer_fired .*\n  b: no event"):
        assert_histories_match(history, history[:-1])
