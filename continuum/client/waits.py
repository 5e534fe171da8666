"""Who waits for which run, as bookkeeping: no thread, no lock, no database.

A wait is for the end of a run's chain. It follows the last run of the chain that is known: only that one can end (W1).
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

from continuum.model.run import LIVE_STATES
from continuum.ports.catalog import Ending


@dataclass(slots=True)
class _Entry:
    """Who waits for a run, and the last run of its chain as far as is known."""

    last: UUID
    futures: set[Future[Ending]] = field(default_factory=set)


class Waits:
    """The waits of one client, by the ids that were asked for. False if there are none."""

    def __init__(self) -> None:
        self._entries: dict[UUID, _Entry] = {}
        self._followers: dict[UUID, set[UUID]] = {}  # last run of a chain -> the ids that were asked for

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def asked(self) -> list[UUID]:
        return list(self._entries)

    def add(self, run_id: UUID, future: Future[Ending]) -> None:
        entry = self._entries.setdefault(run_id, _Entry(run_id))
        entry.futures.add(future)
        self._followers.setdefault(entry.last, set()).add(run_id)

    def discard(self, run_id: UUID, future: Future[Ending]) -> None:
        entry = self._entries.get(run_id)
        if entry is not None:
            entry.futures.discard(future)
            if not entry.futures:
                self._remove(run_id)

    def concerned(self, ended: Iterable[UUID]) -> list[UUID]:
        """The ids asked for whose chain's last run is one of ``ended``."""
        return [run_id for last in ended for run_id in self._followers.get(last, ())]

    def settle(self, run_id: UUID, ending: Ending | None) -> Iterable[Future[Ending]]:
        """Return who is to be told that the run's chain has ended so, or that there is no such run (None); nobody if
        it goes on, which is followed."""
        entry = self._entries.get(run_id)
        if entry is None:
            return ()
        if ending is not None and not _has_ended(ending):
            self._follow(run_id, entry, ending.run_id)
            return ()
        self._remove(run_id)
        return entry.futures

    def clear(self) -> list[Future[Ending]]:
        """Forget all waits; return who waited."""
        futures = [future for entry in self._entries.values() for future in entry.futures]
        self._entries.clear()
        self._followers.clear()
        return futures

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


def _has_ended(ending: Ending) -> bool:
    return ending.state not in LIVE_STATES and ending.state != "continued"
