"""Which worker gets an attempt: credit, backlog, and what is outstanding where.

An attempt is in one place at a time::

    backlog ──► outstanding at a worker ──► finished
       └──(waited too long, or no local worker serves its queue)──► a task row

Nothing here is durable: the attempt's event is, and recovery asks the workers.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec

from continuum.wire.messages import Execute, Key, LastWord
from continuum.wire.post import Peer, Post

SPILL_AFTER_S = 0.5  # of waiting for credit, or for the successor of a worker that died


Waiting = tuple[float, Execute]
"""Since when an attempt waits, and the attempt."""


class Spilled(msgspec.Struct, frozen=True):
    """An attempt that waits no longer."""

    execute: Execute
    queue: str


class WorkerLine:
    """A live worker: its credit (``window``), and how many attempts it has from here."""

    __slots__ = ("outstanding", "peer", "queues", "said", "stopping", "window")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.queues: frozenset[str] = frozenset()
        self.window = 0
        self.said = self.stopping = False
        self.outstanding = 0

    @property
    def credit(self) -> int:
        return 0 if self.stopping else self.window - self.outstanding

    def may_take(self, queue: str) -> bool:
        """True if the worker takes work of this queue, now or when it has room, as far as is known."""
        return not self.stopping and (not self.said or queue in self.queues)


class Placement:
    """The workers of this node, and the attempts of one engine that are at them or wait for them."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lines: dict[str, WorkerLine] = {}
        self._backlog: dict[str, deque[Waiting]] = {}
        self._where: dict[Key, WorkerLine] = {}
        self._one_died, self._successor_by = False, -math.inf
        self.draining = False

    # -- workers

    def worker_up(self, peer: Peer) -> None:
        line = self._lines.get(peer.name)
        if line is None or line.peer != peer:
            self._lines[peer.name] = WorkerLine(peer)

    def worker_says(self, peer: Peer, queues: tuple[str, ...], window: int, stopping: bool) -> None:
        self.worker_up(peer)
        line = self._lines[peer.name]
        line.said, line.queues, line.window = True, frozenset(queues), window
        if stopping:
            line.stopping = True  # for good: nothing is sent after the last word
            self._post.send(peer, LastWord(self._keys_at(line)))

    def worker_down(self, peer: Peer) -> list[Key]:
        """Return the attempts that died with the worker."""
        line = self._lines.get(peer.name)
        if line is None or line.peer != peer:
            return []
        del self._lines[peer.name]
        self._one_died |= not line.stopping
        dead = self._keys_at(line)
        for key in dead:
            del self._where[key]
        return dead

    def _keys_at(self, line: WorkerLine) -> list[Key]:
        return sorted(key for key, where in self._where.items() if where is line)

    def workers(self) -> list[Peer]:
        return [line.peer for line in self._lines.values()]

    # -- attempts

    def add(self, execute: Execute, queue: str, now: float) -> None:
        backlog = self._backlog.get(queue)
        if backlog is None:
            backlog = self._backlog[queue] = deque()
        backlog.append((now, execute))

    def adopt(self, key: Key, peer: Peer) -> None:
        """The worker said that it holds this attempt."""
        line = self._lines.get(peer.name)
        if line is not None and line.peer == peer:
            self.finished(key)
            line.outstanding += 1
            self._where[key] = line

    def finished(self, key: Key) -> None:
        line = self._where.pop(key, None)
        if line is not None:
            line.outstanding -= 1

    def is_out(self, key: Key) -> bool:
        """True if a live worker has the attempt, or the message that gives it the attempt is on its way."""
        return key in self._where

    def forget(self, run: bytes) -> None:
        """Drop what waits of this run. What is out stays known: its message may still be on its way."""
        for queue, backlog in self._backlog.items():
            if any(execute.run == run for _, execute in backlog):
                self._backlog[queue] = deque(waiting for waiting in backlog if waiting[1].run != run)

    def withdraw(self, key: Key) -> Peer | None:
        """Take the attempt back from wherever it is; return the worker that must be told, if one has it."""
        line = self._where.pop(key, None)
        if line is not None:
            line.outstanding -= 1
            return line.peer
        for queue, backlog in self._backlog.items():
            if any(execute.key == key for _, execute in backlog):
                self._backlog[queue] = deque(waiting for waiting in backlog if waiting[1].key != key)
        return None

    def place(self, now: float) -> list[Spilled]:
        """Send the backlog to workers with credit; return the attempts that should go into task rows."""
        if self._one_died:
            self._one_died, self._successor_by = False, now + SPILL_AFTER_S
        spilled: list[Spilled] = []
        for queue, backlog in self._backlog.items():
            while backlog:
                line, count = self._best(queue)
                if line is None:
                    break
                self._hand_out(backlog, line, count)
            while backlog and (self.draining or now >= self._spill_at(queue, backlog[0])):
                spilled.append(Spilled(backlog.popleft()[1], queue))
        return spilled

    def place_at(self) -> float:
        """When the oldest attempt of the backlog must be spilled."""
        moment = math.inf
        for queue, backlog in self._backlog.items():
            if backlog:
                moment = min(moment, self._spill_at(queue, backlog[0]))
        return moment

    def _spill_at(self, queue: str, oldest: Waiting) -> float:
        """At once, where no worker of this node takes the queue: others wait for the row."""
        since, _ = oldest
        late = since + SPILL_AFTER_S
        if any(line.may_take(queue) for line in self._lines.values()):
            return late
        return min(late, max(since, self._successor_by))

    def _hand_out(self, backlog: deque[Waiting], line: WorkerLine, count: int) -> None:
        where, before = self._where, len(self._where)
        executes = [backlog.popleft()[1] for _ in range(min(count, len(backlog)))]
        for execute in executes:
            key = (execute.run, execute.seq, execute.attempt)
            if where.setdefault(key, line) is not line:  # it was at another one
                self.finished(key)
                where[key] = line
                before -= 1
        line.outstanding += len(where) - before
        self._post.send_all(line.peer, executes)

    def _best(self, queue: str) -> tuple[WorkerLine | None, int]:
        """Return the worker with the most credit, and how many attempts it may have before another one has as much."""
        best: WorkerLine | None = None
        most = second = 0
        if not self.draining:
            for line in self._lines.values():
                if queue in line.queues:
                    credit = line.credit
                    if credit > most:
                        best, most, second = line, credit, most
                    elif credit > second:
                        second = credit
        return best, max(most - second, 1)
