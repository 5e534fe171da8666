"""Results of claimed tasks on their way to the engine that owns the run, here or on another node, by message.

::

    Finished ──► engine of this node, or Forward by the group ──► Settled: done
                                                              ├─► Disowned, or no way there: into the database at once
                                                              └─► no answer within ANSWER_S: into the database

The engine commits such a result with the events that it leads to, as one of its own workers' (A14): no row is written
and read for it. The worker keeps it until it is settled, and the task's row stays claimed: so nothing depends on the
message (A8), and the attempt's number decides whatever comes twice (A7).
"""

from __future__ import annotations

import math

import msgspec

from continuum.ports.clock import Clock
from continuum.runtime.neighbours import Neighbours
from continuum.wire.messages import Finished, Forward, Key
from continuum.wire.post import Peer, Post

ANSWER_S = 1.0
PASSED_MAX = 20_000  # under way at once; more go into the database


class Passed(msgspec.Struct, frozen=True):
    """``receiver``: who has it now, an engine or the group."""

    worker: Peer
    result: Finished
    receiver: Peer
    until: float


class Passing:
    """The results of one dispatcher that are under way."""

    def __init__(self, post: Post, clock: Clock, neighbours: Neighbours) -> None:
        self._post, self._clock, self._neighbours = post, clock, neighbours
        self._passed: dict[Key, Passed] = {}  # in the order of `until`
        self._forwards: dict[tuple[Peer, str], list[Finished]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._passed

    @property
    def idle(self) -> bool:
        return not self._passed

    def offer(self, owner: str | None, worker: Peer, result: Finished) -> bool:
        """Send the result to the owner; False if there is no way there. It leaves with the next `flush`."""
        receiver = self._receiver(owner) if owner is not None else None
        if owner is None or receiver is None or len(self._passed) >= PASSED_MAX:
            return False
        self._passed[result.key] = Passed(worker, result, receiver, self._clock.monotonic() + ANSWER_S)
        self._forwards.setdefault((receiver, owner), []).append(result)
        return True

    def flush(self) -> None:
        """Send what was offered, in batches."""
        for (receiver, owner), results in self._forwards.items():
            if receiver == self._neighbours.group:
                self._post.send(receiver, Forward(owner, results))
            else:
                for result in results:
                    self._post.send(receiver, result)
        self._forwards.clear()

    def take(self, key: Key) -> Passed | None:
        """The result is settled, or comes back: it is not under way any more."""
        return self._passed.pop(key, None)

    def take_overdue(self) -> list[Passed]:
        """Return those that have waited too long for an answer."""
        now = self._clock.monotonic()
        overdue = []
        for key in list(self._passed):
            if self._passed[key].until > now:
                break
            overdue.append(self._passed.pop(key))
        return overdue

    def take_from(self, receiver: Peer) -> list[Passed]:
        """The receiver is dead: return what it had."""
        keys = [key for key, passed in self._passed.items() if passed.receiver == receiver]
        return [self._passed.pop(key) for key in keys]

    def wake_at(self) -> float:
        """When the first has waited too long."""
        return next(iter(self._passed.values())).until if self._passed else math.inf

    def _receiver(self, owner: str) -> Peer | None:
        engine = self._neighbours.engine_of(owner)
        if engine is not None:
            return engine
        return self._neighbours.group if self._neighbours.reaches(owner) else None
