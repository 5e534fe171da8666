"""Which code a run goes on with: its own version, and what happens where that is not loaded (D3, D4, D5).

A run without its code is given back with growing pauses. The pauses are this engine's memory; the database keeps it to
one claim per pause, and lets engines that have the code take the run at once. So a pause that is forgotten, or
counted twice by two engines, costs a claim and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from continuum.core.definitions import Workflow
from continuum.errors import ContinuumError, UnknownWorkflowError
from continuum.ports.journal import ClaimedRun, Release

DRIFT_S = 60.0
FIRST_S = 5.0
LONGEST_S = 60.0
REMEMBERED_MAX = 20_000


class Code:
    """``workflow`` gives the code of a name in a version, the newest of a name for None. ``lacked``: how often a run
    was given back for want of its code."""

    def __init__(self, workflow: Callable[[str, str | None], Workflow[..., Any]]) -> None:
        self._workflow = workflow
        self.lacked = 0
        self._pauses: OrderedDict[bytes, float] = OrderedDict()

    def of(self, run: ClaimedRun) -> Workflow[..., Any] | Release:
        """Return the run's version of its code, or the newest for a run that has none yet or is to be adopted; how it
        is to be given back if there is none."""
        try:
            return self._workflow(run.workflow, run.version_hash)
        except UnknownWorkflowError as error:
            if error.version_hash is not None:
                newest = self._workflow(run.workflow, None)
                if newest.versioning == "adopt":
                    return newest
        version = f" (version {run.version_hash[:12]})" if run.version_hash else ""
        reason = f"no code is loaded for workflow {run.workflow}{version}; start a node with its module"
        return self._lacking(run, reason)

    def drifted(self, run: ClaimedRun, code: Workflow[..., Any], error: ContinuumError) -> Release:
        """Say how a run is to be given back whose history ``code`` does not repeat, or cannot read."""
        if run.version_hash in (None, code.version_hash):
            return Release(run.run_id, run.token, DRIFT_S, str(error))
        pinned, ours = str(run.version_hash)[:12], code.version_hash[:12]
        return self._lacking(run, f"version {ours} cannot adopt this run of version {pinned}: {error}")

    def found(self, run_id: bytes) -> None:
        """The run goes on here."""
        if self._pauses:
            self._pauses.pop(run_id, None)

    def _lacking(self, run: ClaimedRun, reason: str) -> Release:
        self.lacked += 1
        pause_s = min(2 * self._pauses.pop(run.run_id.bytes, FIRST_S / 2), LONGEST_S)
        self._pauses[run.run_id.bytes] = pause_s
        if len(self._pauses) > REMEMBERED_MAX:
            self._pauses.popitem(last=False)
        return Release(run.run_id, run.token, pause_s, reason, lacks_code=True)
