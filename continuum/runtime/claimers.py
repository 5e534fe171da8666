"""The names under which a dispatcher takes tasks, and how the tasks of a lost claim come back.

A task row says who claimed it, and is lost when that claimer is not live. So a name is kept alive as long as
attempts taken under it are out, and given up as soon as nobody can tell what was taken under it:

- When the answer to a claim is lost, rows may be claimed that nobody knows of. The name takes no more tasks, the next
  one begins, and when the attempts known under the old one have ended it is retired: what it still holds is lost.
- When the dispatcher dies, its successor has another name. The workers keep the old one alive while they run its
  attempts, whose results they store themselves; after that it expires, and what never reached a worker is lost.

A lost task is a failed attempt (A5), never a stuck one.

The first name is also held by a session of the dispatcher and of each worker that has attempts of it. So it is found
dead early (L4) when all of these are, and not when the dispatcher dies alone. Later names just expire.
"""

from __future__ import annotations

import math

from continuum.ports.dispatch import Dispatch
from continuum.runtime.role import log

TTL_S, BEAT_S = 30.0, 10.0
_POOLED = (
    "the database is behind a connection pooler, and session locks do not pass one: should this node die, others take"
    " over its runs on the group's word, or after %g s; a database URL that goes past the pooler makes it one second"
)


class _Claimer:
    __slots__ = ("open", "registered")

    def __init__(self) -> None:
        self.open = 0  # attempts taken under this name whose end is not stored
        self.registered = False


class Claimers:
    """``first`` is the owner's text of the first name; the later ones have ``.1``, ``.2``, ... after it."""

    def __init__(self, dispatch: Dispatch, node: str, first: str, now: float) -> None:
        self._dispatch, self._node, self._first = dispatch, node, first
        self._names: dict[str, _Claimer] = {first: _Claimer()}
        self._count = 1
        self._retiring: list[str] = []
        self._beat_at = now
        self._closed = False
        self.current = first

    @property
    def gone(self) -> bool:
        """True after ``close`` once no name is left."""
        return self._closed and not self._names and not self._retiring

    def took(self, name: str, count: int) -> None:
        self._names[name].open += count

    def ended(self, name: str) -> None:
        claimer = self._names.get(name)
        if claimer is not None:
            claimer.open -= 1
            self._give_up_unused()

    def renew(self) -> None:
        """The answer to a claim was lost: take the next tasks under another name."""
        self.current = f"{self._first}.{self._count}"
        self._count += 1
        self._names[self.current] = _Claimer()
        self._beat_at = -math.inf  # it is to be registered at once
        self._give_up_unused()

    def answer(self, owner: str, now: float) -> None:
        """Somebody doubts that this name is still used: renew it at once, if it is."""
        if owner in self._names:
            self._beat_at = min(self._beat_at, now)

    def close(self) -> None:
        """Take nothing more; the last name goes when its attempts have ended."""
        self._closed = True
        self._give_up_unused()

    def wake_at(self) -> float:
        if self._retiring:
            return -math.inf
        return self._beat_at if self._names else math.inf

    def keep(self, now: float) -> bool:
        """Register and renew the names in use, retire the others; return True if tasks may have become lost by it."""
        if self._retiring:
            self._dispatch.retire(self._retiring)
            self._retiring = []
            return True
        if now >= self._beat_at:
            for name, claimer in self._names.items():
                if not claimer.registered and name == self._first and not self._dispatch.hold(name):
                    log.warning(_POOLED, TTL_S)
                if not claimer.registered or self._dispatch.heartbeat(name, TTL_S) is None:
                    self._dispatch.register(name, self._node, "", TTL_S)
                    claimer.registered = True
            self._beat_at = now + BEAT_S
        return False

    def _give_up_unused(self) -> None:
        unused = [
            name
            for name, claimer in self._names.items()
            if claimer.open == 0 and (self._closed or name != self.current)
        ]
        for name in unused:
            del self._names[name]
        self._retiring.extend(unused)
