"""The attempts of an engine's runs: let out, finished, failed, retried, lost with a worker, found again (chapter A).

After a crash of the engine the workers may still hold attempts. So for every attempt that the journal leaves open:

    a task row holds it                        -> its outcome comes by mail
    we have sent it (the run was only reloaded) -> its result comes
    a worker of this node holds it             -> its result comes to us from now on
    none does, and no worker died since        -> it never began: let it out, the same attempt
    a worker (or the node) died since          -> what the dead have noted says whether it began (A16); if that
                                                  cannot be read, it has, unless its back-off is not over
    it began                                   -> a failed attempt (A5)

"No worker died since" is the crew, ``<boot>:<deaths>``, that the event which began the attempt recorded. The notes
(``ports/beginnings``) are of one life of the node. So an attempt of another life goes into a task row when it is let
out again: there stands who takes it, and so in whose notes to look for it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from functools import partial

import msgspec

from continuum.core.failure import decode_failure
from continuum.core.step import Crew, Dispatch, PendingAttempt
from continuum.errors import PayloadError
from continuum.model.events import Failure
from continuum.model.retry import ATTEMPTS_EXHAUSTED, NODE_DRAINED, WORKER_DIED, type_name
from continuum.ports.journal import KeptResult, ResultKey, TaskOutcome
from continuum.runtime.commits import Commits
from continuum.runtime.live import LiveRun, execute_of
from continuum.runtime.placement import Placement
from continuum.runtime.results import Results
from continuum.runtime.role import Ports
from continuum.runtime.worker import outcome_of
from continuum.wire.messages import Abandon, Disowned, Finished, Key, Recover, Recovered, Settled
from continuum.wire.post import Peer

UNSURE_S = 0.5  # by which engines may differ in what they take for the database's time
_NO_PAYLOAD = type_name(PayloadError)
_LOST = Failure(WORKER_DIED, "the worker process died during this attempt")


class Attempts:
    """``commits`` hears of runs that changed; ``look(run)`` is called when one may have another owner,
    ``broken(run, error)`` when something of one raised; ``now_us()`` is the database's time."""

    def __init__(
        self,
        ports: Ports,
        runs: dict[bytes, LiveRun],
        crew: Crew,
        commits: Commits,
        now_us: Callable[[], int],
        results: Results,
        look: Callable[[LiveRun], None],
        broken: Callable[[LiveRun, Exception], None],
    ) -> None:
        self._results, self._look, self._broken = results, look, broken
        self._keeping: set[Key] = set()
        self._ports, self._runs, self._crew, self._now_us = ports, runs, crew, now_us
        self._touch, self._changed = commits.touch, commits.changed
        self.placement = Placement(ports.post)
        self._delayed: list[tuple[float, int, LiveRun, Dispatch]] = []
        self._count = 0
        self._asked: dict[Key, tuple[PendingAttempt, set[Peer]]] = {}
        self._settled: defaultdict[Peer, list[Key]] = defaultdict(list)
        self._disowned: defaultdict[Peer, list[Key]] = defaultdict(list)
        self._abandoned: defaultdict[Peer, list[Key]] = defaultdict(list)
        self._to_recover: list[Key] = []

    # -- out

    def let_out(self, run: LiveRun, dispatch: Dispatch, now: float) -> None:
        """The attempt is durable: it may run, after its back-off."""
        if dispatch.delay_s > 0:
            self._count += 1
            heapq.heappush(self._delayed, (now + dispatch.delay_s, self._count, run, dispatch))
        elif dispatch.idempotency_key is None:
            self.placement.add(execute_of(run, dispatch), dispatch.call.policy.queue, now)
        else:
            self._begin(run, dispatch)

    def _begin(self, run: LiveRun, dispatch: Dispatch) -> None:
        """The attempt is due: it runs, unless its result is kept already."""
        if dispatch.idempotency_key is None:
            self._place(run, dispatch)
        else:
            self._look_up(run, dispatch, partial(self._place, run, dispatch))

    def _place(self, run: LiveRun, dispatch: Dispatch) -> None:
        now = self._ports.clock.monotonic()
        self.placement.add(execute_of(run, dispatch), dispatch.call.policy.queue, now)

    def _look_up(self, run: LiveRun, dispatch: Dispatch, otherwise: Callable[[], None]) -> None:
        """Complete the activity with the result that is kept under its key; if there is none, do ``otherwise``."""

        def then(kept: bytes | None) -> None:
            if self._runs.get(run.id) is not run or not _waits(run, dispatch.seq, dispatch.attempt):
                return
            try:
                if kept is None:
                    otherwise()
                else:
                    run.machine.complete(dispatch.seq, dispatch.attempt, kept, self._now_us())
                    self._touch(run)
            except Exception as error:  # noqa: BLE001 - what is kept may be damaged
                self._broken(run, error)

        assert dispatch.idempotency_key is not None
        self._results.look_up(ResultKey(dispatch.call.name, dispatch.idempotency_key), then)

    def tick(self) -> None:
        now = self._ports.clock.monotonic()
        while self._delayed and (self._delayed[0][0] <= now or self.placement.draining):
            due, _, run, dispatch = heapq.heappop(self._delayed)
            if self._runs.get(run.id) is not run or not _waits(run, dispatch.seq, dispatch.attempt):
                continue
            try:
                if self.placement.draining:
                    run.put_row(execute_of(run, dispatch), dispatch.call.policy.queue, max(due - now, 0.0))
                    self._touch(run)
                else:
                    self._begin(run, dispatch)
            except Exception as error:  # noqa: BLE001 - it is that run's
                self._broken(run, error)
        for spilled in self.placement.place(now):
            execute, current = spilled.execute, self._runs.get(spilled.execute.run)
            if current is not None and _waits(current, execute.seq, execute.attempt):
                current.put_row(execute, spilled.queue, 0.0)
                self._touch(current)
        self._send()

    def wake_at(self) -> float:
        return min(self._delayed[0][0] if self._delayed else float("inf"), self.placement.place_at())

    def _send(self) -> None:
        if self._to_recover:
            keys, self._to_recover = self._to_recover, []
            for peer in self.placement.workers():
                self._ports.post.send(peer, Recover(keys))
        for lists, message in (
            (self._settled, Settled),
            (self._disowned, Disowned),
            (self._abandoned, Abandon),
        ):
            if lists:
                for peer, keys in lists.items():
                    self._ports.post.send(peer, message(keys))
                lists.clear()

    def disown(self, run: LiveRun) -> None:
        """The run is dropped: results that it took and never committed are the workers' to store (A8)."""
        for key, worker in run.unsettled.items():
            self._disowned[worker].append(key)

    # -- back

    def finished(self, worker: Peer, message: Finished, at: int) -> None:
        """An attempt has ended; ``at``: the database's time."""
        seq = message.seq
        key = (message.run, seq, message.attempt)
        self.placement.finished(key)
        if self._asked:
            self._asked.pop(key, None)  # the worker's answer says that it holds it: that is known, and over
        run = self._runs.get(message.run)
        if run is None:
            self._disowned[worker].append(key)
            return
        awaiting = run.machine.awaiting(seq, message.attempt) if message.ok else None
        if awaiting is not None and awaiting.key is None and not run.rows and not run.beats:
            run.machine.give(awaiting, seq, message.payload, at)  # as nearly always; below are all cases
            run.hold(key, worker)
            self._changed(run)
        elif key not in run.unsettled:
            if message.ok and self._keeps(run, message):
                self._keep(run, outcome_of(message), worker)
                return
            if message.seq in run.rows:  # it travelled, and came back by message
                self._row_done(run, message)
            if self._apply(run, message, message.retryable):
                run.hold(key, worker)
                self._changed(run)
            else:
                self._settled[worker].append(key)

    def beat(self, beats: Iterable[tuple[Key, bytes]]) -> None:
        """Remember the details, for the attempt after one that fails (A11)."""
        for key, details in beats:
            run = self._runs.get(key[0])
            if run is not None and _waits(run, key[1], key[2]):
                run.beats = run.beats or {}
                run.beats[key[1:]] = details

    def _keeps(self, run: LiveRun, outcome: TaskOutcome | Finished) -> bool:
        """True if this is a value that the run waits for, and that is to be kept under a key of the user's."""
        if run.machine.idempotency_key(outcome.seq) is None:
            return False
        return outcome.ok and _waits(run, outcome.seq, outcome.attempt)

    def _keep(self, run: LiveRun, outcome: TaskOutcome, worker: Peer | None) -> None:
        """Keep the result, and let the run take what is kept then. ``worker`` holds it until this is committed."""
        attempt_key, token = (run.id, outcome.seq, outcome.attempt), run.lease.token
        current, key = run.machine.attempt(outcome.seq), run.machine.idempotency_key(outcome.seq)
        assert current is not None and key is not None, "an activity with a key is awaited"
        if attempt_key not in self._keeping:
            self._keeping.add(attempt_key)
            name = ResultKey(current[0].name, key)
            self._results.keep(
                KeptResult(run.lease.run_id, token, outcome.seq, name, outcome.payload),
                lambda payload: self._kept(token, outcome, worker, payload),
            )

    def _kept(self, token: int, outcome: TaskOutcome, worker: Peer | None, payload: bytes | None) -> None:
        key = (outcome.run_id.bytes, outcome.seq, outcome.attempt)
        self._keeping.discard(key)
        run = self._runs.get(key[0])
        if payload is None and run is not None and run.lease.token != token and self._keeps(run, outcome):
            self._keep(run, outcome, worker)  # it came back under another lease meanwhile
        elif payload is None or run is None:
            if worker is not None:
                self._disowned[worker].append(key)
            if run is not None:
                self._look(run)
            return
        try:
            taken = self._take(run, msgspec.structs.replace(outcome, payload=payload), is_mail=worker is None)
            if worker is not None and taken:
                run.hold(key, worker)
            elif worker is not None:
                self._settled[worker].append(key)
            self._touch(run)
        except Exception as error:  # noqa: BLE001 - what is kept may be damaged
            self._broken(run, error)

    def _take(self, run: LiveRun, outcome: TaskOutcome, is_mail: bool) -> bool:
        if is_mail:
            self.placement.withdraw((run.id, outcome.seq, outcome.attempt))
        if is_mail or outcome.seq in run.rows:
            self._row_done(run, outcome)
        return self._apply(run, outcome, retryable=True)

    def _row_done(self, run: LiveRun, outcome: TaskOutcome | Finished) -> None:
        """The task row goes with the next commit, unless it holds a later attempt."""
        current = run.machine.attempt(outcome.seq)
        if current is None or current[1] <= outcome.attempt:
            run.clear_row(outcome.seq)

    def settle(self, run: LiveRun, keys: Iterable[Key]) -> None:
        """These results are committed."""
        run.settle(keys, self._settled)

    def outcome(self, run: LiveRun, outcome: TaskOutcome) -> None:
        """A result that came by the database; its row has done its duty whether the run still waits for it or not."""
        if self._keeps(run, outcome):
            self._keep(run, outcome, None)
        else:
            self._take(run, outcome, is_mail=True)
            self._touch(run)

    def abandon(self, run: LiveRun, seq: int, attempt: int) -> None:
        """The code does not wait for this attempt any more (A15)."""
        key = (run.id, seq, attempt)
        self._asked.pop(key, None)
        worker = self.placement.withdraw(key)
        if seq in run.rows:
            run.clear_row(seq)
            self._touch(run)
        if worker is not None:
            self.stop(worker, key)

    def stop(self, worker: Peer, key: Key) -> None:
        """Tell the worker to stop this attempt, which nobody waits for."""
        self._abandoned[worker].append(key)

    def _apply(self, run: LiveRun, outcome: TaskOutcome | Finished, retryable: bool) -> bool:
        seq, attempt = outcome.seq, outcome.attempt
        if outcome.ok:
            if run.beats:
                run.beats.pop((seq, attempt), None)
            return run.machine.complete(seq, attempt, outcome.payload, self._now_us())
        if not _waits(run, seq, attempt):
            return False
        if outcome.details:
            run.beats = (run.beats or {}) | {(seq, attempt): outcome.details}
        failure = decode_failure(outcome.payload) if outcome.payload else _LOST
        retryable = retryable and failure.type != _NO_PAYLOAD  # what another attempt would only repeat
        return self._fail(run, seq, attempt, failure, outcome.timed_out, retryable)

    def _fail(
        self, run: LiveRun, seq: int, attempt: int, failure: Failure, timed_out: bool, retryable: bool
    ) -> bool:
        current = run.machine.attempt(seq)
        assert current is not None
        policy = current[0].policy.retry
        details = run.beats.pop((seq, attempt), b"") if run.beats else b""
        counted = run.machine.counted(seq, attempt)
        if failure.type == NODE_DRAINED:
            return run.machine.retry(seq, attempt, failure, 0.0, details, self._now_us())
        if retryable and policy.allows_after(counted, failure):
            delay_s = policy.delay_s(counted, self._ports.random.random)
            return run.machine.retry(seq, attempt, failure, delay_s, details, self._now_us())
        if failure.type == WORKER_DIED:
            message = f"{failure.message}, the last of {policy.max_attempts}"
            failure = Failure(ATTEMPTS_EXHAUSTED, message, failure.traceback, WORKER_DIED)
        return run.machine.fail(seq, attempt, failure, timed_out, self._now_us())

    # -- lost and found

    def worker_down(self, worker: Peer) -> None:
        """Its attempts have failed; and it cannot answer any more what it held."""
        dead = self.placement.worker_down(worker)
        begun = self._begun(worker.incarnation) if dead else None
        for key in dead:
            if begun is None or key in begun:
                self._lost(key)
            else:
                self._let_out_again(key)
        for key in [key for key, (_, asked) in self._asked.items() if worker in asked]:
            self._is_unknown(key, worker)

    def recover(self, run: LiveRun, pending: Iterable[PendingAttempt]) -> None:
        """Find out what became of attempts that the journal leaves open and no task row holds."""
        for attempt in pending:
            key = (run.id, attempt.dispatch.seq, attempt.dispatch.attempt)
            if key[1] in run.rows or self.placement.is_out(key) or not _waits(run, key[1], key[2]):
                continue
            if key in self._keeping:
                continue  # its result is here
            if attempt.dispatch.idempotency_key is None:
                self._find(key, attempt)
            else:  # its result may be kept already
                self._look_up(run, attempt.dispatch, partial(self._find, key, attempt))

    def _find(self, key: Key, attempt: PendingAttempt) -> None:
        workers = set(self.placement.workers())
        if workers and _boot(attempt.crew) == _boot(self._crew.text):
            self._asked[key] = (attempt, workers)
            self._to_recover.append(key)
        else:
            self._decide(key, attempt)

    def recovered(self, worker: Peer, message: Recovered) -> list[LiveRun]:
        """Take a worker's answer, asked for or not; return the runs whose result it has stored in the database."""
        stored = []
        for key in message.held:
            if self._asked.pop(key, None) is not None:
                self.placement.adopt(key, worker)
        for key in message.stored:
            self._asked.pop(key, None)
            self.placement.finished(key)
            run = self._runs.get(key[0])
            if run is not None:
                stored.append(run)
        for key in message.unknown:
            if key in self._asked:
                self._is_unknown(key, worker)
        return stored

    def idle(self, run: LiveRun) -> bool:
        """True if no attempt of the run is here: not out, not delayed, not asked for."""
        return all(
            pending.dispatch.seq in run.rows and pending.dispatch.seq not in run.unwritten
            for pending in run.machine.attempts()
        )

    def _is_unknown(self, key: Key, worker: Peer) -> None:
        attempt, asked = self._asked[key]
        asked.discard(worker)
        if not asked:
            del self._asked[key]
            self._decide(key, attempt)

    def _decide(self, key: Key, attempt: PendingAttempt) -> None:
        run = self._runs.get(key[0])
        if run is None or not _waits(run, key[1], key[2]):
            return
        wait_s = max(attempt.due_at - self._now_us(), 0) / 1e6 if attempt.due_at else attempt.dispatch.delay_s
        boot = _boot(attempt.crew)
        if attempt.crew != self._crew.text:
            begun = self._ports.beginnings.begun(boot)
            if key in begun if begun is not None else wait_s <= UNSURE_S or not attempt.due_at:
                self._lost(key)
                return
        dispatch = msgspec.structs.replace(attempt.dispatch, delay_s=wait_s)
        if boot == _boot(self._crew.text):
            self.let_out(run, dispatch, self._ports.clock.monotonic())
        else:
            run.put_row(execute_of(run, dispatch), dispatch.call.policy.queue, wait_s)
            self._touch(run)

    def _begun(self, worker: str) -> Set[Key] | None:
        """Return what this worker of our node, which is dead, had begun; None if that is not known."""
        return self._ports.beginnings.begun(worker.partition("-")[0], worker)

    def _let_out_again(self, key: Key) -> None:
        """It has not begun at the worker that died."""
        run = self._runs.get(key[0])
        dispatch = run.machine.dispatch(key[1]) if run is not None else None
        if run is not None and dispatch is not None and dispatch.attempt == key[2]:
            self._place(run, dispatch)

    def _lost(self, key: Key) -> None:
        run = self._runs.get(key[0])
        if run is not None and _waits(run, key[1], key[2]):
            try:
                self._fail(run, key[1], key[2], _LOST, False, True)
                self._touch(run)
            except Exception as error:  # noqa: BLE001 - it is that run's
                self._broken(run, error)


def _waits(run: LiveRun, seq: int, attempt: int) -> bool:
    current = run.machine.attempt(seq)
    return current is not None and current[1] == attempt


def _boot(crew: str) -> str:
    return crew.partition(":")[0]
