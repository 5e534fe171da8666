"""What a group asks of the database: its epoch, its row among the owners, and where the others are (M1).

The questions are asked off the loop, one at a time, and again with growing pauses while the database is away: the
group goes on without it. The row's address is how a node that knows nobody finds the group.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from continuum.errors import JournalError
from continuum.model.ids import Owner
from continuum.ports.clock import Clock
from continuum.ports.dispatch import Beat, GroupAddress, Life
from continuum.ports.offload import Completion, Desk, Lane, Offload

TTL_S, BEAT_S = 30.0, 10.0
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0
FOUND_MAX = 100
PREDECESSORS_MAX = 32

log = logging.getLogger("continuum")
_Question = tuple[Callable[[Desk], object], Callable[[Any], None]]


class Registration:
    """``born(life)`` is called once, with an epoch; ``found(seeds, groups)`` after each `look`, with what ``resolve``
    returned (it may wait for the network) and the groups that the database knows. ``gone``: after `retire`."""

    def __init__(
        self,
        offload: Offload,
        clock: Clock,
        owner: Owner,
        resolve: Callable[[], list[str]],
        born: Callable[[Life], None],
        found: Callable[[list[str], list[GroupAddress]], None],
    ) -> None:
        self._offload, self._clock, self._owner, self._resolve = offload, clock, owner, resolve
        self._born, self._found = born, found
        self._address = ""
        self._waiting: deque[_Question] = deque()
        self._asked: _Question | None = None
        self._ticket = 0
        self._again_at = math.inf
        self._pause_s = PAUSE_S
        self._beat_at = math.inf
        self._looking = False
        self.gone = False

    def begin(self) -> None:
        """Ask for an epoch."""
        self._ask(lambda desk: desk.dispatch.begin_life(), self._born)

    def register(self, address: str) -> None:
        """Put this address into the table and keep it there; what former lives left there is void."""
        self._address = address
        former = _predecessors(self._owner)

        def work(desk: Desk) -> object:
            if former:
                desk.dispatch.retire(former)
            return desk.dispatch.register(str(self._owner), self._owner.node, address, TTL_S)

        self._ask(work, self._registered)

    def look(self) -> None:
        """Look for others: seeds and the table. Again while one look is under way: no effect."""
        if not self._looking:
            self._looking = True
            resolve = self._resolve
            self._ask(lambda desk: (resolve(), desk.dispatch.groups(FOUND_MAX)), self._looked)

    def renew(self) -> None:
        """Somebody doubts that this node lives: renew its row at once."""
        if self._beat_at < math.inf:
            self._beat_at = self._clock.monotonic()

    def retire(self) -> None:
        """Take the address out of the table; ask nothing more."""
        self._waiting.clear()
        self._beat_at = math.inf
        owner = str(self._owner)
        self._ask(lambda desk: desk.dispatch.retire([owner]), self._retired)

    def complete(self, completion: Completion) -> None:
        """Take the answer to the last question."""
        if completion.ticket != self._ticket or self._asked is None:
            return
        if completion.error is not None:
            self._failed(completion.error)
            return
        (_, then), self._asked = self._asked, None
        self._pause_s = PAUSE_S
        then(completion.value)

    def tick(self) -> None:
        now = self._clock.monotonic()
        if now >= self._again_at:
            self._again_at = math.inf
            self._submit()
        if now >= self._beat_at:
            self._beat_at = math.inf
            owner = str(self._owner)
            self._ask(lambda desk: desk.dispatch.heartbeat(owner, TTL_S), self._beaten)
        if self._asked is None and self._waiting:
            self._asked = self._waiting.popleft()
            self._submit()

    def wake_at(self) -> float:
        if self._asked is None and self._waiting:
            return -math.inf
        return min(self._again_at, self._beat_at)

    def _ask(self, work: Callable[[Desk], object], then: Callable[[Any], None]) -> None:
        self._waiting.append((work, then))

    def _submit(self) -> None:
        assert self._asked is not None
        self._ticket += 1
        self._offload.submit(Lane.LEASE, self._ticket, self._asked[0])

    def _failed(self, error: JournalError) -> None:
        if self._pause_s == PAUSE_S:
            log.warning("%s; the group goes on without the database, and tries again", error)
        self._again_at = self._clock.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    def _registered(self, _: object) -> None:
        self._beat_at = self._clock.monotonic() + BEAT_S

    def _beaten(self, beat: Beat | None) -> None:
        if beat is None:  # it had expired: an address owns nothing, so it is put back
            self.register(self._address)
        else:
            self._beat_at = self._clock.monotonic() + BEAT_S

    def _looked(self, answer: tuple[list[str], list[GroupAddress]]) -> None:
        self._looking = False
        self._found(*answer)

    def _retired(self, _: object) -> None:
        self.gone = True


def _predecessors(owner: Owner) -> list[str]:
    """Return who was this node's group before in this life of the node, the last of them."""
    boot, _, number = owner.incarnation.rpartition("-")
    last = int(number) if number.isdecimal() else 0
    return [
        str(owner._replace(incarnation=f"{boot}-{n}")) for n in range(max(1, last - PREDECESSORS_MAX), last)
    ]
