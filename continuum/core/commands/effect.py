"""What is decided once and journaled: side effects, patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from continuum.core.drift import Drift
from continuum.core.failure import activity_error, failure_of
from continuum.core.fingerprint import fingerprint_of, is_same, name_in
from continuum.core.loop import outside
from continuum.core.pending import Restore
from continuum.core.site import site_text, user_site
from continuum.errors import PayloadError
from continuum.model import payload
from continuum.model.events import EventBody, Failure, SideEffect
from continuum.model.retry import type_name

if TYPE_CHECKING:
    from continuum.core.machine import Machine

_NO_PAYLOAD = type_name(PayloadError)
ARGUMENTS = "the arguments, completed#"
"""What stands for the function of a side effect that is the run's arguments; no name of a function has blanks."""


def side_effect(machine: Machine, fn: Callable[[], object]) -> object:
    """Run ``fn`` once and journal what it gave; a replay gives the journaled value."""
    cursor = machine.cursor
    site = site_text(user_site())
    function = fingerprint_of(fn, machine.workflow.__qualname__)
    recorded = cursor.expected()
    if recorded is None:
        effect = _performed(fn, site, function, cursor.drawn)
        cursor.issue(effect)
    elif type(recorded) is SideEffect and _is_of(recorded, function) and cursor.drew(recorded):
        effect = recorded
        cursor.accept()
    else:
        cursor.drifted("side effect", f"{site}, {name_in(function)}{_otherwise(recorded, function)}")
    if effect.failure is not None:
        raise _error_of(effect.failure, effect.function)
    try:
        return payload.decode(effect.value, path="side_effect")
    except PayloadError as error:
        cursor.damaged(error)
        raise Drift from error


def completed_arguments(machine: Machine, args: bytes) -> bytes:
    """Return the payload of the run's arguments as its code sees them: if a default factory had to complete them, the
    whole is the run's first event, so that every replay sees the same."""
    cursor, signature = machine.cursor, machine.workflow.signature
    if cursor.replaying:
        recorded = cursor.expected() if cursor.at_an_effect else None
        if type(recorded) is SideEffect and recorded.function == ARGUMENTS:
            cursor.accept()
            return recorded.value
    if cursor.replaying or cursor.bounded or not signature.arguments_draw:
        return args
    with outside():
        whole = signature.completed_arguments(args)
    if whole != args:
        cursor.issue(SideEffect(whole, "", None, ARGUMENTS, ""))
    return whole


def default_of(machine: Machine, factory: Callable[[], object], told: str, restore: Restore) -> object:
    """Return what the default factory of a field gives, journaled as a side effect of the name ``told``.

    Histories of before have no such event: there, and where nothing is recorded any more, the factory is just called;
    and so it is for what cannot be journaled at all.
    """
    cursor, function = machine.cursor, f"{told}#"
    if cursor.closed or cursor.drift is not None:
        return factory()
    recorded = cursor.expected()
    site = site_text(user_site())
    if recorded is None:
        effect = _performed(factory, site, function, cursor.drawn)
        cursor.issue(effect)
    elif type(recorded) is SideEffect and recorded.function == function and cursor.drew(recorded):
        effect = recorded
        cursor.accept()
    elif getattr(recorded, "draws", None) is None:
        return factory()
    else:
        cursor.drifted("side effect", f"{site}, {told}")
    if effect.failure is not None and effect.failure.type == _NO_PAYLOAD:
        with outside():
            return factory()
    if effect.failure is not None:
        raise _error_of(effect.failure, function)
    return restore(payload.decode(effect.value, path=told))


def patched(machine: Machine, id: str) -> bool:
    """Whether the run is new enough for the patch ``id``: one answer for the run's whole life (D7)."""
    return machine.cursor.patched(id, site_text(user_site()))


def _error_of(failure: Failure, function: str) -> Exception:
    """A value that cannot be journaled is refused by a `PayloadError`, as an argument is; what the function raised
    comes as that of an activity does. Side effects of before the function was recorded knew the latter only."""
    if function and failure.type == _NO_PAYLOAD:
        return PayloadError(failure.message)
    return activity_error(failure, 1, False)


def _is_of(recorded: SideEffect, function: str) -> bool:
    return not recorded.function or is_same(recorded.function, function)


def _otherwise(recorded: EventBody, function: str) -> str:
    """The words for a function that is called the same and does something else."""
    if type(recorded) is not SideEffect or _is_of(recorded, function):
        return ""
    return ", with other code" if name_in(recorded.function) == name_in(function) else ""


def _performed(fn: Callable[[], object], site: str, function: str, drawn: str) -> SideEffect:
    """What ``fn`` does is outside the run: the guard does not see it, and effects in it are refused."""
    with outside():
        try:
            return SideEffect(payload.encode(fn(), path="side_effect"), site, None, function, drawn)
        except Exception as error:  # noqa: BLE001 - what fn raises is recorded like what it returns
            return SideEffect(b"", site, failure_of(error, skip_frames=1), function, drawn)
