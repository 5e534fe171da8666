"""What the commit of one run means for its relatives: children, parent, successor (chapters C and N).

::

    children started ──► Look(runs): a dispatcher claims them
    the end of a child ──► its parent has mail: read it here, or tell the engine that has it, or a dispatcher
    continued as new ──► the successor is leased to us in that commit: load it, nobody has to claim it

All of it stands in the database too; what is lost here is found by a scan (B6).
"""

from __future__ import annotations

from continuum.model.run import LIVE_STATES
from continuum.ports.journal import Lease, RunCommit
from continuum.runtime.live import LiveRun
from continuum.runtime.loading import Loading
from continuum.runtime.outgoing import Outgoing
from continuum.runtime.reading import Reading


class Kin:
    def __init__(self, loading: Loading, reading: Reading, outgoing: Outgoing) -> None:
        self._loading, self._reading, self._outgoing = loading, reading, outgoing

    def committed(self, run: LiveRun, commit: RunCommit) -> None:
        """The commit was written."""
        if commit.children_started:
            self._outgoing.runs_due()
        if commit.successor is not None:
            self._load_successor(commit)
        elif commit.state not in LIVE_STATES:
            self._tell_parent(run)

    def refused(self, commit: RunCommit) -> None:
        """The commit was refused: it may have been written before, by one whose answer was lost."""
        if commit.successor is not None:
            self._load_successor(commit)

    def _load_successor(self, commit: RunCommit) -> None:
        """It is loaded, not built from its seed: its creation time is the first time that its code sees, and every
        replay must see the same; and its mail has come with it."""
        assert commit.successor is not None
        self._loading.want(Lease(commit.successor.id, commit.token))

    def _tell_parent(self, run: LiveRun) -> None:
        parent = run.machine.identity.parent_run_id
        if parent is not None and not self._reading.wake(parent.bytes):
            self._outgoing.mail_for(parent.bytes)
