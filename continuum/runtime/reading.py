"""What an engine reads: histories of runs given to it, and mail of runs it has. One question of each at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from continuum.ports.clock import Clock
from continuum.ports.journal import Lease, Mail
from continuum.ports.offload import Lane, MailWork
from continuum.runtime.asking import Asking
from continuum.runtime.live import LiveRun
from continuum.runtime.loading import Loading
from continuum.runtime.recent import Recent

MAILS_MAX = 1000
MISSED_MAX = 10_000  # beyond it the router's scan finds the mail
LATE_S = 50.0  # from a token to its commit at most: a statement ends after 30 s, whatever it waits for
MARK_S = 9.0  # below the interval of the looks
MARKS = 1 + math.ceil(LATE_S / MARK_S)  # when the last is made, the first is LATE_S old


class Reading:
    """``read(run, mail)`` is called for every run asked for, with None for one that is not held or live any more.

    A wake may come while its run is on its way here: leased to this engine, and read already, or not to be read at all
    because it is new. So a wake for a run that is not among ``runs`` is remembered until the run has begun.
    """

    def __init__(
        self, asking: Asking, runs: Mapping[bytes, LiveRun], read: Callable[[LiveRun, Mail | None], None]
    ) -> None:
        self._asking, self._runs, self._read = asking, runs, read
        self._wanted: dict[bytes, LiveRun] = {}
        self._missed: Recent[bytes, None] = Recent(MISSED_MAX)
        self._rest: dict[bytes, int] = {}  # runs of whose mail there is more, and after which signal
        self._busy = False

    def wake(self, run_id: bytes) -> bool:
        """Something came for this run. False if it is not here, or about to go: what gives it back sees all mail."""
        run = self._runs.get(run_id)
        if run is None:
            self._missed.put(run_id, None)
        elif not run.evicting:
            self.want(run)
            return True
        return False

    def wake_all(self, run_ids: Iterable[bytes]) -> None:
        for run_id in run_ids:
            self.wake(run_id)

    def begun(self, run: LiveRun) -> None:
        """The run is here now."""
        if run.id in self._missed:
            del self._missed[run.id]
            self.want(run)

    def want(self, run: LiveRun) -> None:
        self._wanted[run.id] = run

    def left(self, run: LiveRun, mail: Mail) -> None:
        """There is more mail of this run: it is read when the run has nothing to do without it."""
        self._rest[run.id] = mail.signals[-1].id if mail.signals else self._rest.get(run.id, 0)

    def rests(self, run: LiveRun) -> None:
        """The run waits, and what it did is committed."""
        if self._rest and run.id in self._rest:
            self.want(run)

    def forget(self, run: bytes) -> None:
        if self._rest:
            self._rest.pop(run, None)

    def tick(self) -> None:
        if self._busy or not self._wanted:
            return
        runs = list(self._wanted.values())[:MAILS_MAX]
        for run in runs:
            del self._wanted[run.id]
        after = [self._rest.get(run.id, 0) for run in runs] if self._rest else ()
        work = MailWork([run.lease for run in runs], all(run.bare for run in runs), after)
        self._busy = True
        self._asking.ask(Lane.READ, work, lambda mails: self._done(runs, mails))

    def _done(self, runs: list[LiveRun], mails: list[Mail]) -> None:
        self._busy = False
        by_run = {mail.run_id: mail for mail in mails}
        for run in runs:
            self._read(run, by_run.get(run.lease.run_id))


class LeaseScan:
    """Finds the leases that a lost message never announced (B6), and has those loaded that are none of ``runs``.

    Tokens grow, but a token is taken before its lease is committed, and a statement that waits meanwhile commits it
    up to `LATE_S` later, when many larger ones have been seen. So a scan looks beyond the largest token of `LATE_S`
    ago, again and again at those that came since. One that would find nothing, because no lease has a token beyond
    that, is not asked for.
    """

    def __init__(
        self, asking: Asking, owner: str, runs: Mapping[bytes, LiveRun], loading: Loading, clock: Clock
    ) -> None:
        self._asking, self._owner, self._runs = asking, owner, runs
        self._loading, self._clock = loading, clock
        self._marks: deque[int] = deque(
            [0], MARKS
        )  # the largest token of a look every `MARK_S`, the oldest first
        self._marked_at = clock.monotonic()
        self._newest = 0
        self._busy = False
        self._later: int | None = None  # what to look for after the scan that is under way

    def look(self, newest: int) -> None:
        """Scan, given the largest token of the owner's leases."""
        if self._busy:
            self._later = newest
            return
        self._newest = max(self._newest, newest)
        token = self._marks[0]
        if newest <= token:
            self._scanned([])
            return
        self._busy = True
        owner = self._owner
        self._asking.ask(Lane.READ, lambda desk: desk.journal.leased_since(owner, token), self._scanned)

    def _scanned(self, leases: list[Lease]) -> None:
        self._busy = False
        self._mark()
        for lease in leases:
            run_id = lease.run_id.bytes
            if run_id not in self._runs and run_id not in self._loading:
                self._loading.want(lease)
        if self._later is not None:
            newest, self._later = self._later, None
            self.look(newest)

    def _mark(self) -> None:
        """Note what is known now, however many looks there were: `MARKS` of them take `LATE_S`, also if the database
        stood still meanwhile and nothing was answered."""
        now = self._clock.monotonic()
        if now >= self._marked_at + MARK_S:
            self._marks.append(self._newest)
            self._marked_at = now
