"""Attempts of runs that this engine has lost: they are stopped at once if the run has ended, as by a cancel (K3), and
left alone if it has another owner, who will ask the workers for them (A8).

Which of the two it is, only the database knows; it is asked once for all runs that were lost in a tick, and only about
those with attempts at a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from continuum.ports.offload import Lane
from continuum.runtime.asking import Asking
from continuum.runtime.live import LiveRun
from continuum.runtime.placement import Placement
from continuum.wire.messages import Key
from continuum.wire.post import Peer

RUNS_MAX = 1_000  # in one question


class Strays:
    """``stop(worker, key)`` is called for every attempt to be stopped."""

    def __init__(self, asking: Asking, placement: Placement, stop: Callable[[Peer, Key], None]) -> None:
        self._asking, self._placement, self._stop = asking, placement, stop
        self._keys: dict[bytes, set[Key]] = {}
        self._busy = False

    def note(self, run: LiveRun) -> None:
        """The run is about to be dropped."""
        keys = {(run.id, each.dispatch.seq, each.dispatch.attempt) for each in run.machine.attempts()}
        out = {key for key in keys if self._placement.is_out(key)}
        if out:
            self._keys.setdefault(run.id, set()).update(out)

    def tick(self) -> None:
        if not self._keys or self._busy:
            return
        self._busy = True
        asked = {run: self._keys.pop(run) for run in list(self._keys)[:RUNS_MAX]}
        runs = [UUID(bytes=run) for run in asked]
        self._asking.ask(
            Lane.READ, lambda desk: desk.journal.ended(runs), lambda ended: self._done(asked, ended)
        )

    def _done(self, asked: dict[bytes, set[Key]], ended: set[UUID]) -> None:
        self._busy = False
        for run_id in ended:
            for key in sorted(asked.get(run_id.bytes, ())):
                worker = self._placement.withdraw(key)
                if worker is not None:
                    self._stop(worker, key)
