"""A live run in an engine: its machine, its lease, and what of it is under way.

Thousands of them wait for days. So what few runs have at a time is made when they have it, and goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from sys import intern

import msgspec

from continuum.core.definitions import Workflow
from continuum.core.machine import Machine
from continuum.core.step import Crew, Dispatch, RunIdentity, Step
from continuum.ports.journal import ClaimedRun, Lease, RunCommit, TaskRow, TimerRow
from continuum.wire.messages import Execute, Key
from continuum.wire.post import Peer

LONG_DELAY_S = 5.0  # a back-off beyond it is a row, that any node's worker may take
# Shared by all runs that have none, and never changed.
_NO_RESULTS: dict[Key, Peer] = {}
_NO_SEQS: set[int] = set()


class LiveRun:
    """``unsettled``: results consumed in memory, whose workers keep them until the commit. ``rows``: seqs of attempts
    that stand in task rows, ``unwritten`` those of them that a commit has yet to write. ``read``: its mail was read
    since it is here. ``snapshot_at``: the event at which the next snapshot is due. ``again``: it may have changed since
    the commit that is under way was made. ``touched_at``: when something last happened to it, by the monotonic clock.
    ``beats``: the details that its attempts have said last. ``stamp``: the version to write into the run's row with the
    next commit, if it is another than the row has. ``bare``: it has never had more in the database than its row,
    events, and signals."""

    __slots__ = (
        "_rows_cleared",
        "_rows_set",
        "again",
        "bare",
        "beats",
        "committing",
        "evicting",
        "id",
        "lease",
        "machine",
        "read",
        "rows",
        "snapshot_at",
        "stamp",
        "touched_at",
        "unsettled",
    )

    def __init__(self, claimed: ClaimedRun, workflow: Workflow[..., object], crew: Crew) -> None:
        self.id = claimed.run_id.bytes
        self.lease = Lease(claimed.run_id, claimed.token)
        self.machine = Machine(identity_of(claimed), workflow, claimed.args, crew)
        self.stamp: str | None = None
        self.committing = self.again = False
        self.evicting = False
        self.read = False
        self.unsettled = _NO_RESULTS
        self.beats: dict[tuple[int, int], bytes] | None = None  # (seq, attempt): few runs have any
        self.rows = _NO_SEQS
        self._rows_set: dict[int, TaskRow] | None = None
        self._rows_cleared: list[int] | None = None
        self.snapshot_at = math.inf
        self.touched_at = 0.0
        self.bare = claimed.fresh and claimed.continued_from_run_id is None

    @property
    def dirty(self) -> bool:
        return (
            self.machine.changed
            or self._rows_set is not None
            or self._rows_cleared is not None
            or self.stamp is not None
        )

    def hold(self, key: Key, worker: Peer) -> None:
        """The worker keeps this result until it is settled."""
        if self.unsettled is _NO_RESULTS:
            self.unsettled = {key: worker}
        else:
            self.unsettled[key] = worker

    def settle(self, keys: Iterable[Key], told: Mapping[Peer, list[Key]]) -> None:
        """These results are committed; add each to what its worker is ``told``."""
        unsettled = self.unsettled
        if unsettled is not _NO_RESULTS:
            for key in keys:
                worker = unsettled.pop(key, None)
                if worker is not None:
                    told[worker].append(key)
            if not unsettled:
                self.unsettled = _NO_RESULTS

    @property
    def unwritten(self) -> Set[int]:
        return _NO_SEQS if self._rows_set is None else self._rows_set.keys()

    def stand_in_rows(self, seqs: Iterable[int]) -> None:
        """These attempts stand in task rows already."""
        self.rows = self.rows | set(seqs) or _NO_SEQS

    def clear_row(self, seq: int) -> None:
        """The task row of this attempt has done its duty; it goes with the next commit."""
        self.rows.discard(seq)
        self.rows = self.rows or _NO_SEQS
        if self._rows_set is None or self._rows_set.pop(seq, None) is None:
            self._rows_cleared = self._rows_cleared or []
            self._rows_cleared.append(seq)
        else:
            self._rows_set = self._rows_set or None

    def take(self, spill: bool) -> tuple[RunCommit, Step]:
        """Return what to commit, and the step it comes from. ``spill``: attempts go into task rows."""
        step = self.machine.take()
        for dispatch in step.out.dispatches:
            if spill or dispatch.delay_s > LONG_DELAY_S:
                self._to_rows(step, spill)
                break
        if (
            self.stamp is None
            and self._rows_set is None
            and self._rows_cleared is None
            and step.out.is_plain()
        ):
            return self._plain(step), step
        commit = RunCommit(
            run_id=self.lease.run_id,
            token=self.lease.token,
            base_seq=step.base_seq,
            events=step.events,
            state=step.state,
            result=step.result,
            error=step.error,
            timers_set=[TimerRow(t.seq, t.delay_s, t.until) for t in step.out.timers_set]
            if step.out.timers_set
            else (),
            timers_cleared=step.out.timers_cleared,
            signals_consumed=step.out.signals_consumed,
            tasks_set=list(self._rows_set.values()) if self._rows_set is not None else (),
            tasks_cleared=[seq for seq in self._rows_cleared if seq not in self.unwritten]
            if self._rows_cleared is not None
            else (),
            children_started=step.out.children_started,
            children_consumed=step.out.children_consumed,
            children_cancelled=step.out.children_cancelled,
            successor=step.out.successor,
            is_child=self.machine.identity.parent_run_id is not None,
            version_hash=self.stamp,
            is_bare=self.bare,
        )
        if commit.timers_set or commit.tasks_set or commit.children_started:
            commit.is_bare = self.bare = False
        self._rows_set = self._rows_cleared = self.stamp = None
        return commit, step

    def _plain(self, step: Step) -> RunCommit:
        """Return the commit of a step that is events and nothing else, as most are."""
        return RunCommit(
            self.lease.run_id,
            self.lease.token,
            step.base_seq,
            step.events,
            step.state,
            step.result,
            step.error,
            is_child=self.machine.identity.parent_run_id is not None,
            is_bare=self.bare,
        )

    def _to_rows(self, step: Step, spill: bool) -> None:
        kept = []
        for dispatch in step.out.dispatches:
            if spill or dispatch.delay_s > LONG_DELAY_S:
                self.put_row(execute_of(self, dispatch), dispatch.call.policy.queue, dispatch.delay_s)
            else:
                kept.append(dispatch)
        step.out.dispatches = kept

    def put_row(self, execute: Execute, queue: str, delay_s: float) -> None:
        """The attempt goes into a task row with the next commit: it waits long, or travels."""
        if self.rows is _NO_SEQS:
            self.rows = set()
        self.rows.add(execute.seq)
        self._rows_set = self._rows_set or {}
        self._rows_set[execute.seq] = TaskRow(
            seq=execute.seq,
            attempt=execute.attempt,
            activity=execute.activity,
            args=execute.args,
            queue=queue,
            delay_s=delay_s,
            timeout_s=execute.timeout_s,
            idempotency_key=execute.idempotency_key,
            heartbeat_timeout_s=execute.heartbeat_timeout_s,
            last_heartbeat=execute.last_heartbeat,
        )


class Flight(msgspec.Struct):
    """A run's part of an open commit. ``settled``: the results that the commit makes durable. ``announced``: the
    commit tells the clients that wait for the run's end."""

    run: LiveRun
    commit: RunCommit
    step: Step
    settled: Sequence[Key]
    announced: bool = False


def identity_of(claimed: ClaimedRun) -> RunIdentity:
    # Of thousands of runs the same names, and of most runs one id twice: a value of each is enough.
    same = claimed.correlation_id == claimed.run_id
    return RunIdentity(
        run_id=claimed.run_id,
        workflow=intern(claimed.workflow),
        namespace=intern(claimed.namespace),
        begun_at=round(claimed.begun_at * 1e6),
        correlation_id=claimed.run_id if same else claimed.correlation_id,
        parent_run_id=claimed.parent_run_id,
        continued_from_run_id=claimed.continued_from_run_id,
        depth=claimed.depth,
    )


def execute_of(run: LiveRun, dispatch: Dispatch) -> Execute:
    """Return the message that lets an attempt out."""
    call = dispatch.call
    return Execute(  # by position: names cost half as much again, and this is made for every attempt
        run.id,
        dispatch.seq,
        dispatch.attempt,
        call.target.name,
        dispatch.args,
        call.policy.timeout_s,
        dispatch.idempotency_key,
        call.policy.heartbeat_timeout_s,
        dispatch.last_heartbeat,
    )
