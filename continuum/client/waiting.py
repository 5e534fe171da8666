"""Waiting for the ends of runs: one listener and one look per second, however many wait (W2).

    caller ── add(id) ──► entry    with a future          notification done:<ids> ──► look at those ids ─┐
       │                                                 each second ──► look at all that are waited for ─┤
       └── look_first(id), once, when LISTEN is active                                                   │
    caller ◄── future ◄── ended: the outcome; unknown id: RunNotFoundError ◄──────────────────────────────┘

A run ends before LISTEN is active, and the caller's own look sees it, or after, and a notification comes. The
look per second makes up for whatever is lost: a notification, the listener's connection, the database for a while.
A run that this client starts while LISTEN is active cannot have ended unheard: nobody needs to look at it first.
Chains are followed by what a look says: a waiter also listens for the run that its own was continued by (W1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition, Event, Thread
from time import monotonic
from typing import Protocol
from uuid import UUID

from continuum.errors import ContinuumError, RunNotFoundError
from continuum.model.run import LIVE_STATES
from continuum.ports.catalog import Ending

SCAN_INTERVAL_S = 1.0
LISTEN_WAIT_S_MAX = 2.0
CLOSE_WAIT_S_MAX = 2.0
LOOK_IDS_MAX = 5_000
YOUNG_MAX = 10_000  # runs of which it is remembered that they were started under our ears


class Look(Protocol):
    """Says where chains of runs stand; ``spare`` is for the one thread that others wait for."""

    def __call__(self, run_ids: Sequence[UUID], *, spare: bool) -> Mapping[UUID, Ending]: ...


class Notices(Protocol):
    """An open LISTEN."""

    def wait(self, timeout_s: float) -> Sequence[UUID]:
        """Return runs that ended, as soon as there is one, or nothing after the time.

        Raises:
            JournalError: the connection is lost.
        """
        ...

    def interrupt(self) -> None:
        """Let `wait` return at once, from another thread."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Entry:
    """Who waits for a run, and the last run of its chain as far as is known."""

    last: UUID
    futures: set[Future[Ending]] = field(default_factory=set)


