"""The timer: keeps the near future of all durable timers in a heap, and says so when they are due.

Timers come from two sides: engines hint at those that they have just set, and every ``refresh_s`` the table is read
up to ``horizon_s`` ahead, twice as far as the next reading, so that a lost hint costs nothing but near its
time, and a lost ``TimersFired`` at most one refresh (T2). What is farther away is not kept, and costs nothing (T1).
Hints come from the engines of this node only. So an engine that takes a run over tells of the timers that it finds
set, and when an owner is gone the dispatcher says so: what only that node's timer knew is read at once.

The clock here only says when to ask. Whether a timer is due is decided by the database's clock (L3), in batches (T4);
one that is asked about too early is put back, one that exists no more is forgotten (T5). Nothing is written by a
timer: the run's owner journals what fired, under its lease, so a cancel that came first wins (T3).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from continuum.errors import JournalError
from continuum.ports.dispatch import Woken
from continuum.ports.mailbox import DueTimer, Mailbox
from continuum.runtime.neighbours import DISPATCHER, Neighbours
from continuum.runtime.outage import Outage
from continuum.runtime.role import Ports
from continuum.wire.messages import Look, Members, Message, TimersFired, TimersSet
from continuum.wire.post import Peer

BATCH_MAX = 1_000
READ_MAX = 20_000
CROWDED_S = 2.0  # at least between two refreshes, the first of which did not see everything
KEPT_MAX = 200_000  # beyond it the refresh alone brings timers
REFIRE_S = 5.0  # a refresh offers again what has fired, but not sooner: the owner may not have come to it
EARLY_S = 0.001  # asked about too early: not again before this
MAIL_MAX = 10_000
AFTER_DEATH_S = 0.1  # a commit that was under way when its engine died is done by then
HURRY_S = 0.5  # between two refreshes, however many owners are gone

TimerKey = tuple[bytes, int]


class _Entry(NamedTuple):
    due: float
    run: bytes
    seq: int


class Timer:
    """A role (:class:`continuum.runtime.role.Role`)."""

    def __init__(
        self, ports: Ports, mailbox: Mailbox, refresh_s: float = 20.0, horizon_s: float = 40.0
    ) -> None:
        self._clock, self._post, self._mailbox = ports.clock, ports.post, mailbox
        self._refresh_s, self._horizon_s = refresh_s, horizon_s
        self._neighbours = Neighbours(ports)
        self._outage = Outage(ports.name, ports.clock)
        self._heap: list[_Entry] = []
        self._due: dict[TimerKey, float] = {}  # an entry of the heap that is not here, or later, is void
        self._fired: dict[TimerKey, float] = {}  # within the last REFIRE_S, oldest first
        self._left: set[TimerKey] = set()  # fired, and left to the timer of the owner's node
        self._mail: list[Woken] = []
        self._refresh_at = ports.clock.monotonic()
        self._refreshed_at = -math.inf
        self._draining = False

    def begin(self) -> None:
        self._refresh_at = self._clock.monotonic()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        now = self._clock.monotonic()
        for message in messages:
            match message:
                case TimersSet(timers):
                    for run, seq, in_s in timers:
                        if in_s <= self._horizon_s and len(self._due) < KEPT_MAX:
                            self._keep((run, seq), now + in_s)
                case Look():
                    self._refresh_at = min(self._refresh_at, max(now, self._refreshed_at + HURRY_S))
                case Members():
                    self._neighbours.members(message)
                case _:
                    pass  # for another role

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.up(name, incarnation)

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.down(name, incarnation)
        if name.startswith("engine-"):  # its last commits may have set timers that it could not tell of
            self._refresh_at = min(self._refresh_at, self._clock.monotonic() + AFTER_DEATH_S)

    def tick(self) -> None:
        if not self._draining:
            self._outage.run(self._work)

    def wake_at(self) -> float:
        if self._draining:
            return math.inf
        moment = min(self._heap[0].due if self._heap else math.inf, self._refresh_at)
        return max(-math.inf if self._mail else moment, self._outage.until)

    def drain(self) -> None:
        self._draining = True  # it holds nothing that is not in the table

    @property
    def drained(self) -> bool:
        return self._draining

    def _work(self) -> None:
        """One batch a run: what came due meanwhile is not kept waiting behind a crowd for longer than that."""
        now = self._clock.monotonic()
        if now >= self._refresh_at:
            self._refresh(now)
        self._fire(now)
        if self._mail:
            self._mailbox.announce_mail(self._mail)
            self._mail = []

    def _refresh(self, now: float) -> None:
        timers = self._mailbox.timers_within(self._horizon_s, READ_MAX)
        self._left &= {(timer.run_id.bytes, timer.seq) for timer in timers}
        for timer in timers:
            key = (timer.run_id.bytes, timer.seq)
            self._keep(key, max(now + timer.in_s, self._fired.get(key, -math.inf) + REFIRE_S))
        next_s = self._refresh_s
        if len(timers) >= READ_MAX:  # what was not seen is due after the last that was
            next_s = min(next_s, max(timers[-1].in_s / 2, CROWDED_S))
        self._refreshed_at, self._refresh_at = now, now + next_s

    def _keep(self, key: TimerKey, due: float) -> None:
        known = self._due.get(key)
        if known is None or due < known:
            self._due[key] = due
            heapq.heappush(self._heap, _Entry(due, *key))

    def _fire(self, now: float) -> None:
        batch = self._pop_due(now)
        if not batch:
            return
        try:
            due, waiting = self._mailbox.due_timers([(UUID(bytes=run), seq) for run, seq in batch])
        except JournalError:
            for key in batch:
                self._keep(key, now)
            raise
        for timer in waiting:
            self._keep((timer.run_id.bytes, timer.seq), now + max(timer.in_s, EARLY_S))
        while self._fired and next(iter(self._fired.values())) <= now - REFIRE_S:
            del self._fired[next(iter(self._fired))]
        for key in ((timer.run_id.bytes, timer.seq) for timer in due):
            self._fired.pop(key, None)  # to the end
            self._fired[key] = now
        self._announce(due)

    def _pop_due(self, now: float) -> list[TimerKey]:
        """Take the next batch out of the heap, the longest due first."""
        batch: list[TimerKey] = []
        while self._heap and self._heap[0].due <= now and len(batch) < BATCH_MAX:
            due, run, seq = heapq.heappop(self._heap)
            if self._due.get((run, seq)) == due:
                del self._due[run, seq]
                batch.append((run, seq))
        return batch

    def _announce(self, due: Iterable[DueTimer]) -> None:
        """Tell the owners: those of this node directly, the others by the group, or through the database.

        The timer of every node has all near timers. So one whose owner is on a node that can be reached is left to the
        timer there, and told from here only if it still exists when it is offered again."""
        local: dict[str, list[TimerKey]] = {}
        foreign: dict[Woken, None] = {}
        for timer in due:
            key, owner = (timer.run_id.bytes, timer.seq), timer.owner
            peer = self._neighbours.peer_of(owner) if owner is not None else None
            if peer is not None:
                local.setdefault(peer.name, []).append(key)
            elif owner is None and self._neighbours.names(DISPATCHER):
                self._neighbours.look()
            elif owner is None:  # the node is about to end: the dispatchers of others are told
                self._mail.append(Woken(timer.run_id, None))
            elif key not in self._left and self._neighbours.reaches(owner):
                self._left.add(key)
            else:
                self._left.discard(key)
                foreign[Woken(timer.run_id, owner)] = None
        for name, timers in local.items():
            self._post.hint(name, TimersFired(timers))
        unreached = self._neighbours.wake(foreign).foreign
        self._mail.extend(unreached[: MAIL_MAX - len(self._mail)])
