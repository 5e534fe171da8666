"""Runs that an engine has died of (B4): blamed for it, resumed alone, and set aside for good if that does not help.

::

    an engine dies, code of run R was on its thread ──► blame(R): nobody else can claim R
        R's pause is over ──► open() ──► the node's lone engine starts ──► claim_suspect ──► Assign
            it lives  ──► its step is committed, R is given back and is a run like any other
            it dies   ──► blame(R): a longer pause, and after the last one none

Only the run whose code was on the thread is blamed, so that the neighbours, which lose no more than what they had in
memory, go on at once in the engine's successor. The count is the database's and begins anew when the run gets ahead;
so a node that is killed from outside now and then parks nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from uuid import UUID

from continuum.ports.clock import Clock
from continuum.ports.dispatch import Death, Dispatch
from continuum.runtime.role import log
from continuum.wire.messages import Assign
from continuum.wire.post import Peer, Post

LONE_ENGINE = "engine-alone"
OPENED_S = 10.0  # the lone engine is given so long to come, before it is asked for again


class Quarantine:
    """The dispatcher's part of it. ``open`` starts the lone engine if it does not run; None: this node has none, and
    leaves what is set aside to others."""

    def __init__(
        self, post: Post, dispatch: Dispatch, clock: Clock, open: Callable[[], None] | None, deaths_max: int
    ) -> None:
        self._post, self._dispatch, self._clock, self._open = post, dispatch, clock, open
        self._deaths_max = deaths_max
        self._deaths: list[Death] = []
        self._open_at = -math.inf  # not sooner again
        self._engine: tuple[Peer, str] | None = None  # it is there, registered, and has no run
        self._served: Peer | None = None  # it has its one run, whatever it said of room before it knew

    @property
    def pending(self) -> bool:
        return bool(self._deaths)

    def died(self, owner: str, run_id: UUID) -> None:
        """Code of this run was on the thread of ``owner`` when it died."""
        log.error("%s died while code of run %s ran in it", owner, run_id)
        self._deaths.append(Death(run_id, owner))

    def engine_says(self, peer: Peer, owner: str, free: int) -> None:
        """The lone engine announces itself."""
        self._engine = (peer, owner) if free > 0 and peer != self._served else None

    def engine_down(self, peer: Peer) -> None:
        if self._engine is not None and self._engine[0] == peer:
            self._engine = None

    def write(self) -> bool:
        """Blame, and say whether there was somebody; to be done before the dead are declared dead, so that nobody
        claims the run in between."""
        if not self._deaths:
            return False
        self._dispatch.blame(self._deaths, self._deaths_max)
        self._deaths = []
        return True

    def take(self) -> None:
        """There is a run that can be resumed alone now: give it to the lone engine, or start that."""
        now = self._clock.monotonic()
        if self._open is None:
            return
        if self._engine is not None:
            peer, owner = self._engine
            runs = self._dispatch.claim_suspect(owner)
            if runs:
                log.warning("run %s is resumed alone, because engines died of it", runs[0].run_id)
                self._engine, self._served = None, peer
                self._post.send(peer, Assign(owner, runs))
        elif now >= self._open_at:
            self._open_at = now + OPENED_S
            self._open()
