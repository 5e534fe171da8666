"""What a run waits for, read from its journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from continuum.model.history import Event, History
from continuum_cli.output import moment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARRIVALS = frozenset(
    {
        "activity_completed",
        "activity_failed",
        "compensation_completed",
        "compensation_failed",
        "signal_received",
        "timer_fired",
    }
)
_CHILD_ENDS = frozenset({"child_completed", "child_failed", "child_cancelled"})


def waits_of(history: History) -> list[str]:
    """Return, oldest first, the commands that have not been answered; those that the code gave up are among them."""
    waits: dict[object, str] = {}
    for event in history:
        if "unreadable" in event.data:
            continue
        if event.type in _ARRIVALS or event.type in _CHILD_ENDS:
            waits.pop(event.data.get("command"), None)
        elif event.type == "activity_retried":
            waits[event.data["command"]] = _attempt(waits.get(event.data["command"], "activity"), event)
        elif (what := _command(event)) is not None:
            waits[event.seq] = what
    return list(waits.values())


def _command(event: Event) -> str | None:
    match event.type:
        case "activity_scheduled":
            return f"activity {event.data['activity']}"
        case "compensation_scheduled":
            return f"compensation {event.data['activity']}"
        case "child_started":
            return f"child {event.data['workflow']} ({event.data['child']})"
        case "signal_awaited":
            timeout_s = event.data["timeout_s"]
            until = "" if timeout_s is None else f", until {_due(event, timeout_s)}"
            return f"signal {event.data['name']}{until}"
        case "timer_started":
            until_us = event.data["until"]
            if isinstance(until_us, int):
                return f"timer at {moment(_EPOCH + timedelta(microseconds=until_us))}"
            return f"timer at {_due(event, event.data['delay_s'])}"
        case _:
            return None


def _attempt(what: str, event: Event) -> str:
    name = what.split(",", 1)[0]
    failure = event.data["failure"]
    last = f": {failure['type']}: {failure['message']}" if isinstance(failure, dict) else ""
    return f"{name}, attempt {event.data['attempt']} after a failure{last}"


def _due(event: Event, seconds: object) -> str:
    assert isinstance(seconds, int | float), "the journal says so"
    return moment(event.inserted_at + timedelta(seconds=seconds))
