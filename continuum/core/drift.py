"""The two sides of a replay that does not match its journal (R3, R5)."""

from __future__ import annotations

from collections.abc import Sequence

from continuum.core.draws import described
from continuum.core.fingerprint import name_in
from continuum.errors import ReplayDriftError
from continuum.model.events import (
    EVENT_TYPES,
    KIND_OF,
    ActivityScheduled,
    ChildStarted,
    CompensationScheduled,
    EventBody,
    Patched,
    RunContinuedAsNew,
    SideEffect,
    SignalAwaited,
    SignalReceived,
)


class Drift(BaseException):
    """Unwinds workflow code whose commands are not recorded any more: nothing may catch it for an ordinary error."""


def drift_error(
    recorded: Sequence[EventBody], position: int, commanded: str | None, site: str, drawn: str
) -> ReplayDriftError:
    """Return the error for the recorded event at ``position`` (from 0), where the code issued ``commanded``, having
    drawn ``drawn`` since its last command.

    With ``commanded`` None the code issued nothing, and ``site`` says what it did instead.
    """
    told = describe(recorded, position)
    if commanded is None:
        return ReplayDriftError(position + 1, told, f"nothing: {site}")
    issued = _at(_nth(recorded, position, commanded), site)
    before: str | None = getattr(recorded[position], "draws", None)
    if before is not None and before != drawn:
        order = " in another order" if described(before) == described(drawn) else ""
        told, issued = f"{told} after {described(before)}", f"{issued} after {described(drawn)}{order}"
    return ReplayDriftError(position + 1, told, issued)


def describe(recorded: Sequence[EventBody], position: int) -> str:
    """Return the recorded event for people: type, target, ordinal of that target (R2), source line."""
    body = recorded[position]
    target = _target(body)
    if target is None:
        answered = getattr(body, "command", 0)
        text = EVENT_TYPES[KIND_OF[type(body)]]
        return f"{text} for event {answered} ({describe(recorded, answered - 1)})" if answered else text
    site = getattr(body, "site", "")
    if isinstance(body, SideEffect) and body.function:
        site = f"{site}, {name_in(body.function)}"
    return _at(_nth(recorded, position, target), site)


def _target(body: EventBody) -> str | None:
    """Name a command as the machine names it; None for an event that is only an arrival."""
    match body:
        case ActivityScheduled(activity=name):
            return f"activity {name}"
        case CompensationScheduled(activity=name):
            return f"compensation {name}"
        case SignalAwaited(name=name) | SignalReceived(name=name, command=0):
            return f"wait for signal {name}"
        case ChildStarted(workflow=name):
            return f"child {name}"
        case RunContinuedAsNew(workflow=name):
            return f"continue_as_new {name}"
        case Patched(id=name):
            return f"patch {name}"
        case _:
            return {1: "side effect", 8: "timer"}.get(KIND_OF[type(body)])


def _nth(recorded: Sequence[EventBody], position: int, target: str) -> str:
    return f"{target} #{1 + sum(_target(body) == target for body in recorded[:position])}"


def _at(text: str, site: str) -> str:
    return f"{text} ({site})" if site else text
