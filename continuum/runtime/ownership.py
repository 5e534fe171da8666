"""The engine's own row: registered at start, renewed while it lives, and the source of the database's time (L2, L3).

Each renewal says which lease of the engine is the newest, by which it notices those that it never heard of (B6).

The engine is also held by the session of its ``LEASE`` lane, whose end tells others that it is dead (L4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from continuum.model.ids import Owner
from continuum.ports.clock import Clock
from continuum.ports.dispatch import Beat
from continuum.ports.offload import Desk, Lane
from continuum.runtime.asking import Asking
from continuum.runtime.role import log

TTL_S = 30.0
HEARTBEAT_S = 10.0


class Ownership:
    """``leased`` is called with the largest token of the engine's leases, at each renewal.
    ``live``: registered, and never found expired. ``held``: by a session, see `Dispatch.hold`. ``lost``: it was
    expired, and others may hold its runs: the process has to end, and a new incarnation begins with nothing."""

    def __init__(
        self,
        owner: Owner,
        address: str,
        asking: Asking,
        clock: Clock,
        leased: Callable[[int], None],
        loaded: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.owner = str(owner)
        self._node, self._address, self._loaded = owner.node, address, loaded
        self._asking, self._clock, self._leased = asking, clock, leased
        self.live = self.held = False
        self.lost = False
        self._next_beat = float("inf")
        self._again = False  # renew once more, after the answer that is under way
        self._offset_s = 0.0

    def begin(self) -> None:
        owner, node, address, loaded = self.owner, self._node, self._address, self._loaded

        def register(desk: Desk) -> tuple[bool, float]:
            held = desk.dispatch.hold(owner)
            return held, desk.dispatch.register(owner, node, address, TTL_S, loaded)

        self._asking.ask(Lane.LEASE, register, self._registered)

    def answer(self, owner: str) -> None:
        """Somebody doubts that this owner lives: renew its row at once, or as soon as it is registered."""
        if owner == self.owner:
            self.look()

    def look(self) -> None:
        """Renew the row, and look at the leases, at once: not by an answer that is on its way already."""
        if self._next_beat < float("inf"):
            self._next_beat = self._clock.monotonic()
        else:
            self._again = True

    def tick(self) -> None:
        if self._clock.monotonic() >= self._next_beat:
            self._next_beat = float("inf")
            owner = self.owner
            self._asking.ask(Lane.LEASE, lambda desk: desk.dispatch.heartbeat(owner, TTL_S), self._beaten)

    def wake_at(self) -> float:
        return self._next_beat

    def now_us(self) -> int:
        """The database's time in microseconds since the epoch, as far as the last heartbeat tells."""
        return round((self._clock.monotonic() + self._offset_s) * 1e6)

    def _registered(self, answer: tuple[bool, float]) -> None:
        self.live, (self.held, database_time) = True, answer
        self._renewed(database_time)

    def _beaten(self, beat: Beat | None) -> None:
        if beat is None:
            log.error(
                "owner %s was found expired: its runs may have another owner now; starting anew", self.owner
            )
            self.live, self.lost = False, True
            return
        self._renewed(beat.now)
        self._leased(beat.token)

    def _renewed(self, database_time: float) -> None:
        now = self._clock.monotonic()
        self._offset_s = database_time - now
        self._next_beat = now if self._again else now + HEARTBEAT_S
        self._again = False
