"""The dispatcher: claims due runs for the engines of its node, and queued tasks for its workers.

::

    notice "due" ──────► look for new runs ─ claim_due ─┐
    Look ──────────────────────────┐                    ├──► Assign to an engine, by free capacity
    poll_s over ──┐                ├─ look for all runs ─ claim ─┘
    after a look ─┴─► next_due ────┼─ look for tasks ─ claim_tasks ──► Execute to a worker, by credit (runtime/tasks)
                                   └─ suspects, lost tasks, overdue cancels

A look is served in the tick that brings it; when looks come faster than the database answers, one claim serves
many of them. Nothing is claimed without capacity, and nothing depends on a message: a look that is lost is made up
by the poll, an ``Assign`` that is lost by the engine's own look at its leases. The poll is one question, which says
what there is to do: so a node that has nothing to do asks nothing else.

An engine's death is declared here at once (``retire``), so that its runs resume without waiting for a TTL (B3). Should
dispatcher and engine die together, the dispatcher's next incarnation retires what the engine's next incarnation
replaced. The deaths of other nodes are found by a :class:`~continuum.runtime.vigil.Vigil`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from continuum.ports.dispatch import Dispatch, Woken
from continuum.ports.journal import ClaimedRun
from continuum.ports.mailbox import Mailbox, Notice
from continuum.runtime.claimers import Claimers
from continuum.runtime.limits import DEATHS_MAX
from continuum.runtime.neighbours import DISPATCHER, TIMER, Neighbours
from continuum.runtime.outage import Outage
from continuum.runtime.quarantine import LONE_ENGINE, Quarantine
from continuum.runtime.role import Ports
from continuum.runtime.tasks import Tasks, return_unbegun
from continuum.runtime.vigil import Vigil
from continuum.wire.messages import (
    Ask,
    Assign,
    Disowned,
    EngineReady,
    Finished,
    Heartbeat,
    Look,
    Members,
    Message,
    NodeDied,
    NodeSuspected,
    Recovered,
    Settled,
    WorkerReady,
)
from continuum.wire.post import Peer

CLAIM_MAX = 500
CLAIM_MIN = 10  # in a large group
WARM_RUNS = 16  # more go to the last engine than to another, before the other's turn comes
ORPHANS_S = 10.0  # after the start, before the tasks of others are taken for lost
ORPHANS_GRACE_S = 15.0  # longer than a heartbeat's interval and the longest pause after a failure
DUE_S = 0.25  # between two questions when the next run is due
LOOK_MIN_S = 0.05  # before a look that only `next_due` asked for; doubles while such looks find nothing
PREDECESSORS_MAX = 32
MAIL_MAX = 10_000
UPKEEP_S = 6 * 3600.0
CANCELS_S = (
    0.05  # between two tries to end cancelled runs whose time for clean-up is over, of which the first did
)
ENDS_LATE_S = 0.005  # rather than too early, by the time that an answer of the database takes
CANCELS_AGAIN_S = 0.5  # ... and if it found none, though it was time


class _Engine:
    __slots__ = ("free", "owner", "up")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.free = 0
        self.up = False  # the supervisor says so: an announcement alone may be the echo of a dead engine


class Dispatcher:
    """A role (:class:`continuum.runtime.role.Role`). ``queues``: those that workers of this node serve.
    ``poll_s``: the longest time between two questions, whatever gets lost. ``open_lone_engine`` starts the process that
    resumes runs alone; without it the node leaves to others what engines have died of."""

    def __init__(
        self,
        ports: Ports,
        dispatch: Dispatch,
        mailbox: Mailbox,
        queues: Sequence[str],
        poll_s: float = 5.0,
        open_lone_engine: Callable[[], None] | None = None,
        engine_deaths_max: int = DEATHS_MAX,
    ) -> None:
        self._clock, self._post = ports.clock, ports.post
        self._dispatch, self._mailbox, self._beginnings = dispatch, mailbox, ports.beginnings
        self._queues, self._poll_s = tuple(queues), poll_s
        self._neighbours = Neighbours(ports)
        self._outage = Outage(ports.name, ports.clock)
        now = ports.clock.monotonic()
        claimer = self._neighbours.owner_of(ports.name, ports.incarnation)
        self._claimers = Claimers(dispatch, ports.node, claimer, now)
        self._vigil = Vigil(dispatch, ports.incarnation.partition("-")[0], now)
        self._tasks = Tasks(ports, dispatch, self._claimers, self._neighbours, self._wake)
        self._quarantine = Quarantine(ports.post, dispatch, ports.clock, open_lone_engine, engine_deaths_max)
        self._engines: dict[Peer, _Engine] = {}
        self._warm: _Engine | None = None  # the last that got runs
        self._seen: set[str] = set()  # names of engines
        self._dead: list[str] = []  # owners to retire
        self._mail: list[Woken] = []  # to announce to other nodes
        self._look_runs = self._look_tasks = True
        self._look_new = False  # for runs that nobody holds
        self._look_at = math.inf
        self._due_at = now + poll_s
        self._due_asked_at = -math.inf
        self._look_min_s = LOOK_MIN_S
        self._lost = False  # there are tasks of the dead
        self._orphans_at = now + ORPHANS_S  # not sooner
        self._ends_at = math.inf  # when the next time for clean-up is over
        self._upkeep_at = now + ORPHANS_S  # not among the first things of a node
        self._draining = False
        tasks, vigil, clock = self._tasks, self._vigil, ports.clock
        self._handlers: dict[type[Message], Callable[[Peer, Any], None]] = {
            Look: self._on_look,
            EngineReady: self._on_engine,
            WorkerReady: self._on_worker,
            Finished: tasks.finished,
            Heartbeat: lambda _, message: tasks.beat(message.beats),
            Recovered: lambda sender, message: tasks.stored(sender, message.stored),
            Settled: lambda _, message: tasks.settled(message.keys),
            Disowned: lambda _, message: tasks.disowned(message.keys),
            Members: lambda _, message: self._neighbours.members(message),
            NodeSuspected: lambda _, message: vigil.suspect(clock.monotonic()),
            NodeDied: lambda _, message: vigil.died(message.node, message.boot),
            Ask: lambda _, message: self._claimers.answer(message.owner, clock.monotonic()),
        }

    def begin(self) -> None:
        self._look_runs = self._look_tasks = True

    def notice(self, notices: Sequence[Notice]) -> None:
        """Take what the database notified: the quickest way to something new, which may be lost as any other."""
        for notice in notices:
            self._look_new |= notice.kind == "due"
            if notice.kind == "left":
                self._inherit()
            self._look_tasks |= notice.kind == "task"
            if notice.kind in ("alone", "ends"):
                self._due_at = self._clock.monotonic()

    def reconnected(self) -> None:
        """The connection that listens is new: look for what was notified while there was none."""
        self._look_runs = self._look_tasks = True
        self._due_at = self._clock.monotonic()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        handlers = self._handlers
        for message in messages:
            handler = handlers.get(type(message))
            if handler is not None:
                handler(sender, message)

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.up(name, incarnation)
        peer = Peer(name, incarnation)
        if name.startswith("engine-"):
            engine = self._engines.setdefault(peer, _Engine(self._neighbours.owner_of(name, incarnation)))
            engine.up = self._look_runs = True
            if name not in self._seen:
                self._seen.add(name)
                self._dead.extend(self._predecessors(name, incarnation))
        elif name.startswith("worker-"):
            self._tasks.worker_up(peer)
            self._look_tasks = True

    def died_of(self, name: str, incarnation: str, run_id: UUID) -> None:
        """The supervisor says, before ``peer_down``, that an engine's thread was in code of this run when it died."""
        self._quarantine.died(self._neighbours.owner_of(name, incarnation), run_id)

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.down(name, incarnation)
        peer = Peer(name, incarnation)
        self._quarantine.engine_down(peer)
        if name.startswith("engine-"):
            engine = self._engines.pop(peer, None)
            owner = self._neighbours.owner_of(name, incarnation)
            self._dead.append(owner)
            if engine is not None and engine.owner != owner:
                self._dead.append(engine.owner)
        elif name.startswith("worker-"):
            self._tasks.worker_down(peer)
        self._tasks.receiver_down(peer)

    def tick(self) -> None:
        self._tasks.pass_on()
        self._outage.run(self._work)
        if self._outage.until > -math.inf:
            # Others could not renew their claims either: theirs must not be taken for dead when the database is back.
            self._orphans_at = max(self._orphans_at, self._clock.monotonic() + ORPHANS_GRACE_S)
            self._vigil.postpone()

    def wake_at(self) -> float:
        moment = -math.inf if self._has_work() else self._next_moment()
        return max(moment, self._outage.until)

    def drain(self) -> None:
        """Claim nothing more, and settle the tasks that workers have."""
        self._draining = True

    @property
    def drained(self) -> bool:
        return self._draining and self._claimers.gone

    def _on_look(self, _: Peer, message: Look) -> None:
        self._look_runs |= message.runs
        self._look_tasks |= message.tasks
        if message.owners:
            self._vigil.look(self._clock.monotonic())

    def _on_worker(self, sender: Peer, message: WorkerReady) -> None:
        self._look_tasks |= self._tasks.worker_says(sender, message)

    def _on_engine(self, sender: Peer, message: EngineReady) -> None:
        if sender.name == LONE_ENGINE:
            self._quarantine.engine_says(sender, message.owner, message.free)
            if message.free > 0:
                self._due_at = self._clock.monotonic()
            return
        engine = self._engines.setdefault(sender, _Engine(message.owner))
        if message.free > 0 and engine.free == 0:
            self._look_runs = True
            self._due_at = self._clock.monotonic()  # what is set aside may have waited for this engine's code
        engine.owner, engine.free = message.owner, max(0, message.free)

    def _predecessors(self, name: str, incarnation: str) -> list[str]:
        """Return who had this engine's name before, the last of them: their deaths came before our time."""
        boot, _, number = incarnation.rpartition("-")
        last = int(number) if number.isdecimal() else 0
        return [
            self._neighbours.owner_of(name, f"{boot}-{n}")
            for n in range(max(1, last - PREDECESSORS_MAX), last)
        ]

    def _has_work(self) -> bool:
        if self._dead or self._mail or self._tasks.pending or self._quarantine.pending:
            return True
        if self._draining:
            return False
        return ((self._look_runs or self._look_new) and bool(self._free_engines())) or (
            self._look_tasks and self._tasks.credit > 0
        )

    def _next_moment(self) -> float:
        if self._draining:
            return min(self._claimers.wake_at(), self._tasks.wake_at())
        return min(
            self._look_at,
            self._due_at,
            self._upkeep_at,
            self._orphans_at if self._lost else math.inf,
            self._ends_at,
            self._claimers.wake_at(),
            self._vigil.wake_at(),
            self._tasks.wake_at(),
        )

    def _work(self) -> None:
        """Each step does its part or raises, and the next run takes it up where it was."""
        now = self._clock.monotonic()
        if now >= self._claimers.wake_at() and self._claimers.keep(now):
            self._lost, self._orphans_at = True, now
        if self._quarantine.write():
            self._due_at = now
        if self._dead:
            self._dispatch.retire(self._dead)
            self._dead, self._look_runs = [], True
        self._tasks.write()
        if self._draining:
            self._finish()
        else:
            self._bury(now)
            self._look(now)
        self._clear_up(now)
        if self._mail:
            self._mailbox.announce_mail(self._mail)
            self._mail = []

    def _clear_up(self, now: float) -> None:
        """What the dead left, what should have ended, and what the coming weeks need."""
        if self._lost and now >= self._orphans_at:
            self._wake(self._dispatch.lose_orphans())
            self._lost = False
        if now >= self._ends_at:
            ended = self._dispatch.end_overdue_cancels()
            self._ends_at = math.inf
            self._due_at = min(
                self._due_at, now + (CANCELS_S if ended else CANCELS_AGAIN_S)
            )  # for the next one
        if now >= self._upkeep_at:
            self._dispatch.upkeep()
            self._upkeep_at = now + UPKEEP_S

    def _finish(self) -> None:
        if self._tasks.idle:
            self._claimers.close()

    def _bury(self, now: float) -> None:
        """Take up what the dead of other nodes left: their runs are due, and their claimed tasks are lost."""
        if now >= self._vigil.wake_at():
            self._vigil.keep(now)
        retired = self._vigil.retired
        while retired:
            if retired[-1].split("/")[2:3] == [DISPATCHER]:  # a row of owners may say anything
                return_unbegun(self._dispatch, self._beginnings, retired[-1])
                self._wake(self._dispatch.lose_tasks(retired[-1], None))
            retired.pop()
            self._inherit()

    def _inherit(self) -> None:
        """An owner is gone. What it had is due; what it waited for, back-offs and timers, nobody else may know of."""
        self._look_runs = self._look_tasks = True
        self._due_at = self._clock.monotonic()
        self._post.hint(TIMER, Look())

    def _look(self, now: float) -> None:
        if now >= self._look_at:
            self._look_runs = self._look_tasks = True
            self._look_at = math.inf
        engines = self._free_engines() if self._look_runs or self._look_new else []
        # Where runs are claimed now, it is asked in the next tick, about what is left; but not later and later.
        if now >= self._due_at and (not engines or now >= self._due_asked_at + self._poll_s):
            self._ask_due(now)
        looked = False
        if engines:
            looked = True
            claim = self._dispatch.claim if self._look_runs else self._dispatch.claim_due
            more = self._claim_runs(claim, engines)
            self._look_runs, self._look_new = self._look_runs and more, more
        if self._look_tasks and self._tasks.credit:
            looked = True
            claimed, self._look_tasks = self._tasks.claim()
            if claimed:
                self._look_min_s = LOOK_MIN_S
        if looked:  # asked in the next tick: what was claimed leaves first
            self._due_at = min(self._due_at, max(now, self._due_asked_at + DUE_S))

    def _ask_due(self, now: float) -> None:
        """Look when something gets due; less and less often if what is due cannot be had."""
        due = self._dispatch.next_due(self._queues, [engine.owner for engine in self._engines.values()])
        self._lost |= due.lost
        if due.cancel_in_s is not None:
            self._ends_at = now + max(due.cancel_in_s, 0.0) + ENDS_LATE_S
        if due.suspect_in_s is not None and due.suspect_in_s <= 0:
            self._quarantine.take()
        waits = [due.run_in_s] if self._free_engines() else []
        waits += [due.task_in_s] if self._tasks.credit else []
        wait_s = min((wait_s for wait_s in waits if wait_s is not None), default=math.inf)
        if wait_s <= 0:
            self._look_at = min(self._look_at, now + self._look_min_s)
            self._look_min_s = min(2 * self._look_min_s, self._poll_s)
        elif wait_s < math.inf:
            self._look_min_s = LOOK_MIN_S
            self._look_at = min(self._look_at, now + max(wait_s, LOOK_MIN_S))
        self._due_asked_at, self._due_at = now, now + self._poll_s
        if due.suspect_in_s is not None and due.suspect_in_s > 0:
            self._due_at = min(self._due_at, now + due.suspect_in_s)

    def _claim_runs(
        self, claim: Callable[[str, int], list[ClaimedRun]], engines: Sequence[tuple[Peer, _Engine]]
    ) -> bool:
        """Claim runs for these engines, in this order; return True if there may be more.

        An engine's share of a claim is its share of what is free in the whole group, so that nodes that look at the
        same moment divide among them what there is."""
        total = sum(engine.free for _, engine in engines) + self._neighbours.free_elsewhere
        full = False
        for peer, engine in engines:
            limit = min(engine.free, max(CLAIM_MIN, CLAIM_MAX * engine.free // total))
            runs = claim(engine.owner, limit)
            if runs:
                self._warm = engine
                # What heavy runs leave room for is known to the engine alone, once it has read them.
                engine.free = 0 if any(not run.args for run in runs) else engine.free - len(runs)
                self._look_min_s = LOOK_MIN_S
                self._post.send(peer, Assign(engine.owner, runs))
                if len(runs) < limit:
                    return False  # nothing is left
                full = True
        return full

    def _free_engines(self) -> list[tuple[Peer, _Engine]]:
        """The freest first; but the last one again, whose code is warm, while another has little more room."""
        free = [(peer, engine) for peer, engine in self._engines.items() if engine.up and engine.free > 0]
        if len(free) > 1:
            free.sort(key=lambda entry: -entry[1].free - WARM_RUNS * (entry[1] is self._warm))
        return free

    def _wake(self, woken: Sequence[Woken]) -> None:
        unreached = self._neighbours.wake(woken)
        self._look_runs |= unreached.unowned
        room = MAIL_MAX - len(self._mail)  # beyond it the other nodes' scans find the mail
        self._mail.extend(unreached.foreign[:room])
