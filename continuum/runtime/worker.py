"""The worker: runs attempts for the engines and the dispatcher of its node, and keeps each result until it is durable.

An attempt at a worker::

    Execute ──► open ──► finished ──► Settled: forgotten
                 │           │
                 │           └── Disowned, or its requester died and nobody adopted it within ADOPTION_S:
                 │               stored with ``Dispatch.offer_outcomes``, remembered as stored
                 └── Abandon: stopped and forgotten

A worker that is told to drain takes nothing more, and gives what it has ``drain_s`` to end. What has not ended then is
stopped, and its result says so: such an attempt does not count.

Each attempt is started at most once by an incarnation of a worker (A5): a second ``Execute`` of what it holds, or has
stored, changes nothing; and one that comes after this worker has told an engine by ``Recovered`` that it does not know
the attempt is taken from that engine only, because the late one is an echo of an owner that has lost the run.

``offer_outcomes`` wakes nobody by itself. The worker hints to the owners of its own node and of those that the group
reaches, and to its dispatcher about runs without an owner; other owners find the result with their router's scan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

import msgspec

from continuum.core.attempt import drained
from continuum.ports.beginnings import NOTHING_NOTED, Register
from continuum.ports.dispatch import Dispatch
from continuum.ports.executor import Executor
from continuum.ports.journal import TaskOutcome
from continuum.runtime.farewell import Farewell
from continuum.runtime.neighbours import DISPATCHER, GROUP, Neighbours
from continuum.runtime.outage import Outage
from continuum.runtime.recent import Recent
from continuum.runtime.role import Ports, log
from continuum.runtime.window import Window
from continuum.wire.messages import (
    Abandon,
    Ask,
    Disowned,
    Execute,
    Finished,
    Heartbeat,
    Key,
    LastWord,
    Members,
    Message,
    Recover,
    Recovered,
    Settled,
    WorkerReady,
)
from continuum.wire.post import Peer

ANNOUNCE_S = 2.0
ANNOUNCE_MIN_S = 0.1  # between two announcements for the dispatcher's sake, or while leaving
ADOPTION_S = 1.0  # a dead engine's successor asks for its attempts within this time, or it is too late
CLAIM_TTL_S, CLAIM_BEAT_S = 30.0, 10.0
STORE_MAX = 500
STORED_MAX = 10_000
REFUSED_MAX = 100_000
BEATS_S = 1.0  # between two messages with heartbeats
NOBODY = Peer("", "")


class _Held(msgspec.Struct, eq=False):
    """An attempt between Execute and the end of our duty. ``claimed``: a task row stands behind it. ``slot``: of the
    register. ``details``: of its last heartbeat. ``store_at``: when its result goes to the database."""

    requester: Peer
    claimed: bool
    activity: str
    slot: int
    details: bytes = b""
    result: Finished | None = None
    store_at: float = math.inf


class Worker:
    """A role (:class:`continuum.runtime.role.Role`). ``slots``: how many attempts ``executor`` runs at once."""

    def __init__(
        self,
        ports: Ports,
        executor: Executor,
        dispatch: Dispatch,
        queues: Sequence[str],
        slots: int = 100,
        drain_s: float = math.inf,
        register: Register = NOTHING_NOTED,
    ) -> None:
        self._register, self._slots_free = register, register.free
        self._node, self._drain_s = ports.node, drain_s
        self._cut_at = math.inf  # when a drain stops what still runs
        self._clock, self._post = ports.clock, ports.post
        self._executor, self._dispatch = executor, dispatch
        self._queues, self._slots = tuple(queues), slots
        self._neighbours = Neighbours(ports)
        self._engines = 0  # of this node, that live
        self._outage = Outage(ports.name, ports.clock)
        now = ports.clock.monotonic()
        self._window = Window(slots, now)
        self._held: dict[Key, _Held] = {}
        self._ownerless: set[Key] = set()  # held, and nobody of this node waits for them
        self._unheld: dict[
            Peer, None
        ] = {}  # dispatchers that gave us work, and are to be held by our session
        self._holding: set[Peer] = set()
        self._open = self._open_claimed = 0  # held without a result; those of them that the dispatcher sent
        self._stored: Recent[Key, None] = Recent(STORED_MAX)
        self._refused: Recent[Key, Peer] = Recent(REFUSED_MAX)  # the only one who may still send it
        self._store_at = self._beat_at = math.inf
        self._beats_at = now
        self._announced = (0, 0)
        self._announced_at, self._announce_at = now - ANNOUNCE_S, now
        self._changed_at = math.inf  # when it may be said that the dispatcher's credit has changed
        self._farewell = Farewell(self._neighbours, ports.clock)

    def begin(self) -> None:
        self._announce_at = self._clock.monotonic()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        for message in messages:
            match message:
                case Execute():
                    self._execute(sender, message)
                case Settled(keys):
                    self._settled(keys)
                case Recover(keys):
                    self._recover(sender, keys)
                case Disowned(keys):
                    self._disown(sender, keys)
                case Abandon(keys):
                    self._abandon(sender, keys)
                case LastWord(keys):
                    self._last_word(sender, keys)
                case Members():
                    self._neighbours.members(message)
                case Ask(owner):
                    self._answer(owner)
                case _:
                    pass  # a hint for another role

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.up(name, incarnation)
        self._engines = len(self._neighbours.names("engine"))
        self._announce_at = self._clock.monotonic()

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self._neighbours.down(name, incarnation)
        self._engines = len(self._neighbours.names("engine"))
        dead, now = Peer(name, incarnation), self._clock.monotonic()
        for key, held in self._held.items():
            if held.requester == dead:
                self._make_ownerless(key, held, now + ADOPTION_S)
        if name == DISPATCHER:
            self._beat_at = now

    def tick(self) -> None:
        now = self._clock.monotonic()
        self._executor.tick()
        if self._executor.worn_out:
            self._leave()
        if self._executor.beating and now >= self._beats_at:
            self._send_heartbeats(now)
        self._collect()
        if now >= self._cut_at and self._open:
            self._cut(now)
        self._window.sample(now)
        if self._write_at() <= now:
            self._outage.run(self._write)
        self._announce(now)

    def wake_at(self) -> float:
        moments = [
            self._announce_at,
            self._changed_at,
            self._window.sample_at(),
            self._executor.wake_at(),
            self._farewell.wake_at(),
        ]
        moments.append(max(self._write_at(), self._outage.until))
        if self._executor.beating:
            moments.append(self._beats_at)
        if self._open:
            moments.append(self._cut_at)
        return min(moments)

    def drain(self) -> None:
        """Leave; what has not ended in ``drain_s`` is stopped."""
        self._cut_at = min(self._cut_at, self._clock.monotonic() + self._drain_s)
        self._leave()

    def _leave(self) -> None:
        """Ask for no more work. What arrives nevertheless is run: its record is durable, and refusing it would cost
        the attempt."""
        if not self._farewell.begun:
            self._farewell.begin()
            self._announce_at = self._clock.monotonic()

    @property
    def drained(self) -> bool:
        return not self._held and self._farewell.over

    @property
    def worn_out(self) -> bool:
        """The process should be replaced, without counting as a failure: it drains by itself (A9)."""
        return self._executor.worn_out

    def _execute(self, sender: Peer, task: Execute) -> None:
        key = (task.run, task.seq, task.attempt)
        if key in self._held or (self._refused and self._refused.get(key, sender) != sender):
            return
        if key in self._stored:
            self._post.send(sender, Recovered([], [], [key]))
            return
        if self._refused:
            self._refused.pop(key, None)
        claimed = sender.name == DISPATCHER
        slot = self._slots_free.popleft() if self._slots_free else self._register.more()
        self._held[key] = _Held(sender, claimed, task.activity, slot)
        self._open += 1
        if claimed:
            self._open_claimed += 1
            if sender not in self._holding:
                self._unheld[sender] = None
        self._executor.start(task, slot)

    def _settled(self, keys: Sequence[Key]) -> None:
        for key in keys:
            held = self._held.get(key)
            if held is not None and held.result is not None and not self._ownerless:
                del self._held[key]  # as nearly all are
                if held.slot:
                    self._slots_free.append(held.slot)
            else:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            if held.slot:
                self._slots_free.append(held.slot)
            self._ownerless.discard(key)
            if held.result is None:
                self._open -= 1
                self._open_claimed -= held.claimed

    def _recover(self, sender: Peer, keys: Sequence[Key]) -> None:
        known: list[Key] = []
        unknown: list[Key] = []
        stored: list[Key] = []
        for key in keys:
            held = self._held.get(key)
            if held is not None:
                known.append(key)
                held.requester, held.store_at = sender, math.inf
                self._ownerless.discard(key)
                if held.result is not None:
                    self._post.send(sender, held.result)
                elif held.details:
                    self._post.send(sender, Heartbeat([(key, held.details)]))
            elif key in self._stored:
                stored.append(key)
            else:
                unknown.append(key)
                self._refused.put(key, sender)
        self._post.send(sender, Recovered(known, unknown, stored))

    def _disown(self, sender: Peer, keys: Sequence[Key]) -> None:
        now = self._clock.monotonic()
        for key in keys:
            held = self._held.get(key)
            if held is not None and held.requester == sender:
                self._make_ownerless(key, held, now)

    def _abandon(self, sender: Peer, keys: Sequence[Key]) -> None:
        for key in keys:
            held = self._held.get(key)
            if held is None:
                self._refused.put(key, NOBODY)  # its Execute may still be on the way
            elif held.requester == sender:
                self._executor.stop(key)
                self._forget(key)

    def _last_word(self, sender: Peer, keys: Sequence[Key]) -> None:
        if all(key in self._held or key in self._stored for key in keys):
            self._farewell.said(sender)

    def _make_ownerless(self, key: Key, held: _Held, store_at: float) -> None:
        self._ownerless.add(key)
        held.store_at = store_at
        if held.result is not None:
            self._store_at = min(self._store_at, store_at)

    def _send_heartbeats(self, now: float) -> None:
        beats: dict[Peer, list[tuple[Key, bytes]]] = {}
        for key, details in self._executor.heartbeats():
            held = self._held.get(key)
            if held is not None:
                held.details = details
                beats.setdefault(held.requester, []).append((key, details))
        for requester, of_requester in beats.items():
            self._post.send(requester, Heartbeat(of_requester))
        self._beats_at = now + BEATS_S

    def _collect(self) -> None:
        finished = self._executor.finished()
        if finished:
            self._end(finished)
            self._window.completed(len(finished))

    def _cut(self, now: float) -> None:
        """Stop what the drain has given its time."""
        self._send_heartbeats(now)  # for the next attempts: their last details
        outcome, cut = drained(self._node, self._drain_s), []
        for key, held in self._held.items():
            if held.result is None:
                self._executor.stop(key)
                cut.append(Finished(*key, False, outcome.payload, details=held.details))
                log.warning(
                    "%s of run %s, attempt %d: stopped by the drain of node %s after %g s; it does not count",
                    *(held.activity, UUID(bytes=key[0]), key[2], self._node, self._drain_s),
                )
        self._end(cut)

    def _end(self, finished: Sequence[Finished]) -> None:
        results: dict[Peer, list[Finished]] = {}
        for result in finished:
            key = (result.run, result.seq, result.attempt)
            held = self._held.get(key)
            if held is None or held.result is not None:
                continue  # settled or abandoned while it ran
            held.result = result
            self._open -= 1
            self._open_claimed -= held.claimed
            if self._ownerless and key in self._ownerless:
                self._store_at = min(self._store_at, held.store_at)
            elif held.requester in results:
                results[held.requester].append(result)
            else:
                results[held.requester] = [result]
        for requester, of_requester in results.items():
            self._post.send_all(requester, of_requester)

    def _answer(self, owner: str) -> None:
        """Somebody doubts that this dispatcher's claims are kept: they are, while attempts of a dead one are here."""
        if any(
            self._owner_of(held.requester) == owner for held in map(self._held.__getitem__, self._ownerless)
        ):
            self._beat_at = self._clock.monotonic()

    def _write_at(self) -> float:
        return -math.inf if self._unheld else min(self._store_at, self._beat_at)

    def _write(self) -> None:
        now = self._clock.monotonic()
        for dispatcher in list(self._unheld):
            self._dispatch.hold(self._owner_of(dispatcher))
            self._holding.add(dispatcher)
            del self._unheld[dispatcher]
        if self._store_at <= now:
            self._store(now)
        if self._beat_at <= now:
            self._keep_claims(now)

    def _store(self, now: float) -> None:
        due = [key for key in self._ownerless if self._held[key].store_at <= now and self._held[key].result]
        due.sort()
        for start in range(0, len(due), STORE_MAX):
            keys = due[start : start + STORE_MAX]
            results = [held.result for key in keys if (held := self._held[key]).result is not None]
            woken = self._dispatch.offer_outcomes([outcome_of(result) for result in results])
            for key in keys:
                self._stored.put(key, None)
                self._forget(key)
            if self._neighbours.wake(woken).unowned:
                self._neighbours.look()
        self._store_at = min(
            (held.store_at for key in self._ownerless if (held := self._held[key]).result), default=math.inf
        )

    def _keep_claims(self, now: float) -> None:
        """Keep a dead dispatcher's claims alive while their tasks run here: its death must not cost attempts (A6)."""
        claimers = {
            held.requester
            for key in self._ownerless
            if (held := self._held[key]).claimed and held.result is None
        }
        for dispatcher in sorted(claimers):
            self._dispatch.heartbeat(self._owner_of(dispatcher), CLAIM_TTL_S)
        self._beat_at = now + CLAIM_BEAT_S if claimers else math.inf

    def _owner_of(self, peer: Peer) -> str:
        return self._neighbours.owner_of(peer.name, peer.incarnation)

    def _credits(self) -> tuple[int, int]:
        """Return the credit of each engine, and the dispatcher's: the slots that no engine uses."""
        if self._farewell.begun:
            return 0, 0
        free = self._slots - (self._open - self._open_claimed)
        return self._window.share(self._engines), max(0, free)

    def _announce(self, now: float) -> None:
        window, free = self._credits()
        before, free_before = self._announced
        changed = 4 * abs(free - free_before) > self._slots
        self._changed_at = self._announced_at + ANNOUNCE_MIN_S if changed else math.inf
        if now < min(self._announce_at, self._changed_at) and 4 * abs(window - before) <= before:
            return
        leaving = self._farewell.begun
        self._neighbours.announce("engine", WorkerReady(self._queues, window, self._open, leaving))
        self._neighbours.announce(DISPATCHER, WorkerReady(self._queues, free, self._open, leaving))
        self._neighbours.announce(
            GROUP,
            WorkerReady(
                self._queues, self._slots, min(self._open, self._slots), leaving, tuple(self._executor.stuck)
            ),
        )
        self._announced, self._announced_at, self._changed_at = (window, free), now, math.inf
        lingers = leaving and not self._farewell.over
        self._announce_at = now + (ANNOUNCE_MIN_S if lingers else ANNOUNCE_S)


def outcome_of(result: Finished) -> TaskOutcome:
    return TaskOutcome(
        UUID(bytes=result.run),
        result.seq,
        result.attempt,
        result.ok,
        result.payload,
        result.timed_out,
        result.details,
    )
