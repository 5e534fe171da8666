"""The engine: thousands of live runs, advanced in memory, committed in groups, released after (ARCHITECTURE §3).

::

    Assign ─► begin or load ─┐
    Finished, TimersFired ───┼─► machine advances ─► dirty ─► commit (two open at most) ─► release:
    mail (signals, outcomes) ┘                                     │                         Execute, TimersSet,
                                                                   └─ not written ─► reload    Settled, RunsEnded

A run is in at most one open commit; what happens to it meanwhile goes into the next. A commit whose answer is lost is
asked again: the journal refuses what it has already (``base_seq``), and a run that it refuses is loaded anew, so
the journal decides in every case. The engine never writes for a run that it does not hold: it has no way to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any
from uuid import UUID

from continuum.core.definitions import Workflow
from continuum.core.recorded import recorded_of
from continuum.core.step import Crew
from continuum.errors import JournalError, ReplayDriftError
from continuum.model.ids import Owner
from continuum.model.run import LIVE_STATES
from continuum.ports.dispatch import Death
from continuum.ports.journal import ClaimedRun, Lease, LoadedRun, Mail, Release
from continuum.ports.offload import Completion, Lane, Offload
from continuum.runtime.asking import Asking
from continuum.runtime.attempts import Attempts
from continuum.runtime.code import DRIFT_S, Code
from continuum.runtime.commits import Commits
from continuum.runtime.delivery import begin_with, deliver
from continuum.runtime.firing import Firing
from continuum.runtime.hearing import Hearing
from continuum.runtime.kin import Kin
from continuum.runtime.limits import EngineLimits
from continuum.runtime.live import Flight, LiveRun
from continuum.runtime.loading import Burden, Loading
from continuum.runtime.outgoing import Outgoing
from continuum.runtime.ownership import Ownership
from continuum.runtime.reading import LeaseScan, Reading
from continuum.runtime.recent import Recent
from continuum.runtime.releasing import Releasing
from continuum.runtime.results import Results
from continuum.runtime.role import Ports, log
from continuum.runtime.snapshots import Snapshots, history_of
from continuum.runtime.strays import Strays
from continuum.wire.messages import (
    Ask,
    Assign,
    EngineReady,
    Finished,
    Heartbeat,
    Members,
    Message,
    Recovered,
    TimersFired,
    Wake,
    WorkerReady,
)
from continuum.wire.post import Peer

REASON_CHARS_MAX = 2_000  # of an error that quotes what it met
REFUSALS_MAX = 3  # of one step under one lease
REFUSED_MAX = 1_000  # runs whose last refusal is remembered


class Engine:
    """A :class:`~continuum.runtime.role.Role`. ``lost``: the process must end, see :class:`Ownership`.

    ``workflow`` gives the code of a name in a version, the newest of a name for None. ``loaded``: each
    (workflow, version_hash) that it knows.
    """

    def __init__(
        self,
        ports: Ports,
        offload: Offload,
        workflow: Callable[[str, str | None], Workflow[..., Any]],
        limits: EngineLimits = EngineLimits(),  # noqa: B008 - frozen
        loaded: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._ports, self._limits = ports, limits
        self._clock = clock = ports.clock
        self.code = Code(workflow)
        self._crew = Crew(ports.crew)
        self._runs = runs = dict[bytes, LiveRun]()
        self._held: dict[bytes, list[tuple[Peer, Finished]]] = {}  # results for runs that are being loaded
        self._refused: Recent[bytes, tuple[int, int, int]] = Recent(REFUSED_MAX)  # token, seq, how often
        self._draining = False
        self._asking = asking = Asking(offload, clock)
        self._outgoing = outgoing = Outgoing(ports)
        self._burden = Burden(limits.heavy_bytes_max)
        self._loading = loading = Loading(
            asking, self._burden, runs, self._loaded, self._unreadable, self._too_large
        )
        self._reading = reading = Reading(asking, runs, self._read)
        owner = Owner(ports.node, ports.instance, ports.name, ports.incarnation)
        look_for_leases = LeaseScan(asking, str(owner), runs, loading, clock).look
        self._ownership = Ownership(owner, "", asking, clock, look_for_leases, loaded)
        self._commits = Commits(asking, self._settle, self._unwritten, outgoing)
        room, now_us, touch = lambda: self._commits.room, self._ownership.now_us, self._touch
        self._firing = Firing(runs, room, now_us, touch, self._missed, self._broken)
        self.hearing = Hearing(
            asking, self._ownership, runs, loading, reading, outgoing, self._take, touch, room, self._broken
        )
        self._results = results = Results(asking)
        self._attempts = Attempts(
            ports, runs, self._crew, self._commits, now_us, results, reading.want, self._broken
        )
        self._strays = Strays(asking, self._attempts.placement, self._attempts.stop)
        self._snapshots = Snapshots(asking, limits.snapshot_every)
        self._kin = Kin(loading, reading, outgoing)
        gone, told = self._drop, outgoing.runs_due
        self._releasing = Releasing(asking, clock, limits, runs, self._burden, self._attempts, gone, told)
        self._handlers: dict[type[Message], Callable[[Peer, Any], None]] = {
            Heartbeat: lambda _, message: self._attempts.beat(message.beats),
            Assign: self._on_assign,
            TimersFired: lambda _, message: self._firing.add(message.timers),
            Wake: lambda _, message: self._reading.wake_all(message.runs),
            WorkerReady: self._on_worker,
            Recovered: self._on_recovered,
            Members: lambda _, message: self._outgoing.neighbours.members(message),
            Ask: lambda _, message: self._ownership.answer(message.owner),
        }

    # -- what a role has

    def begin(self) -> None:
        self._ownership.begin()

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        handlers, now_us = self._handlers, self._ownership.now_us()
        for message in messages:
            if type(message) is Finished:
                self._on_finished(sender, message, now_us)
            elif (handler := handlers.get(type(message))) is not None:
                handler(sender, message)

    def complete(self, completion: Completion) -> None:
        self._asking.complete(completion)

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self._crew.text = crew
        self._outgoing.neighbours.up(name, incarnation)
        if name.startswith("worker"):
            self._attempts.placement.worker_up(Peer(name, incarnation))
        self._outgoing.announce_now()

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self._crew.text = crew
        self._outgoing.neighbours.down(name, incarnation)
        if name.startswith("worker"):
            self._attempts.worker_down(Peer(name, incarnation))

    def tick(self) -> None:
        self._asking.tick()
        self._ownership.tick()
        if self._ownership.lost:
            return
        self._commits.tick()  # what has come changed these runs, and these have mail; for the rest nobody waits
        self._reading.tick()
        self._attempts.tick()
        self._results.tick()
        if self._limits.alone and not self._draining and (self._runs or not self._loading.idle):
            self.drain()
        self._loading.tick()
        self._firing.tick()
        self._strays.tick()
        if self._draining:
            self._releasing.give_back_idle()
            if self._loading.idle and self._commits.idle:
                self._releasing.retire(self._ownership.owner)
        self._commits.tick()
        self._releasing.tick()
        self._outgoing.tick(self._load, self._free)

    def wake_at(self) -> float:
        return min(
            self._asking.wake_at(),
            self._ownership.wake_at(),
            self._attempts.wake_at(),
            self._outgoing.announce_at(),
            self._releasing.wake_at(),
            self._firing.wake_at(),
        )

    def drain(self) -> None:
        self._draining = self._commits.spill = self._attempts.placement.draining = True
        self.hearing.stop()
        self._outgoing.announce_now()

    @property
    def drained(self) -> bool:
        return self._releasing.retired

    @property
    def lost(self) -> bool:
        return self._ownership.lost

    @property
    def runs(self) -> int:
        """How many runs are in memory."""
        return len(self._runs)

    # -- runs come

    def _on_assign(self, _: Peer, message: Assign) -> None:
        if message.owner == self._ownership.owner:
            self._outgoing.took(len(message.runs))
            for claimed in message.runs:
                self._take(claimed)

    def _take(self, claimed: ClaimedRun) -> None:
        current = self._runs.get(claimed.run_id.bytes)
        if current is not None:
            if claimed.token <= current.lease.token:
                return
            self._drop(current)
        if claimed.fresh:
            self._start(claimed, None)
        else:
            self._loading.want(Lease(claimed.run_id, claimed.token))

    def _loaded(self, lease: Lease, loaded: LoadedRun | None) -> None:
        run_id = lease.run_id.bytes
        current = self._runs.get(run_id)
        if loaded is not None and (current is None or current.lease.token < lease.token):
            if current is not None:
                self._drop(current)
            self._start(loaded.run, loaded)
        for worker, message in self._held.pop(run_id, ()):
            self._on_finished(worker, message, self._ownership.now_us())

    def _unreadable(self, lease: Lease, error: JournalError) -> None:
        self._held.pop(lease.run_id.bytes, None)
        self._unfit(lease, "it cannot be loaded", error)

    def _too_large(self, lease: Lease) -> None:
        """There is not the memory or the time to read its history: it counts as a death of the engine (B7)."""
        self._held.pop(lease.run_id.bytes, None)
        log.error("the history of run %s is too large to be read here; it is set aside", lease.run_id)
        deaths, deaths_max = [Death(lease.run_id, self._ownership.owner)], self._limits.deaths_max
        # If it was blamed by this engine before, it keeps its lease, and that is given back.
        reason = "its history is too large to be read by this engine"
        back = Release(lease.run_id, lease.token, DRIFT_S, reason)
        self._asking.ask(
            Lane.LEASE,
            lambda desk: desk.dispatch.blame(deaths, deaths_max),
            lambda _: self._releasing.add(back),
        )

    def _start(self, claimed: ClaimedRun, loaded: LoadedRun | None) -> None:
        """Begin the run, or park it with the reason: what is wrong with one run is no matter of the others."""
        try:
            code = self.code.of(claimed)
            run = LiveRun(claimed, code, self._crew) if not isinstance(code, Release) else None
        except Exception as error:  # noqa: BLE001 - a damaged row may say anything
            self._unfit(Lease(claimed.run_id, claimed.token), "its row cannot be read", error)
            return
        if isinstance(code, Release) or run is None:
            assert isinstance(code, Release), "there is no run without code"
            self._park(code)
            return
        if code.version_hash != claimed.version_hash:
            run.stamp = code.version_hash
        try:
            history = history_of(loaded, code.version_hash) if loaded is not None else recorded_of(())
            if history is not None and (len(history) or loaded is None or begin_with(run.machine, loaded)):
                run.machine.begin(history)
        except (ReplayDriftError, JournalError) as error:
            run.machine.drop()
            if loaded is not None and loaded.snapshot is not None:
                log.warning("run %s: %s; trying again without its snapshot", claimed.run_id, error)
                history = None
            else:
                self._park(self.code.drifted(claimed, code, error))
                return
        except Exception as error:  # noqa: BLE001 - what came before it began may be damaged, too
            run.machine.drop()
            self._unfit(Lease(claimed.run_id, claimed.token), "what waits for it cannot be read", error)
            return
        if history is None:
            self._loading.want(Lease(claimed.run_id, claimed.token), snapshots=False)
            return
        self.code.found(run.id)
        self._runs[run.id] = run
        try:
            self._go_on(run, loaded, len(history))
        except Exception as error:  # noqa: BLE001 - what waits for it may be damaged, too
            self._broken(run, error)

    def _go_on(self, run: LiveRun, loaded: LoadedRun | None, recorded_seq: int) -> None:
        """The run stands where its journal ends: give it what waits for it, and find what it waits for."""
        self._reading.begun(run)
        if loaded is None:
            self._snapshots.follow(run, 0)
        else:
            run.read = True
            run.stand_in_rows(loaded.open_tasks)
            self._snapshots.follow(run, loaded.snapshot.upto_seq if loaded.snapshot is not None else 0)
            recorded = [p for p in run.machine.attempts() if p.dispatch.seq <= recorded_seq]
            self._deliver(run, loaded.mail)
            self._attempts.recover(run, recorded)
            self._outgoing.timers_of(run, self._ownership.now_us())
        self._touch(run)

    def _park(self, release: Release) -> None:
        log.error("run %s is parked for %g s: %s", release.run_id, release.due_in_s, release.attention)
        self._releasing.add(release)

    # -- arrivals

    def _on_finished(self, worker: Peer, message: Finished, at: int) -> None:
        if message.run not in self._runs and message.run in self._loading:
            self._held.setdefault(message.run, []).append((worker, message))
            return
        try:
            self._attempts.finished(worker, message, at)
        except Exception as error:  # noqa: BLE001 - it is that run's
            self._broken_by(message.run, error)

    def _missed(self, run_id: bytes, seq: int) -> None:
        self._reading.wake(run_id)
        self._outgoing.timer_missed(run_id, seq)

    def _on_worker(self, worker: Peer, message: WorkerReady) -> None:
        if self._outgoing.neighbours.alive.get(worker.name, worker.incarnation) == worker.incarnation:
            self._attempts.placement.worker_says(worker, message.queues, message.window, message.stopping)

    def _on_recovered(self, worker: Peer, message: Recovered) -> None:
        for run in self._attempts.recovered(worker, message):
            self._reading.want(run)

    def _read(self, run: LiveRun, mail: Mail | None) -> None:
        if self._runs.get(run.id) is not run or run.evicting:
            return
        run.read = True
        if mail is not None:
            try:
                self._deliver(run, mail)
                self._touch(run)
            except Exception as error:  # noqa: BLE001 - a damaged row is that run's
                self._broken(run, error)
        elif not run.committing:  # else the commit's answer says what happened
            log.info("run %s has another owner now, or was ended from outside; dropped", run.lease.run_id)
            self._drop(run)

    def _deliver(self, run: LiveRun, mail: Mail) -> None:
        deliver(run, mail, self._attempts, self._ownership.now_us())
        if mail.more:
            self._reading.left(run, mail)
            if not run.dirty:
                self._reading.rests(run)
        else:
            self._reading.forget(run.id)

    def _touch(self, run: LiveRun) -> None:
        self._commits.touch(run)
        self._waits(run, self._clock.monotonic())

    def _waits(self, run: LiveRun, now: float) -> None:
        run.touched_at = now
        if not run.read and run.machine.inbox.awaited:
            run.read = True
            self._reading.want(run)

    # -- after a commit

    def _settle(self, flights: Sequence[Flight], written: Set[UUID]) -> None:
        now = self._clock.monotonic()
        some = None if len(written) == len(flights) else set(written)
        for flight in flights:
            flight.run.committing = False
            if some is None or flight.commit.run_id in some:
                try:
                    self._committed(flight, now)
                except Exception as error:  # noqa: BLE001 - the others of the group are committed, too
                    self._broken(flight.run, error)
            else:
                self._kin.refused(flight.commit)
                self._not_written(flight.run, flight.commit.base_seq)

    def _committed(self, flight: Flight, now: float) -> None:
        """What the commit made durable may be seen outside now (R8)."""
        run, commit, out = flight.run, flight.commit, flight.step.out
        ended = commit.state not in LIVE_STATES
        if ended or commit.children_started:
            self._kin.committed(run, commit)
        if flight.settled:
            self._attempts.settle(run, flight.settled)
        if self._runs.get(run.id) is not run:
            return  # another lease of this run has come since
        for seq, attempt in out.abandoned:
            self._attempts.abandon(run, seq, attempt)
        if ended:
            if not flight.announced:
                self._outgoing.ended(run.id)
            self._forget(run)
            return
        for dispatch in out.dispatches:
            if dispatch.seq in run.machine.pending:
                self._attempts.let_out(run, dispatch, now)
        if commit.timers_set or commit.tasks_set:
            self._outgoing.set_by(commit, self._ownership.now_us())
        seq = commit.base_seq + len(commit.events)
        if seq >= run.snapshot_at:
            self._snapshots.make(run, seq)
        if self._limits.always_replay and not run.dirty and not run.unsettled:
            self._reload(run)
            return
        if run.again:
            self._commits.touch(run)
        self._reading.rests(run)
        self._waits(run, now)

    def _broken_by(self, run_id: bytes, error: Exception) -> None:
        run = self._runs.get(run_id)
        if run is None:
            log.error("what came for run %s cannot be used", UUID(bytes=run_id), exc_info=error)
        else:
            self._broken(run, error)

    def _broken(self, run: LiveRun, error: Exception, what: str = "it cannot go on") -> None:
        """Something of this run raised, in our code or by what its rows hold: nobody knows what state that left. Park
        it with the reason; its journal is whole, and its neighbours go on."""
        if self._runs.get(run.id) is not run:
            log.error("a run that was given up, %s, is broken", run.lease.run_id, exc_info=error)
            return
        try:
            self._drop(run)
        except Exception:  # noqa: BLE001 - it is given up in any case
            log.exception("run %s cannot be dropped in order", run.lease.run_id)
            self._runs.pop(run.id, None)
            self._commits.forget(run)
        self._unfit(run.lease, what, error)

    def _unfit(self, lease: Lease, what: str, error: Exception) -> None:
        """Give the run back, and let `run show` say why."""
        log.error("run %s: %s", lease.run_id, what, exc_info=error)
        said = str(error)[:REASON_CHARS_MAX]
        reason = f"{what}: {said if isinstance(error, JournalError) else f'{type(error).__name__}: {said}'}"
        self._park(Release(lease.run_id, lease.token, DRIFT_S, reason))

    def _unwritten(self, run: LiveRun, error: Exception) -> None:
        self._broken(run, error, "its last step cannot be written")

    def _not_written(self, run: LiveRun, base_seq: int) -> None:
        """Fenced, ended from outside, or committed before its answer was lost: what the journal has is asked for. A run
        that is still ours then, and stands where it stood, is refused for a reason that stays."""
        if self._runs.get(run.id) is not run:
            return
        token, seq, times = self._refused.pop(run.id, (0, 0, 0))
        times = times + 1 if (token, seq) == (run.lease.token, base_seq) else 1
        if times == REFUSALS_MAX:
            reason = (
                f"no step after event {base_seq} is taken: the run's row does not fit the end of its journal"
            )
            self._broken(run, JournalError("commit", reason))
            return
        self._refused.put(run.id, (run.lease.token, base_seq, times))
        log.info("a commit of run %s was refused; it is loaded anew if it is still ours", run.lease.run_id)
        self._reload(run)

    def _reload(self, run: LiveRun) -> None:
        self._drop(run)
        self._loading.want(run.lease)

    def _drop(self, run: LiveRun) -> None:
        """Journal nothing more of it; its attempts' results find their next owner through the workers (A8)."""
        self._strays.note(run)
        self._attempts.disown(run)
        self._forget(run)
        run.machine.drop()

    def _forget(self, run: LiveRun) -> None:
        if self._runs.get(run.id) is run:
            del self._runs[run.id]
            self._burden.drop(run.id)
            self._reading.forget(run.id)
        if run.machine.ended:
            for pending in run.machine.attempts():
                self._attempts.abandon(run, pending.dispatch.seq, pending.dispatch.attempt)
            run.machine.close()
        else:
            self._attempts.placement.forget(run.id)
        self._commits.forget(run)  # last: what an attempt leaves in a row would be a change

    # -- what the others plan with

    @property
    def _free(self) -> int:
        return (
            0 if self._draining or self._burden.crowded else max(self._limits.runs_max - len(self._runs), 0)
        )

    def _load(self) -> EngineReady | None:
        """None while this engine is not registered."""
        if not self._ownership.live:
            return None
        parked = sum(run.machine.parked for run in self._runs.values())
        self.hearing.look(parked, self._free)
        counts = self._commits.commits, self._commits.steps
        return EngineReady(self._ownership.owner, self._free, len(self._runs), parked, *counts)
