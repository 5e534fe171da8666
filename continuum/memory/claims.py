"""Which runs an owner may lease, and how, in memory; also those that engines have died of (B4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from continuum.memory.journal import claimed_run
from continuum.memory.tables import RunRecord, Tables
from continuum.ports.dispatch import SET_ASIDE, SUSPECTED
from continuum.ports.journal import CLAIM_ARGS_MAX, ClaimedRun


def due(tables: Tables, runs: Iterable[RunRecord]) -> list[tuple[float, UUID]]:
    """Those of these runs that anybody may claim now."""
    since = [(at, run.id) for run in runs if (at := tables.claimable_at(run)) is not None]
    return [entry for entry in since if entry[0] <= tables.now]


def wanted(tables: Tables, owner: str) -> list[tuple[float, UUID]]:
    """The runs that wait for code which this owner has."""
    return [
        (run.due_at, run.id)
        for run in tables.live.values()
        if run.due_at is not None and tables.pauses(run) and run.lacks_code and tables.has_code(owner, run)
    ]


def claim(tables: Tables, run: RunRecord, owner: str) -> ClaimedRun:
    fresh = run.token is None and not run.signals and run.cancel is None
    if not run.events:
        run.begun_at = tables.now
    tables.unlease(run)
    tables.lease(run, owner)
    if run.parked_until is not None or run.suspect is not None:
        run.attention = None if run.lacks_code or run.suspect else run.attention
        run.parked_until = run.suspect = None
    claimed = claimed_run(run, fresh=fresh)
    if len(claimed.args) > CLAIM_ARGS_MAX:
        return msgspec.structs.replace(claimed, fresh=False, args=b"")
    return claimed


def blame(tables: Tables, run: RunRecord, owner: str, deaths_max: int) -> None:
    seq = len(run.events)
    run.deaths = 1 if run.deaths_seq is not None and seq > run.deaths_seq else run.deaths + 1
    run.deaths_seq, run.killed_owner = seq, owner
    if run.owner not in (None, owner):
        return
    tables.unlease(run)
    run.previous_owner = owner
    run.state = "suspended"
    run.due_at = tables.now if run.due_at is None else run.due_at
    run.suspect = "alone" if run.deaths < deaths_max else "stopped"
    run.alone_at = tables.now + (0 if run.deaths <= 1 else min(4 ** (run.deaths - 2), 60))
    text = SUSPECTED if run.suspect == "alone" else SET_ASIDE.format(run=run.id, owner=owner)
    run.attention = f"engine deaths: {run.deaths} of {deaths_max}; {text}"


def alone_at(tables: Tables, run: RunRecord, owners: Sequence[str]) -> float:
    """Return when one of these owners may take a run that was set aside."""
    able = any(tables.is_live(owner) and tables.has_code(owner, run) for owner in owners)
    return run.alone_at if able else run.alone_at + 60.0
