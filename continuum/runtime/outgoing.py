"""What an engine tells the other processes of its node after commits: hints, one message a kind and tick (B6)."""

from __future__ import annotations

from collections.abc import Callable

from continuum.ports.dispatch import Told
from continuum.ports.journal import RunCommit
from continuum.runtime.live import LiveRun
from continuum.runtime.neighbours import Neighbours
from continuum.runtime.role import Ports
from continuum.wire.messages import EngineReady, Look, RunsEnded, TimersSet, Wake

ANNOUNCE_S = 2.0
ROOM_S = 0.1  # between two announcements of nothing but room for more runs
NEAR_TIMER_S = 60.0  # farther ones the timer reads by itself
AGAIN_S = 0.1  # a lease is given back, or a run loaded, in less as a rule


class Outgoing:
    def __init__(self, ports: Ports) -> None:
        self._post, self._clock = ports.post, ports.clock
        self.neighbours = Neighbours(ports)
        self._timers: list[tuple[bytes, int, float]] = []
        self._ended: list[bytes] = []
        self._mail: list[bytes] = []
        self._look_runs = self._look_tasks = False
        self._announce_at = 0.0
        self._announced = False  # once registered it says so at once: runs wait for this engine
        self._believed = 0  # how many more runs the dispatcher thinks that the engine takes
        self._room_at = 0.0

    def set_by(self, commit: RunCommit, now_us: int) -> None:
        """A commit has set timers, or put attempts into task rows."""
        for timer in commit.timers_set:
            delay_s = timer.delay_s if timer.delay_s is not None else ((timer.until or 0) - now_us) / 1e6
            if delay_s <= NEAR_TIMER_S:
                self._timers.append((commit.run_id.bytes, timer.seq, max(delay_s, 0.0)))
        if commit.tasks_set:
            self._look_tasks = True

    def timers_of(self, run: LiveRun, now_us: int) -> None:
        """A run was loaded: of the timers that it had set then, perhaps only the timer of another node knows."""
        for seq, when in run.machine.timers():
            in_s = (when - now_us) / 1e6
            if in_s <= NEAR_TIMER_S:
                self._timers.append((run.id, seq, max(in_s, 0.0)))

    def timer_missed(self, run: bytes, seq: int) -> None:
        """A timer fired for a run that was not here: the timer is to ask soon whose it is then."""
        self._timers.append((run, seq, AGAIN_S))

    def ended(self, run: bytes) -> None:
        self._ended.append(run)

    def runs_due(self) -> None:
        """Runs were given back, or inserted: a dispatcher may claim them."""
        self._look_runs = True

    def mail_for(self, run: bytes) -> None:
        """A commit left mail for a run that is not here: another engine may have it, or a dispatcher may claim it."""
        self._mail.append(run)
        self._look_runs = True

    def told(self) -> Told | None:
        """What takes the wakes of a commit that go to other nodes by message; None if no node is reached so."""
        return Told(self.neighbours.reaches) if self.neighbours.reaches_any else None

    def tell(self, told: Told) -> None:
        """The commit is done: send what it took. Whoever is not reached any more finds it with a scan."""
        if told.woken:
            self.neighbours.wake(told.woken)

    def look_for_mail(self) -> None:
        """Signals may have been missed: the router's scan finds their runs."""
        self._post.hint("router", Look(runs=True))

    def took(self, runs: int) -> None:
        """The dispatcher has given the engine so many runs, and reckons with it."""
        self._believed = max(self._believed - runs, 0)

    def announce_now(self) -> None:
        """Something changed that the others plan with."""
        self._announce_at = 0.0

    def announce_at(self) -> float:
        return self._announce_at

    def tick(self, load: Callable[[], EngineReady | None], free: int) -> None:
        """Send. ``load`` is asked when it is time to say it; None while the engine is not registered. ``free``: how
        many more runs the engine takes; a dispatcher that thinks that it is full leaves them waiting."""
        if self._timers:
            self._post.hint("timer", TimersSet(self._timers))
            self._timers = []
        if self._ended:
            self._post.hint("router", RunsEnded(self._ended))
            self._ended = []
        if self._mail:
            self.neighbours.announce("engine", Wake(self._mail))
            self._mail = []
        if self._look_runs or self._look_tasks:
            self._post.hint("dispatcher", Look(self._look_runs, self._look_tasks))
            self._look_runs = self._look_tasks = False
        now = self._clock.monotonic()
        if free > 2 * self._believed and now >= self._room_at:
            self._announce_at = now
        if now >= self._announce_at or not self._announced:
            ready = load()
            if now >= self._announce_at or ready is not None:
                self._announce_at = now + ANNOUNCE_S
            if ready is not None:
                self._announced = True
                self._believed, self._room_at = ready.free, now + ROOM_S
                for name in self.neighbours.alive:
                    self._post.hint(name, ready)
