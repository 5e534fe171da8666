"""The dispatcher's tasks: claimed rows on their way through a worker of this node.

A task here::

    claimed ──assign_task──► out at a worker ──Finished──► to the owner by message (runtime/passing) ──► Settled
       │                            │                └──no way, no answer──► offer_outcomes ──► Settled
       │                            └──worker died──► had it begun? lose_tasks: a failed attempt (A4, A16)
       └──return_tasks, if it could not be assigned

No more tasks are claimed than workers have credit for: what waits, waits in the database, where other nodes take it
(A12). A task is assigned before it is sent, so that the death of its worker finds it; one whose assignment failed is
not sent later, because by then it may be another's. What may have begun at a worker that died is lost, never sent
again (A5); what its notes say has not begun is queued again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from uuid import UUID

from continuum.errors import JournalError
from continuum.model.ids import Owner
from continuum.ports.beginnings import Beginnings
from continuum.ports.dispatch import ClaimedTask, Dispatch, Woken
from continuum.ports.journal import READ_BYTES_MAX, ResultKey, TaskOutcome
from continuum.runtime.claimers import Claimers
from continuum.runtime.limits import GROUP_BYTES_MAX, fitting
from continuum.runtime.neighbours import Neighbours
from continuum.runtime.passing import Passed, Passing
from continuum.runtime.role import Ports
from continuum.runtime.worker import outcome_of
from continuum.wire.messages import Abandon, Execute, Finished, Key, LastWord, Settled, WorkerReady
from continuum.wire.post import Peer

TaskKey = tuple[UUID, int, int]
CLAIM_MAX = 500
OFFER_MAX = 500
WITHDRAWN_S = 2.0  # between two looks for attempts that were withdrawn while they run


class _Line:
    """A worker: its credit for us, and the attempts that it has from us. ``up``: the supervisor says that it lives,
    without which an announcement may be the echo of a dead one."""

    __slots__ = ("out", "queues", "stopping", "up", "window")

    def __init__(self) -> None:
        self.queues: tuple[str, ...] = ()
        self.window = 0
        self.stopping = False
        self.up = False
        self.out: set[Key] = set()

    @property
    def credit(self) -> int:
        return max(0, self.window - len(self.out)) if self.up and not self.stopping else 0


class Tasks:
    """``wake`` tells the owners of runs that got an outcome."""

    def __init__(
        self,
        ports: Ports,
        dispatch: Dispatch,
        claimers: Claimers,
        neighbours: Neighbours,
        wake: Callable[[Sequence[Woken]], None],
    ) -> None:
        self._post, self._dispatch, self._claimers, self._wake = ports.post, dispatch, claimers, wake
        self._beginnings = ports.beginnings
        self._passing = Passing(ports.post, ports.clock, neighbours)
        self._clock = ports.clock
        self._withdrawn_at = ports.clock.monotonic()
        self._owner_of: dict[Key, str] = {}  # of what was sent: who holds the run, as far as the claim knows
        self._lines: dict[Peer, _Line] = {}
        self._returns: dict[str, list[TaskKey]] = {}  # by claimer; nothing is claimed before they are back
        self._claimer_of: dict[Key, str] = {}  # of what was sent, until its end is stored
        self._results: dict[Key, tuple[Peer, Finished]] = {}
        self._deaths: list[tuple[str, Peer]] = []  # (claimer, dead worker)
        self._beats: dict[Key, bytes] = {}  # the last details of what is out, not noted yet
        self._kept: list[
            tuple[str, TaskOutcome]
        ] = []  # (claimer, how it ends): claimed tasks that need not run

    @property
    def idle(self) -> bool:
        """True if nothing claimed is without an end."""
        held = self._returns or self._claimer_of or self._results or self._deaths or self._kept
        return not held and self._passing.idle

    @property
    def pending(self) -> bool:
        """True if there is something to write."""
        return bool(self._results or self._deaths or self._returns or self._beats or self._kept)

    @property
    def credit(self) -> int:
        return sum(line.credit for line in self._lines.values())

    def worker_up(self, worker: Peer) -> None:
        self._line(worker).up = True

    def worker_says(self, worker: Peer, ready: WorkerReady) -> bool:
        """Return True if that worker has credit now, and had none before."""
        line = self._line(worker)
        before = line.credit
        line.queues, line.window = ready.queues, ready.window
        if ready.stopping:
            line.stopping = True  # for good: nothing is sent after the last word
            self._post.send(worker, LastWord(sorted(line.out)))
        return line.credit > 0 and before == 0

    def worker_down(self, worker: Peer) -> None:
        """What it had from us is lost, but for the results that are here already."""
        line = self._lines.pop(worker, None)
        out = line.out if line is not None else ()
        lost = [key for key in out if key not in self._results and key not in self._passing]
        begun = self._beginnings.begun(worker.incarnation.partition("-")[0], worker.incarnation)
        claimers = [(key, self._claimer_of.pop(key)) for key in lost]
        for key in lost:
            self._owner_of.pop(key, None)
        self._deaths.extend((claimer, worker) for claimer in dict.fromkeys(sorted(c for _, c in claimers)))
        for key, claimer in claimers:
            if begun is None or key in begun:
                self._claimers.ended(claimer)
            else:
                self._returns.setdefault(claimer, []).append((UUID(bytes=key[0]), key[1], key[2]))

    def finished(self, worker: Peer, result: Finished) -> None:
        """Keep the result until it is stored, also of an attempt that was counted as lost: A7 sorts it out."""
        if not self._passing.offer(self._owner_of.get(result.key), worker, result):
            self._results[result.key] = (worker, result)

    def pass_on(self) -> None:
        """Send the results that go by message; what has found no answer goes into the database."""
        if not self._passing.idle:
            self._passing.flush()
            self._store_instead(self._passing.take_overdue())

    def settled(self, keys: Sequence[Key]) -> None:
        """The owner has committed these results, or nobody wants them."""
        settled: dict[Peer, list[Key]] = {}
        for key in keys:
            passed = self._passing.take(key)
            if passed is not None:
                settled.setdefault(passed.worker, []).append(key)
                self._end(passed.worker, key)
        for worker, of_worker in settled.items():
            self._post.send(worker, Settled(of_worker))

    def disowned(self, keys: Sequence[Key]) -> None:
        """Whom they were sent to does not own these runs, or could not be reached."""
        self._store_instead([passed for key in keys if (passed := self._passing.take(key)) is not None])

    def receiver_down(self, peer: Peer) -> None:
        """A process of the node died, perhaps with results that it was to take or to carry."""
        self._store_instead(self._passing.take_from(peer))

    def wake_at(self) -> float:
        return min(self._passing.wake_at(), self._withdrawn_at if self._claimer_of else math.inf)

    def beat(self, beats: Sequence[tuple[Key, bytes]]) -> None:
        self._beats.update((key, details) for key, details in beats if key in self._claimer_of)

    def stored(self, worker: Peer, keys: Sequence[Key]) -> None:
        """The worker has stored these results itself."""
        for key in keys:
            self._end(worker, key)

    def write(self) -> None:
        """Store what ended, give back what was claimed and not sent, stop what nobody waits for."""
        if self.pending:
            self._note()
            self._offer()
            self._return()  # first: what a dead worker had not begun is not lost with the rest
            self._lose()
        if self._clock.monotonic() >= self._withdrawn_at:
            self._stop_withdrawn()

    def claim(self) -> tuple[int, bool]:
        """Claim as many tasks as there is credit for and send them; return how many, and True if there may be more."""
        count, more = 0, False
        for queues in dict.fromkeys(line.queues for line in self._lines.values()):
            credit = sum(line.credit for line in self._lines.values() if line.queues == queues)
            limit = min(credit, CLAIM_MAX)
            if limit:
                claimed, full = self._claim(queues, limit)
                count, more = count + claimed, more or full
        return count, more

    def _claim(self, queues: tuple[str, ...], limit: int) -> tuple[int, bool]:
        claimer = self._claimers.current
        try:
            claimed = self._dispatch.claim_tasks(claimer, queues, limit)
        except JournalError:
            self._claimers.renew()
            raise
        self._claimers.took(claimer, len(claimed))
        unsent = {_key(task): task for task in claimed}
        try:
            self._complete_kept(claimer, unsent)
            for worker, tasks in self._plan(queues, list(unsent.values())).items():
                self._dispatch.assign_task(claimer, [_key(task) for task in tasks], _text(worker))
                for task in tasks:
                    del unsent[_key(task)]
                    self._send(claimer, worker, task)
        finally:
            if unsent:
                self._returns.setdefault(claimer, []).extend(unsent)
        full = len(claimed) == limit or sum(len(task.args) for task in claimed) >= READ_BYTES_MAX
        return len(claimed), full

    def _complete_kept(self, claimer: str, unsent: dict[TaskKey, ClaimedTask]) -> None:
        """Take out the tasks whose result is kept under their idempotency key already (A10)."""
        names = {
            key: ResultKey(task.activity, task.idempotency_key)
            for key, task in unsent.items()
            if task.idempotency_key is not None
        }
        kept = self._dispatch.results(list(names.values())) if names else {}
        for key, name in names.items():
            if name in kept:
                del unsent[key]
                self._kept.append((claimer, TaskOutcome(*key, True, kept[name])))

    def _note(self) -> None:
        by_claimer: dict[str, list[tuple[TaskKey, bytes]]] = {}
        for key, details in self._beats.items():
            claimer = self._claimer_of.get(key)
            if claimer is not None:
                by_claimer.setdefault(claimer, []).append(((UUID(bytes=key[0]), key[1], key[2]), details))
        for claimer, beats in by_claimer.items():
            self._dispatch.note_heartbeats(claimer, beats)
        self._beats.clear()

    def _plan(self, queues: tuple[str, ...], claimed: Sequence[ClaimedTask]) -> dict[Peer, list[ClaimedTask]]:
        """Say which worker gets which tasks: each goes to the one that has most credit left."""
        credit = {worker: line.credit for worker, line in self._lines.items() if line.queues == queues}
        plan: dict[Peer, list[ClaimedTask]] = {}
        for task in claimed:
            worker = max(credit, key=credit.__getitem__)
            credit[worker] -= 1
            plan.setdefault(worker, []).append(task)
        return plan

    def _send(self, claimer: str, worker: Peer, task: ClaimedTask) -> None:
        execute = _execute(task)
        self._lines[worker].out.add(execute.key)
        self._claimer_of[execute.key] = claimer
        if task.owner is not None:
            self._owner_of[execute.key] = task.owner
        self._post.send(worker, execute)

    def _return(self) -> None:
        while self._returns:
            claimer, keys = next(iter(self._returns.items()))
            self._dispatch.return_tasks(claimer, keys)
            del self._returns[claimer]
            for _ in keys:
                self._claimers.ended(claimer)

    def _offer(self) -> None:
        while self._kept:
            count = fitting([len(outcome.payload) for _, outcome in self._kept], GROUP_BYTES_MAX)
            self._wake(self._dispatch.offer_outcomes([outcome for _, outcome in self._kept[:count]]))
            kept, self._kept = self._kept[:count], self._kept[count:]
            for claimer, _ in kept:
                self._claimers.ended(claimer)
        while self._results:
            batch = list(self._results.items())[:OFFER_MAX]
            batch = batch[: fitting([len(result.payload) for _, (_, result) in batch], GROUP_BYTES_MAX)]
            self._wake(self._dispatch.offer_outcomes([outcome_of(result) for _, (_, result) in batch]))
            settled: dict[Peer, list[Key]] = {}
            for key, (worker, _) in batch:
                settled.setdefault(worker, []).append(key)
                self._end(worker, key)
            for worker, keys in settled.items():
                self._post.send(worker, Settled(keys))

    def _stop_withdrawn(self) -> None:
        """Stop what runs here for an owner who has given it up, perhaps on another node: its row is gone."""
        self._withdrawn_at = self._clock.monotonic() + WITHDRAWN_S
        if not self._claimer_of:
            return
        claimed = self._dispatch.claimed(sorted(set(self._claimer_of.values())))
        held = {(run_id.bytes, seq, attempt) for run_id, seq, attempt in claimed}
        for worker, line in self._lines.items():
            ended = [key for key in line.out if key in self._results or key in self._passing]
            withdrawn = sorted(line.out.difference(held, ended))
            for key in withdrawn:
                self._end(worker, key)
            if withdrawn:
                self._post.send(worker, Abandon(withdrawn))

    def _store_instead(self, returned: Sequence[Passed]) -> None:
        for passed in returned:
            self._results[passed.result.key] = (passed.worker, passed.result)

    def _lose(self) -> None:
        while self._deaths:
            claimer, worker = self._deaths[0]
            self._wake(self._dispatch.lose_tasks(claimer, _text(worker)))
            self._deaths.pop(0)

    def _end(self, worker: Peer, key: Key) -> None:
        self._results.pop(key, None)
        self._owner_of.pop(key, None)
        if worker in self._lines:
            self._lines[worker].out.discard(key)
        claimer = self._claimer_of.pop(key, None)
        if claimer is not None:
            self._claimers.ended(claimer)

    def _line(self, worker: Peer) -> _Line:
        return self._lines.setdefault(worker, _Line())


def return_unbegun(dispatch: Dispatch, beginnings: Beginnings, claimer: str) -> None:
    """Queue again what a dispatcher of another life had claimed, and its workers had not begun, as far as that is
    known (A16)."""
    begun = beginnings.begun(Owner.parse(claimer).incarnation.partition("-")[0])
    if begun is not None:
        keys = [key for key in dispatch.claimed([claimer]) if (key[0].bytes, *key[1:]) not in begun]
        if keys:
            dispatch.return_tasks(claimer, sorted(keys))


def _key(task: ClaimedTask) -> TaskKey:
    return (task.run_id, task.seq, task.attempt)


def _text(worker: Peer) -> str:
    return f"{worker.name}/{worker.incarnation}"


def _execute(task: ClaimedTask) -> Execute:
    return Execute(
        task.run_id.bytes,
        task.seq,
        task.attempt,
        task.activity,
        task.args,
        task.timeout_s,
        task.idempotency_key,
        task.heartbeat_timeout_s,
        task.last_heartbeat,
    )
