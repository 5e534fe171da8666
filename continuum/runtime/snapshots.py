"""Makes snapshots of long runs, beside everything else: one that fails harms nobody (P4)."""

from __future__ import annotations

import math

from continuum.core.recorded import Recorded, recorded_of
from continuum.core.snapshot import FORMAT, compact, expand
from continuum.errors import JournalError
from continuum.ports.journal import Lease, LoadedRun, Snapshot
from continuum.ports.offload import Desk, Lane
from continuum.runtime.asking import Asking
from continuum.runtime.live import LiveRun
from continuum.runtime.role import log


def history_of(loaded: LoadedRun, version_hash: str) -> Recorded | None:
    """Return the whole history of a loaded run; None if its snapshot is of no use: then it must be loaded without.

    Raises:
        JournalError: an event is missing, or of a kind that this code cannot read.
    """
    snapshot = loaded.snapshot
    if snapshot is None:
        return recorded_of(loaded.events)
    try:
        if snapshot.version_hash != version_hash:
            raise ValueError("the snapshot was made by another version of the workflow")
        history = expand(snapshot.data, loaded.run.run_id)
        if len(history) != snapshot.upto_seq:
            raise ValueError(f"the snapshot holds {len(history)} events, not {snapshot.upto_seq}")
        return history.followed_by(loaded.events)
    except Exception as error:  # noqa: BLE001 - a blob of before has no checksum, and may be anything
        log.warning("run %s: %s; resuming from its events", loaded.run.run_id, error)
        return None


class Snapshots:
    """``every``: events between two snapshots for workflows that say nothing, None for none (P1). A run's next one is
    made when its journal reaches ``run.snapshot_at``."""

    def __init__(self, asking: Asking, every: int | None) -> None:
        self._asking, self._every = asking, every

    def follow(self, run: LiveRun, seq: int) -> None:
        """The run's last snapshot ends at ``seq``; 0 for none."""
        every = run.machine.workflow.snapshot_every or self._every
        run.snapshot_at = math.inf if every is None else seq + every

    def make(self, run: LiveRun, seq: int) -> None:
        """The run's journal, of which all up to ``seq`` is written, is to have a snapshot."""
        self.follow(run, seq)
        run.bare = False
        lease, version_hash = run.lease, run.machine.workflow.version_hash

        def make(desk: Desk) -> None:
            history = _whole_history(desk, lease, version_hash)
            if history:
                snapshot = Snapshot(len(history), FORMAT, version_hash, compact(history, lease.run_id))
                desk.journal.save_snapshot(lease, snapshot)

        self._asking.try_once(Lane.READ, make, self._failed)

    def _failed(self, error: JournalError) -> None:
        log.warning("a snapshot could not be made: %s; the run does not need it", error)


def _whole_history(desk: Desk, lease: Lease, version_hash: str) -> Recorded | None:
    """Read a held run's history, by the snapshot before if that is of use and has a checksum; None if the lease has
    gone. What an unchecked one holds must not be found good for ever."""
    for snapshots in (True, False):
        for loaded in desk.journal.load([lease], snapshots):
            unchecked = loaded.snapshot is not None and loaded.snapshot.format != FORMAT
            history = None if unchecked else history_of(loaded, version_hash)
            if history is not None:
                return history
    return None
