"""What a run would undo, in the order in which it came (chapter G).

::

    an activity with compensate= completed ──┐
    a saga was given a call ─────────────────┴─► pending ──► taken, to be run: at most once
                                                    └──────► forgotten with its saga

A compensation is made ready when it comes, its arguments and its key: on the way back nothing is left that could fail
in the workflow and keep the others from being run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from continuum.core.call import ActivityCall, compensating
from continuum.core.commands.activity import idempotency_key
from continuum.core.pending import Restore
from continuum.core.site import Place


class Undo(msgspec.Struct, frozen=True, eq=False):
    """A compensation. ``command``: the activity it undoes, 0 for one given by hand; ``undoes``: the call of that.
    ``scope``: the saga it belongs to, None for none. ``place``: of what it undoes, or its own."""

    call: ActivityCall[Any]
    args: bytes
    key: str | None
    place: Place
    command: int = 0
    undoes: ActivityCall[Any] | None = None
    scope: object = None


def ready(
    call: ActivityCall[Any],
    *,
    command: int = 0,
    undoes: ActivityCall[Any] | None = None,
    scope: object = None,
) -> Undo:
    """Return ``call`` as a compensation.

    Raises:
        PayloadError: an argument cannot be encoded.
    """
    place = call.place if undoes is None else undoes.place
    return Undo(call, call.packed(), idempotency_key(call), place, command, undoes, scope)


class Rollback:
    """The pending compensations of a run."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: list[Undo] | None = None

    def push(self, undo: Undo) -> None:
        if self._pending is None:
            self._pending = []
        self._pending.append(undo)

    def restoring(self, seq: int, call: ActivityCall[Any]) -> Restore:
        """Return what restores the result of ``call``, and makes its compensation pending by the way."""
        restore, compensation = call.target.signature.restore_result, call.compensation

        def restored(value: object) -> object:
            if isinstance(compensation, ActivityCall):  # also if the result cannot be restored
                self.push(ready(compensation, command=seq, undoes=call))
            result = restore(value)
            if compensation is not None and not isinstance(compensation, ActivityCall):
                made = compensation(result)
                if made is not None:
                    self.push(ready(compensating(made), command=seq, undoes=call))
            return result

        return restored

    def take(self, scope: object = None) -> list[Undo]:
        """Return what is pending of this scope, oldest first; it is not pending any more."""
        pending = self._pending or ()
        taken = [undo for undo in pending if undo.scope is scope]
        self._pending = [undo for undo in pending if undo.scope is not scope] or None
        return taken

    def take_one(self, call: ActivityCall[Any]) -> Undo | None:
        """Return the youngest pending compensation that is ``call``, or that undoes ``call`` if this was made with a
        compensation; it is not pending any more."""
        pending = self._pending or []
        for undo in reversed(pending):
            candidate = undo.call if call.compensation is None else undo.undoes
            if candidate is not None and _does_the_same(candidate, call):
                pending.remove(undo)
                return undo
        return None


def _does_the_same(one: ActivityCall[Any], other: ActivityCall[Any]) -> bool:
    """True if target and arguments are equal: under another policy it is still the same thing that is undone."""
    return (one.name, one.args, dict(one.kwargs)) == (other.name, other.args, dict(other.kwargs))
