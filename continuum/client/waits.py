"""Who waits for which run, as bookkeeping: no thread, no lock, no database.

A wait is for the end of a run's chain. It follows the last run of the chain that is known: only that one can end (W1).

Runs are known by the number of their id here. A client hears of every end in the instance, and a UUID is made, hashed
and compared by code in Python.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import Future
from uuid import UUID

from continuum.errors import ContinuumError, RunNotFoundError
from continuum.model.run import LIVE_STATES
from continuum.ports.catalog import Ending

_GOING_ON = LIVE_STATES | {"continued"}


class Wait:
    """Somebody who waits for the end of a run's chain. ``answer``: how it ended, or why that is not known; None at
    first. ``future``: that of a waiter who does not listen, and has to be told."""

    __slots__ = ("answer", "asked", "future", "last")

    def __init__(self, asked: UUID, future: Future[Ending] | None = None) -> None:
        self.asked = asked
        self.last = asked  # run of the chain, as far as is known
        self.answer: Ending | ContinuumError | None = None
        self.future = future

    def tell(self) -> None:
        """Tell a waiter who does not listen the answer. Once."""
        if self.future is not None and self.future.set_running_or_notify_cancel():
            if isinstance(self.answer, ContinuumError):
                self.future.set_exception(self.answer)
            elif self.answer is not None:
                self.future.set_result(self.answer)


class Waits:
    """The waits of one client, by the runs that they are for now. False if there are none."""

    def __init__(self) -> None:
        self._by_run: dict[int, set[Wait]] = {}

    def __len__(self) -> int:
        return len(self._by_run)

    @property
    def runs(self) -> list[UUID]:
        return [UUID(int=number) for number in self._by_run]

    def add(self, wait: Wait) -> None:
        self._by_run.setdefault(wait.last.int, set()).add(wait)

    def discard(self, wait: Wait) -> None:
        waits = self._by_run.get(wait.last.int)
        if waits is not None:
            waits.discard(wait)
            if not waits:
                del self._by_run[wait.last.int]

    def concerned(self, ended: Iterable[int]) -> list[UUID]:
        """Return those of the runs that somebody waits for."""
        return [UUID(int=number) for number in ended if number in self._by_run]

    def settle(self, run_id: UUID, ending: Ending | None) -> Collection[Wait]:
        """Answer who waits for the run: its chain stands so, or there is no such run (None). Return who has an answer:
        nobody if the chain goes on, which is followed."""
        if ending is not None and ending.state in _GOING_ON:
            self._follow(run_id, ending.run_id)
            return ()
        waits = self._by_run.pop(run_id.int, ())
        for wait in waits:
            wait.answer = RunNotFoundError(wait.asked) if ending is None else ending
        return waits

    def give_up(self, why: str) -> list[Wait]:
        """Answer all that this is not known; return them."""
        waits = [wait for of_run in self._by_run.values() for wait in of_run]
        self._by_run.clear()
        for wait in waits:
            wait.answer = ContinuumError(why)
        return waits

    def _follow(self, run_id: UUID, last: UUID) -> None:
        if last != run_id:
            for wait in self._by_run.pop(run_id.int, ()):
                wait.last = last
                self.add(wait)
