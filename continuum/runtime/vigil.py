"""Who watches over the owners of other nodes, so that what the dead left is taken up early (L4).

::

    each second; at once, and for a moment more often, when the group suspects a node or somebody was found dead
        look_for_gone ──► SURE_S ──► retire_gone: the database knows that none of their sessions is left
    the group's verdict on a node (its host may have vanished without closing a connection)
        ask ──► ANSWER_S ──► retire_silent: those that did not renew their rows

A verdict may be wrong, and a partition brings it again and again; that an owner is asked first makes it cost nothing
where the database is fine. Whoever was retired wrongly is fenced, finds out with its next heartbeat, and begins anew.

While no other owner lives, one question in ``ALONE_S`` is all that this costs; the notice of a new one ends that.
"""

from __future__ import annotations

import math

from continuum.ports.dispatch import Asked, Dispatch
from continuum.runtime.role import log

LOOK_S = 1.0
SURE_S = 0.05  # a living process replaces a session that was ended from outside in less
HURRY_S, HURRY_LOOKS = (
    0.1,
    5,
)  # a host's connections to the database and to the group do not end in one instant
ALONE_S = 10.0
ANSWER_S = 1.5  # for a notice, an engine's turn, and a heartbeat
TRIED_MAX = 200  # owners in one look; in a larger cluster so many dispatchers look that nobody is left out


class Vigil:
    """``boot``: the life of this node, whose own owners the supervisor watches. ``retired``: the owners that were found
    dead; who takes them out has taken care of what they left."""

    def __init__(self, dispatch: Dispatch, boot: str, now: float) -> None:
        self._dispatch, self._boot = dispatch, boot
        self.retired: list[str] = []
        self._look_at = now
        self._hurried = 0
        self._gone: list[str] = []
        self._sure_at = math.inf
        self._verdicts: dict[tuple[str, str], None] = {}
        self._asked: dict[tuple[str, str], tuple[float, list[Asked]]] = {}

    def look(self, now: float) -> None:
        """There is a new owner."""
        self._look_at = min(self._look_at, now)

    def suspect(self, now: float) -> None:
        """The group suspects a node."""
        self._hurried = HURRY_LOOKS
        self._look_at = min(self._look_at, now)

    def died(self, node: str, boot: str) -> None:
        """The group has given this life of a node up."""
        if boot != self._boot and (node, boot) not in self._asked:
            self._verdicts[node, boot] = None

    def postpone(self) -> None:
        """The database was away: who was asked could not answer."""
        self._verdicts.update(dict.fromkeys(self._asked))
        self._asked.clear()

    def wake_at(self) -> float:
        if self._verdicts:
            return -math.inf
        return min(
            self._look_at, self._sure_at, min((at for at, _ in self._asked.values()), default=math.inf)
        )

    def keep(self, now: float) -> None:
        """Ask, look and retire what is due."""
        for node, boot in list(self._verdicts):
            asked = self._dispatch.ask(node, boot)
            del self._verdicts[node, boot]
            self._asked[node, boot] = (now + ANSWER_S, asked)
        for (node, boot), (at, asked) in list(self._asked.items()):
            if now >= at:
                silent = self._dispatch.retire_silent(asked) if asked else []
                del self._asked[node, boot]
                self._note(silent, "the group has given their node up, and they do not answer")
        if now >= self._sure_at:
            retired = self._dispatch.retire_gone(self._gone)
            self._sure_at = math.inf
            self._note(retired, "their connections to the database are closed")
        if now >= self._look_at:
            others = self._dispatch.look_for_gone(self._boot, TRIED_MAX)
            if others.gone:
                self._gone, self._sure_at, self._hurried = others.gone, now + SURE_S, HURRY_LOOKS
            self._look_at = now + self._pause_s(others.live)

    def _pause_s(self, live: int) -> float:
        if self._hurried:
            self._hurried -= 1
            return HURRY_S
        return LOOK_S if live else ALONE_S

    def _note(self, retired: list[str], reason: str) -> None:
        if retired:
            log.warning("%s: %s; their runs are taken over", ", ".join(retired), reason)
            self.retired += retired
