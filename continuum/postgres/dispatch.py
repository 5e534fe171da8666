"""Owners, claims of runs and of tasks, outcomes, on PostgreSQL (see ``ports/dispatch.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from continuum.model.events import Failure
from continuum.ports.dispatch import (
    SET_ASIDE,
    SUSPECTED,
    WANTED_S,
    Asked,
    Beat,
    ClaimedTask,
    Death,
    Due,
    GroupAddress,
    Life,
    Others,
    Woken,
)
from continuum.ports.journal import CLAIM_ARGS_MAX, READ_BYTES_MAX, ClaimedRun, ResultKey, TaskOutcome
from continuum.postgres import families
from continuum.postgres.arrays import bigints, booleans, byteas, texts, uuids
from continuum.postgres.holds import Holds
from continuum.postgres.partitions import ensure_partitions
from continuum.postgres.place import here
from continuum.postgres.results import read_results
from continuum.postgres.session import Parameters, Row, Session

TaskKey = tuple[UUID, int, int]
_WORKER_DIED = msgspec.msgpack.encode(
    Failure("continuum.WorkerDied", "the worker died while it ran this attempt")
)


class PostgresDispatch:
    """The ``Dispatch`` port. One per thread, as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.holds = Holds(session)

    def register(
        self, owner: str, node: str, address: str, ttl_s: float, loaded: Sequence[tuple[str, str]] = ()
    ) -> float:
        self.holds.renew(owner)
        self._session.rows("sweep_owners", {})
        parameters = {
            "owner": owner,
            "node": node,
            "address": address,
            "ttl_s": float(ttl_s),
            "loaded": texts(_codes(loaded)),
        }
        if loaded:
            self._session.rows("register_workflows", versions_of(loaded))
        (row,) = self._session.rows("register", parameters)
        now: float = row[0]
        return now

    def heartbeat(self, owner: str, ttl_s: float) -> Beat | None:
        self.holds.renew(owner)
        rows = self._session.rows("heartbeat", {"owner": owner, "ttl_s": float(ttl_s)})
        return Beat(*rows[0]) if rows else None

    def hear(self, owner: str, channel: str | None, room: int) -> bool:
        parameters = {"owner": owner, "channel": channel or "", "host": here(), "room": room}
        return bool(self._session.rows("hear", parameters))

    def retire(self, owners: Sequence[str]) -> None:
        self._session.rows("retire", {"owners": texts(owners)})

    def begin_life(self) -> Life:
        (row,) = self._session.rows("begin_life", {})
        return Life(*row)

    def groups(self, limit: int) -> list[GroupAddress]:
        return [GroupAddress(*row) for row in self._session.rows("groups", {"limit": limit})]

    def hold(self, owner: str) -> bool:
        return self.holds.take(owner)

    def look_for_gone(self, boot: str, limit: int) -> Others:
        (row,) = self._session.rows("look_for_gone", {"boot": boot, "limit": limit})
        return Others(*row)

    def retire_gone(self, owners: Sequence[str]) -> list[str]:
        (row,) = self._session.rows("retire_gone", {"owners": texts(owners)})
        retired: list[str] = row[0]
        return retired

    def ask(self, node: str, boot: str) -> list[Asked]:
        return [Asked(row[0], row[1]) for row in self._session.rows("ask", {"node": node, "boot": boot})]

    def retire_silent(self, asked: Sequence[Asked]) -> list[str]:
        parameters = {
            "owners": texts([row.owner for row in asked]),
            "expires_us": bigints([row.expires_us for row in asked]),
        }
        (row,) = self._session.rows("retire_silent", parameters)
        retired: list[str] = row[0]
        return retired

    def claim(self, owner: str, limit: int) -> list[ClaimedRun]:
        self._session.skip_numbers()
        return _claimed(
            self._session.rows("claim", {"owner": owner, "limit": limit, "args_max": CLAIM_ARGS_MAX})
        )

    def claim_due(self, owner: str, limit: int) -> list[ClaimedRun]:
        self._session.skip_numbers()
        parameters = {"owner": owner, "limit": limit, "args_max": CLAIM_ARGS_MAX}
        rows = self._session.rows("claim_due", parameters)
        return _claimed(sorted(rows, key=_since))

    def blame(self, deaths: Sequence[Death], deaths_max: int) -> None:
        parameters = {
            "runs": uuids([death.run_id for death in deaths]),
            "owners": texts([death.owner for death in deaths]),
            "deaths_max": deaths_max,
            "suspected": SUSPECTED,
            "set_aside": SET_ASIDE,
        }
        self._session.rows("blame", parameters)

    def claim_suspect(self, owner: str) -> list[ClaimedRun]:
        self._session.skip_numbers()
        return _claimed(self._session.rows("claim_suspect", {"owner": owner, "args_max": CLAIM_ARGS_MAX}))

    def claim_tasks(self, claimer: str, queues: Sequence[str], limit: int) -> list[ClaimedTask]:
        parameters = {
            "claimer": claimer,
            "queues": texts(dict.fromkeys(queues)),
            "limit": limit,
            "bytes_max": READ_BYTES_MAX,
        }
        return [ClaimedTask(*row) for row in self._session.rows("claim_tasks", parameters)]

    def assign_task(self, claimer: str, keys: Sequence[TaskKey], worker: str) -> None:
        self._session.rows("assign_tasks", {"claimer": claimer, "worker": worker, **_keys(keys)})

    def claimed(self, claimers: Sequence[str]) -> set[TaskKey]:
        rows = self._session.rows("claimed", {"claimers": texts(claimers)})
        return {(row[0], row[1], row[2]) for row in rows}

    def return_tasks(self, claimer: str, keys: Sequence[TaskKey]) -> None:
        self._session.rows("return_tasks", {"claimer": claimer, **_keys(keys)})

    def results(self, names: Sequence[ResultKey]) -> dict[ResultKey, bytes]:
        return read_results(self._session, names)

    def note_heartbeats(self, claimer: str, beats: Sequence[tuple[TaskKey, bytes]]) -> None:
        details = byteas([details for _, details in beats])
        parameters = {"claimer": claimer, **_keys([key for key, _ in beats]), "details": details}
        self._session.rows("note_heartbeats", parameters)

    def offer_outcomes(self, outcomes: Sequence[TaskOutcome]) -> list[Woken]:
        parameters = {
            **_keys([(outcome.run_id, outcome.seq, outcome.attempt) for outcome in outcomes]),
            "oks": booleans([outcome.ok for outcome in outcomes]),
            "payloads": byteas([outcome.payload for outcome in outcomes]),
            "timeouts": booleans([outcome.timed_out for outcome in outcomes]),
            "details": byteas([outcome.details for outcome in outcomes]),
        }
        return [Woken(*row) for row in self._session.rows("offer_outcomes", parameters)]

    def lose_tasks(self, claimer: str, worker: str | None) -> list[Woken]:
        parameters = {"claimer": claimer, "worker": worker, "failure": _WORKER_DIED}
        return [Woken(*row) for row in self._session.rows("lose_tasks", parameters)]

    def lose_orphans(self) -> list[Woken]:
        return [Woken(*row) for row in self._session.rows("lose_orphans", {"failure": _WORKER_DIED})]

    def end_overdue_cancels(self) -> list[UUID]:
        ended: list[UUID] = []
        for run_id, reason in self._session.rows("overdue_cancels", {}):
            with self._session.transaction("end overdue cancels"):
                run = families.lock_last(self._session, run_id)
                # One that ended or moved meanwhile is found by the next call, if there is something to find.
                if run is not None and run.run_id == run_id and run.live and run.parent_held:
                    cascade = families.end_family(self._session, [(run_id, True)], reason)
                    families.notify(self._session, cascade)
                    ended += cascade.ended
        return ended

    def upkeep(self) -> None:
        ensure_partitions(self._session)

    def next_due(self, queues: Sequence[str], owners: Sequence[str] = ()) -> Due:
        parameters = {
            "queues": texts(queues),
            "owners": texts(owners),
            "wanted_s": WANTED_S,
        }
        (row,) = self._session.rows("next_due", parameters)
        return Due(*row)


