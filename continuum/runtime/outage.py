"""How a role lives through an outage of the database: it keeps what it had to do, and asks again later.

Work that is given to :meth:`Outage.run` changes the role's state only after each call that succeeded, so that what
an error cut off is simply done by the next run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from continuum.errors import JournalError
from continuum.ports.clock import Clock
from continuum.runtime.role import log

DELAY_S = 0.1
DELAY_MAX_S = 5.0


class Outage:
    """The pause after a failed call: 0.1 s, doubling to 5 s. An outage is logged once, however long it lasts.

    ``until`` is the end of the pause by the monotonic clock, ``-inf`` while the database answers.
    """

    def __init__(self, role: str, clock: Clock) -> None:
        self._role, self._clock = role, clock
        self._delay_s = 0.0
        self.until = -math.inf

    def run(self, work: Callable[[], None]) -> None:
        """Run ``work``, unless the pause still lasts; a ``JournalError`` of it begins a pause or a longer one."""
        if self._clock.monotonic() < self.until:
            return
        try:
            work()
        except JournalError as error:
            self._begin(error)
            return
        if self._delay_s:
            self._delay_s, self.until = 0.0, -math.inf
            log.info("%s: the database answers again", self._role)

    def _begin(self, error: JournalError) -> None:
        if not self._delay_s:
            log.warning("%s: %s; nothing is given up, it is tried again until it works", self._role, error)
        self._delay_s = min(max(2 * self._delay_s, DELAY_S), DELAY_MAX_S)
        self.until = self._clock.monotonic() + self._delay_s
