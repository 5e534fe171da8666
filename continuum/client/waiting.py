"""Waiting for the ends of runs: one listener and one look per second, however many wait (W2).

    caller ── enter(id) ──► a wait                        notification done:<ids> ──► look at those ids ─┐
       │                                                 each second ──► look at all that are waited for ─┤
       └── look_first(id), once, when LISTEN is active                                                   │
    caller ◄── answer ◄── ended: the outcome; unknown id: RunNotFoundError ◄──────────────────────────────┘

A run ends before LISTEN is active, and the caller's own look sees it, or after, and a notification comes. The
look per second makes up for whatever is lost: a notification, the listener's connection, the database for a while.
A run that this client starts while LISTEN is active cannot have ended unheard: nobody needs to look at it first.

One thread at a time has the turn to listen. A caller of `end_of` takes it if it is free, and so hears of its own run
without a change of threads, which takes longer than the look; it answers those who wait beside it, too. Else the
keeper has it, a thread of ours, as long as anybody waits. Where no notice arrives, because of a connection pooler, the
keeper looks ten times a second, while somebody waits. The keeper also opens the connection, looks once a second,
and reads what came while nobody listened, before it piles up in the server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import TIMEOUT_MAX, Condition, Event, RLock, Thread
from time import monotonic
from typing import Protocol
from uuid import UUID

from continuum.client.waits import Wait, Waits
from continuum.errors import ContinuumError
from continuum.ports.catalog import Ending

SCAN_INTERVAL_S = 1.0
DEAF_SCAN_S = 0.1  # where no notice arrives
LISTEN_WAIT_S_MAX = 2.0
CLOSE_WAIT_S_MAX = 2.0
LOOK_IDS_MAX = 5_000
YOUNG_MAX = 10_000  # runs of which it is remembered that they were started under our ears


class Look(Protocol):
    """Says where chains of runs stand; ``spare`` is for the one thread that others wait for."""

    def __call__(self, run_ids: Sequence[UUID], *, spare: bool) -> Mapping[UUID, Ending]: ...


class Notices(Protocol):
    """An open LISTEN. For one thread at a time. Raises ``JournalError`` when its connection is lost."""

    def wait(self, timeout_s: float | None) -> Collection[int]:
        """Return the numbers of the ids of runs that ended, as soon as there is one, or nothing after the time."""
        ...

    def look(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Ending]:
        """Say where these chains stand."""
        ...

    def interrupt(self) -> None:
        """Let `wait` return at once, now or when it is called next. From any thread."""
        ...

    def close(self) -> None: ...


class Waiters:
    """All waits of one client. Thread-safe. The keeper starts with the first wait and ends with `close`."""

    def __init__(self, look: Look, listen: Callable[[], Notices | None]) -> None:
        self._look = look
        self._listen = listen
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._waits = Waits()
        self._young: dict[int, None] = {}  # started under our ears and not heard to have ended, oldest first
        self._notices: Notices | None = None
        self._tried = False  # whether LISTEN is active, or could not be made so
        self._taken = False  # the turn
        self._awaited: Wait | None = None  # that of the caller that has the turn
        self._keeper: Thread | None = None
        self._closing = Event()

    def end_of(self, run_id: UUID, until: float | None) -> Ending:
        """Wait in this thread for the end of the run's chain, to a monotonic time or for ever.

        Raises:
            TimeoutError: it has not ended in time.
            RunNotFoundError: there is no such run.
            ContinuumError: the client is closed, or was closed meanwhile.
        """
        wait = Wait(run_id)
        self._enter(wait)
        try:
            self.look_first(run_id, even_if_young=rest_of(until) == 0)
            try:
                notices = self._take_turn(wait)
                if notices is not None:
                    self._hear(notices, wait, until)
            finally:  # Ctrl-C may come as soon as the turn is taken
                if self._awaited is wait:
                    self._leave_turn()
            if wait.answer is None:
                self._wait_beside(wait, until)
        except BaseException:
            self.forget(wait)
            raise
        assert wait.answer is not None, "without an answer the wait ends with an error"
        if isinstance(wait.answer, ContinuumError):
            raise wait.answer
        return wait.answer

    def add(self, run_id: UUID, future: Future[Ending]) -> Wait:
        """Let a future be that of the end of the run's chain. Call `look_first` next, and `forget` in the end.

        Raises:
            ContinuumError: the client is closed.
        """
        wait = Wait(run_id, future)
        self._enter(wait)
        with self._lock:
            self._changed.notify_all()  # the keeper, because this caller will not listen
        return wait

    def expect(self, run_ids: Iterable[UUID]) -> None:
        """Say, before they are inserted, that these runs will be new: their ids were made just now."""
        with self._lock:
            if self._notices is not None:
                for run_id in run_ids:
                    self._young[run_id.int] = None
                while len(self._young) > YOUNG_MAX:
                    del self._young[next(iter(self._young))]

    def look_first(self, run_id: UUID, *, even_if_young: bool = False) -> None:
        """Answer those who wait for this run at once, if it has ended or does not exist. Blocks for one query, the
        first time also until LISTEN is active; and not at all for a run whose end we are sure to hear, unless nobody
        will wait until it is heard."""
        with self._lock:
            if not self._tried:
                self._changed.wait_for(lambda: self._tried, LISTEN_WAIT_S_MAX)
            if run_id.int in self._young and not even_if_young:
                return
        self._look_aside([run_id], spare=False)

    def forget(self, wait: Wait) -> None:
        """Wait no longer."""
        with self._lock:
            self._waits.discard(wait)

    def close(self) -> None:
        """End every wait with an error that says so, and the keeper."""
        with self._lock:
            self._closing.set()
            waits = self._waits.give_up("the client was closed while it waited; the run goes on")
            self._changed.notify_all()
            notices, self._notices = self._notices, None
            if notices is not None:
                notices.interrupt()
        for wait in waits:
            wait.tell()
        if self._keeper is not None:
            self._keeper.join(CLOSE_WAIT_S_MAX)

    def _enter(self, wait: Wait) -> None:
        with self._lock:
            if self._closing.is_set():
                raise ContinuumError("this client is closed; make a new one")
            if self._keeper is None:
                self._keeper = Thread(target=self._keep, name="continuum-results", daemon=True)
                self._keeper.start()
            self._waits.add(wait)

    def _wait_beside(self, wait: Wait, until: float | None) -> None:
        """Wait for an answer without the turn."""
        with self._lock:
            if wait.answer is None:
                wait.future = Future()
                if self._notices is None:
                    self._changed.notify_all()  # the keeper may be one that only looks
        if wait.future is not None:
            wait.future.result(rest_of(until))

    def _take_turn(self, wait: Wait | None = None) -> Notices | None:
        """Return what to listen to, if nobody does; then leave the turn in the end."""
        with self._lock:
            if self._taken or self._notices is None:
                return None
            self._taken, self._awaited = True, wait
            return self._notices

    def _leave_turn(self) -> None:
        with self._lock:
            self._taken, self._awaited = False, None
            if self._waits or self._notices is None:
                self._changed.notify_all()

    def _hear(self, notices: Notices, wait: Wait, until: float | None) -> None:
        """Listen, with the turn, until there is an answer or the time is over."""
        while wait.answer is None:
            rest_s = rest_of(until)
            if rest_s == 0 or not self._hear_once(notices, rest_s):
                return

    def _hear_once(self, notices: Notices, timeout_s: float | None) -> bool:
        """Wait for the next notification, with the turn, and answer whom it concerns; False if they are lost."""
        try:
            ended = notices.wait(timeout_s)
        except ContinuumError:
            self._lose(notices)
            return False
        with self._lock:
            for number in ended:
                self._young.pop(number, None)
            concerned = self._waits.concerned(ended)
        self._look_at(concerned, notices.look)
        return True

    def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                notices = self._listen()
            except ContinuumError:
                self._set_tried(None)
            else:
                self._set_tried(notices)
                if notices is None:
                    self._look_often()
                    return
                self._scan()  # what ended while nobody listened
                self._attend(notices)
                self._retire(notices)
            self._closing.wait(SCAN_INTERVAL_S)
            self._scan()

    def _look_often(self) -> None:
        """Look for all waiters at once, for as long as there are any: nothing will ever be heard."""
        while not self._closing.is_set():
            with self._lock:
                self._changed.wait_for(lambda: bool(self._waits) or self._closing.is_set())
            self._scan()
            self._closing.wait(DEAF_SCAN_S)

    def _set_tried(self, notices: Notices | None) -> None:
        with self._lock:
            self._notices, self._tried = notices, True
            self._changed.notify_all()

    def _attend(self, notices: Notices) -> None:
        """Do what the keeper does, until the notices are lost."""
        scan_at = monotonic() + SCAN_INTERVAL_S
        while self._is_kept(notices):
            self._rest(notices, scan_at)
            if self._is_kept(notices) and self._take_turn() is not None:
                try:
                    self._hear_once(notices, max(0.0, scan_at - monotonic()) if self._waits else 0.0)
                finally:
                    self._leave_turn()
            if monotonic() >= scan_at:
                scan_at = monotonic() + SCAN_INTERVAL_S
                self._scan()

    def _rest(self, notices: Notices, until: float) -> None:
        """Wait until somebody waits and nobody listens."""

        def wanted() -> bool:
            return bool(self._waits and not self._taken) or not self._is_kept(notices)

        with self._lock:
            self._changed.wait_for(wanted, max(0.0, until - monotonic()))

    def _is_kept(self, notices: Notices) -> bool:
        return self._notices is notices and not self._closing.is_set()

    def _lose(self, notices: Notices) -> None:
        with self._lock:
            if self._notices is notices:
                self._notices = None
                self._young.clear()
                self._changed.notify_all()

    def _retire(self, notices: Notices) -> None:
        """Close them when nobody listens to them any more."""
        self._lose(notices)
        with self._lock:
            notices.interrupt()
            self._changed.wait_for(lambda: not self._taken)
        notices.close()

    def _scan(self) -> None:
        with self._lock:
            run_ids = self._waits.runs
        self._look_aside(run_ids, spare=True)

    def _look_aside(self, run_ids: Sequence[UUID], *, spare: bool) -> None:
        """Look at runs without the turn."""
        self._look_at(run_ids, partial(self._look, spare=spare))
        with self._lock:
            if self._notices is not None and self._awaited is not None and self._awaited.answer is not None:
                self._notices.interrupt()  # whoever listens for it need not any more

    def _look_at(
        self, run_ids: Sequence[UUID], look: Callable[[Sequence[UUID]], Mapping[UUID, Ending]]
    ) -> None:
        for start in range(0, len(run_ids), LOOK_IDS_MAX):
            part = run_ids[start : start + LOOK_IDS_MAX]
            try:
                found = look(part)
            except ContinuumError:
                return  # the database is away: asked again within a second. Or the client is being closed
            self._settle(part, found)

    def _settle(self, run_ids: Sequence[UUID], found: Mapping[UUID, Ending]) -> None:
        """Answer those whose run has ended or does not exist; let the others follow their chain."""
        answered: list[Wait] = []
        with self._lock:
            for run_id, ending in found.items():
                answered += self._waits.settle(run_id, ending)
            if len(found) < len(run_ids):
                for run_id in set(run_ids) - found.keys():
                    answered += self._waits.settle(run_id, None)
        for wait in answered:
            wait.tell()


def rest_of(until: float | None) -> float | None:
    """How long it is to a monotonic time, as far as a thread can wait; None for ever."""
    return None if until is None else min(max(0.0, until - monotonic()), TIMEOUT_MAX)