class Waiters:
    """All waits of one client. Thread-safe. The thread starts with the first wait and ends with `close`."""

    def __init__(self, look: Look, listen: Callable[[], Notices]) -> None:
        self._look = look
        self._listen = listen
        self._changed = Condition()
        self._entries: dict[UUID, _Entry] = {}
        self._followers: dict[UUID, set[UUID]] = {}  # last run of a chain -> the ids that were asked for
        self._young: dict[
            UUID, None
        ] = {}  # started while we listened, oldest first, and not heard to have ended
        self._listening = False
        self._tried = False  # whether LISTEN is active, or could not be made so
        self._thread: Thread | None = None
        self._notices: Notices | None = None
        self._closing = Event()

    def add(self, run_id: UUID) -> Future[Ending]:
        """Return a future of the end of the run's chain. Call `look_first` next, and `forget` in the end.

        Raises:
            ContinuumError: the client is closed.
        """
        future: Future[Ending] = Future()
        with self._changed:
            self._begin()
            entry = self._entries.setdefault(run_id, _Entry(run_id))
            entry.futures.add(future)
            self._followers.setdefault(entry.last, set()).add(run_id)
        return future

    def expect(self, run_ids: Iterable[UUID]) -> None:
        """Say, before they are inserted, that these runs will be new: their ids were made just now."""
        with self._changed:
            if self._listening:
                self._young.update(dict.fromkeys(run_ids))
                for run_id in list(islice(self._young, max(0, len(self._young) - YOUNG_MAX))):
                    del self._young[run_id]

    def look_first(self, run_id: UUID) -> None:
        """Answer those who wait for this run at once, if it has ended or does not exist. Blocks for one query, the
        first time also until LISTEN is active; and not at all for a run whose end we are sure to hear."""
        with self._changed:
            self._changed.wait_for(lambda: self._tried, LISTEN_WAIT_S_MAX)
            if run_id in self._young:
                return
        self._look_at([run_id], spare=False)

    def forget(self, run_id: UUID, future: Future[Ending]) -> None:
        """Wait no longer."""
        with self._changed:
            entry = self._entries.get(run_id)
            if entry is not None:
                entry.futures.discard(future)
                if not entry.futures:
                    self._remove(run_id)

    def close(self) -> None:
        """End the thread and every wait, each with an error that says so."""
        with self._changed:
            self._closing.set()
            if self._notices is not None:
                self._notices.interrupt()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT_S_MAX)
        with self._changed:
            futures = [future for entry in self._entries.values() for future in entry.futures]
            self._entries.clear()
            self._followers.clear()
        for future in futures:
            _fail(future, ContinuumError("the client was closed while it waited; the run goes on"))

    def _begin(self) -> None:
        if self._closing.is_set():
            raise ContinuumError("this client is closed; make a new one")
        if self._thread is None:
            self._thread = Thread(target=self._run, name="continuum-results", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                notices = self._listen()
            except ContinuumError:
                self._without_listening()
                continue
            try:
                self._listen_on(notices)
            except ContinuumError:
                self._without_listening()
            finally:
                self._set_notices(None)
                notices.close()

    def _without_listening(self) -> None:
        """Live from the look per second alone until the listener can be tried again."""
        self._set_tried()
        self._closing.wait(SCAN_INTERVAL_S)
        self._look_at(self._all())

    def _set_notices(self, notices: Notices | None) -> None:
        with self._changed:
            self._notices = notices
            self._listening = False
            self._young.clear()

    def _listen_on(self, notices: Notices) -> None:
        self._set_notices(notices)
        self._look_at(self._all())  # what ended while nobody listened
        self._set_tried(listening=True)
        next_scan = monotonic() + SCAN_INTERVAL_S
        while not self._closing.is_set():
            ended = notices.wait(max(0.0, next_scan - monotonic()))
            concerned = self._concerned(ended)
            if monotonic() >= next_scan:
                next_scan = monotonic() + SCAN_INTERVAL_S
                self._look_at(self._all())
            elif concerned:
                self._look_at(concerned)

    def _set_tried(self, *, listening: bool = False) -> None:
        with self._changed:
            self._tried, self._listening = True, listening
            self._changed.notify_all()

    def _all(self) -> list[UUID]:
        with self._changed:
            return list(self._entries)

    def _concerned(self, ended: Sequence[UUID]) -> list[UUID]:
        """The ids asked for whose chain's last run is one of ``ended``."""
        with self._changed:
            for run_id in ended:
                self._young.pop(run_id, None)
            return [run_id for last in set(ended) for run_id in self._followers.get(last, ())]

    def _look_at(self, run_ids: Sequence[UUID], *, spare: bool = True) -> None:
        for start in range(0, len(run_ids), LOOK_IDS_MAX):
            part = run_ids[start : start + LOOK_IDS_MAX]
            try:
                found = self._look(part, spare=spare)
            except ContinuumError:
                return  # the database is away: asked again within a second. Or the client is being closed
            self._settle(part, found)

    def _settle(self, run_ids: Iterable[UUID], found: Mapping[UUID, Ending]) -> None:
        """Answer those whose run has ended or does not exist; let the others follow their chain."""
        for run_id in run_ids:
            ending = found.get(run_id)
            with self._changed:
                entry = self._entries.get(run_id)
                if entry is None:
                    continue
                if ending is not None and not _has_ended(ending):
                    self._follow(run_id, entry, ending.run_id)
                    continue
                self._remove(run_id)
            for future in entry.futures:
                if ending is None:
                    _fail(future, RunNotFoundError(run_id))
                elif future.set_running_or_notify_cancel():
                    future.set_result(ending)

    def _follow(self, run_id: UUID, entry: _Entry, last: UUID) -> None:
        if last != entry.last:
            self._unfollow(run_id, entry.last)
            entry.last = last
            self._followers.setdefault(last, set()).add(run_id)

    def _remove(self, run_id: UUID) -> None:
        entry = self._entries.pop(run_id)
        self._unfollow(run_id, entry.last)

    def _unfollow(self, run_id: UUID, last: UUID) -> None:
        followers = self._followers.get(last, set())
        followers.discard(run_id)
        if not followers:
            self._followers.pop(last, None)


def rest_of(timeout_s: float | None, began_at: float) -> float | None:
    """What is left of a time-out that began at this monotonic time."""
    return None if timeout_s is None else max(0.0, began_at + timeout_s - monotonic())


def _has_ended(ending: Ending) -> bool:
    return ending.state not in LIVE_STATES and ending.state != "continued"


def _fail(future: Future[Ending], error: ContinuumError) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
