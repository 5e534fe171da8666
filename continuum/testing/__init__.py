"""Tests of workflows without a database: in memory, at once, on the core that engines run (API §7).

    from continuum.testing import run_sync, start_sync

    assert run_sync(checkout(order), activities={charge: lambda order: "p1"}, signals=[("approved", True)]) == "p1"

``run_sync`` runs to the end and skips the time between. ``start_sync`` goes step by step. ``replay`` and
``verify_run`` run today's code along a recorded history. Fixtures with a database are in
:mod:`continuum.testing.plugin`. Importing this brings no database driver.
"""

from __future__ import annotations

from continuum.errors import RunWaitingError
from continuum.testing.matching import assert_histories_match
from continuum.testing.replaying import Replayed, replay, verify_run
from continuum.testing.sync import SyncRun, run_sync, start_sync

__all__ = [
    "Replayed",
    "RunWaitingError",
    "SyncRun",
    "assert_histories_match",
    "replay",
    "run_sync",
    "start_sync",
    "verify_run",
]