def _since(row: Row) -> tuple[datetime, UUID]:
    return (row[13], row[0])


def _claimed(rows: Sequence[Row]) -> list[ClaimedRun]:
    # One whose arguments stayed behind is loaded, whether it has a history or not.
    return [
        ClaimedRun(*row[:13])
        if row[5] is not None
        else ClaimedRun(row[0], row[1], False, row[3], row[4], b"", *row[6:13])
        for row in rows
    ]


def versions_of(loaded: Sequence[tuple[str, str]]) -> Parameters:
    """Return the parameters of ``register_workflows``."""
    return {
        "workflows": texts([workflow for workflow, _ in loaded]),
        "version_hashes": texts([version_hash for _, version_hash in loaded]),
    }


def _codes(loaded: Sequence[tuple[str, str]]) -> list[str]:
    """Return what an owner can run, as ``continuum_owners.loaded`` has it: versions, and workflows in any version."""
    codes = {f"{workflow}@{version_hash}" for workflow, version_hash in loaded}
    return sorted(codes | {f"{workflow}@" for workflow, _ in loaded})


def _keys(keys: Sequence[TaskKey]) -> Parameters:
    return {
        "runs": uuids([run_id for run_id, _, _ in keys]),
        "seqs": bigints([seq for _, seq, _ in keys]),
        "attempts": bigints([attempt for _, _, attempt in keys]),
    }
