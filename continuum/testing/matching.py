"""Two histories side by side: do they tell the same story?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from os import PathLike
from pathlib import Path

from continuum.model.history import Event, History

Story = History | Sequence[Event] | str | PathLike[str]

# When, where and by what code it happened, and who carried it: not the same in two runs, or no part of the story.
_ASIDE = frozenset({"at", "crew", "site", "signal_id", "delay_s", "child", "run", "function", "draws"})


def assert_histories_match(a: Story, b: Story) -> None:
    """Assert that two histories have the same events in the same order, with the same values and failures.

    Each is a ``History``, events, or the path of a JSON file. Times, ids, source lines, tracebacks and the chance in
    back-offs are left aside, so that a run in memory can be held against one of a database.

    Raises:
        AssertionError: shows the first event that differs on both sides.
    """
    for number, (left, right) in enumerate(zip_longest(_events(a), _events(b)), 1):
        if _told(left) != _told(right):
            raise AssertionError(
                f"the histories differ at event {number}:\n  a: {_told(left)}\n  b: {_told(right)}"
            )


def _events(story: Story) -> Sequence[Event]:
    return History.from_json(Path(story).read_bytes()) if isinstance(story, str | PathLike) else story


def _told(event: Event | None) -> str:
    if event is None:
        return "no event"
    kept = {
        name: _without_traceback(value)
        for name, value in event.data.items()
        if name not in _ASIDE or (name == "delay_s" and event.type == "timer_started")
    }
    return f"{event.type} {kept}"


def _without_traceback(value: object) -> object:
    if isinstance(value, Mapping) and value.keys() == {"type", "message", "traceback", "cause"}:
        return {name: text for name, text in value.items() if name != "traceback"}
    return value
