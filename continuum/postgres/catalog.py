"""The client's side, on PostgreSQL: start, signal, cancel, look (see ``ports/catalog.py``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import ClientCursor, sql

from continuum.errors import JournalError
from continuum.model.events import EventRow
from continuum.model.query import Query
from continuum.model.run import LIVE_STATES, RunSeed, RunState
from continuum.ports.catalog import Cancelled, Ending, Inserted, Resumed, RunRow, Signalled, VersionRow
from continuum.ports.overview import STUCK_MAX, Overview, OwnerView, QueueView, StuckRun
from continuum.postgres import borrowed, families
from continuum.postgres.arrays import byteas, doubles, nullable_uuids, texts, uuids
from continuum.postgres.dispatch import versions_of
from continuum.postgres.notices import told_run, told_signal
from continuum.postgres.place import here
from continuum.postgres.query import clauses_of
from continuum.postgres.results import ANY_BYTES, LARGE_MAX, SHORT_BYTES_MAX
from continuum.postgres.session import Parameters, Row, Session, reason_of, statement


class PostgresCatalog:
    """The ``Catalog`` port. One per thread, as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, seeds: Sequence[RunSeed], *, owner: str | None = None) -> list[Inserted]:
        if owner is None and len(seeds) == 1:
            created = self._insert_one(seeds[0])
            return [Inserted(seeds[0].id, True)] if created else self._taken(seeds)
        if owner is None:
            rows = self._session.rows("insert", _seeds(seeds))
        else:
            rows = self._session.rows("insert_leased", {**_seeds(seeds), "owner": owner})
        return _inserted(seeds, rows) if len(rows) == len(seeds) else self._taken(seeds, rows)

    def _taken(self, seeds: Sequence[RunSeed], rows: Sequence[Row] = ()) -> list[Inserted]:
        """Some of these ids are taken, all but those of the ``rows``: say by which workflows."""
        return _inserted(seeds, rows, self._session.rows("taken", _ids(seeds)))

    def _insert_one(self, seed: RunSeed) -> bool:
        parameters = {**_seed(seed), "host": here(), "told": told_run(seed)}
        return bool(self._session.shown_early("insert_one", parameters))

    def insert_with(self, connection: psycopg.Connection[Any], seeds: Sequence[RunSeed]) -> list[Inserted]:
        """Insert runs by the caller's connection, in the caller's transaction if one is open, else in one of its own.

        After an error the caller's transaction goes on as if nothing had been tried (a savepoint).

        Raises:
            JournalError: the database refused; nothing was inserted.
        """
        try:
            with borrowed.cursor_on(connection, self._session.schema) as cursor:
                cursor.execute(statement("insert"), _seeds(seeds), binary=True, prepare=False)
                rows, taken = cursor.fetchall(), list[Row]()
                if len(rows) < len(seeds):
                    cursor.execute(statement("taken"), _ids(seeds), binary=True, prepare=False)
                    taken = cursor.fetchall()
            return _inserted(seeds, rows, taken)
        except psycopg.errors.UndefinedTable as error:
            raise JournalError(
                "insert",
                f"connection= leads to a database that has no schema {self._session.schema!r}; nothing was started",
            ) from error
        except (psycopg.Error, UnicodeError) as error:
            raise JournalError("insert", reason_of(error)) from error

    def signal(
        self, run_id: UUID, name: str, payload: bytes, delivery_id: str | None
    ) -> tuple[Signalled, RunState | None]:
        addressee = run_id
        for _ in range(families.TRIES_MAX):
            rows = self._session.shown_early(
                "signal",
                {
                    "run": addressee,
                    "name": name,
                    "payload": payload,
                    "delivery_id": delivery_id,
                    "told": told_signal(name, payload),
                },
            )
            if not rows:
                return "not_found", None
            state, stored, last = rows[0][:3]
            if stored:
                return "delivered", state
            if state in LIVE_STATES:
                return "duplicate", state
            if last is None:
                return "terminal", state
            addressee = last
        raise JournalError("signal", f"the chain of {run_id} grows faster than it can be followed; try again")

    def cancel(self, run_id: UUID, reason: str | None, cleanup_s: float | None = None) -> Cancelled:
        for _ in range(families.TRIES_MAX):
            with self._session.transaction("cancel"):
                run = families.lock_last(self._session, run_id)
                if run is None:
                    return Cancelled("not_found")
                if run.live and run.parent_held:
                    return self._cancel(run, reason, cleanup_s)
                if not run.live and not run.continued:
                    return Cancelled("terminal", run.state)
        raise JournalError("cancel", f"the chain of {run_id} grows faster than it can be followed; try again")

    def _cancel(self, run: families.Locked, reason: str | None, cleanup_s: float | None) -> Cancelled:
        if cleanup_s is not None:
            asked = families.note_family(self._session, run.run_id, cleanup_s, reason)
            families.notify(self._session, asked)
            if asked.asked:
                return Cancelled("requested", run.state, (*asked.asked, *asked.ended))
            return Cancelled("cancelled", "cancelled", asked.ended)
        cascade = families.end_family(self._session, [(run.run_id, True)], reason)
        families.notify(self._session, cascade)
        return Cancelled("cancelled", "cancelled", cascade.ended)

    def resume(self, run_id: UUID) -> tuple[Resumed, RunState | None]:
        rows = self._session.rows("resume", {"run": run_id})
        if not rows:
            return "not_found", None
        state, resumed = rows[0][:2]
        if resumed:
            return "resumed", state
        return "not_set_aside" if state in LIVE_STATES else "terminal", state

    def endings(self, run_ids: Sequence[UUID]) -> dict[UUID, Ending]:
        found, large = self._endings(run_ids, SHORT_BYTES_MAX)
        for start in range(0, len(large), LARGE_MAX):  # all at once they might be gigabytes
            found |= self._endings(large[start : start + LARGE_MAX], ANY_BYTES)[0]
        return found

    def _endings(self, run_ids: Sequence[UUID], bytes_max: int) -> tuple[dict[UUID, Ending], list[UUID]]:
        """Return how these chains stand, and those of them whose outcome is larger than that and was not read."""
        found, continued, large = dict[UUID, Ending](), list[UUID](), list[UUID]()
        given = {"runs": uuids(run_ids), "bytes_max": bytes_max}
        for run_id, state, result, error, goes_on, is_large in self._session.rows("endings", given):
            if goes_on:
                continued.append(run_id)
            elif is_large:
                large.append(run_id)
            else:
                found[run_id] = Ending(run_id, state, result, error)
        if continued:
            given["runs"] = uuids(continued)
            for asked, *ending, is_large in self._session.rows("chain_endings", given):
                if is_large:
                    large.append(asked)
                else:
                    found[asked] = Ending(*ending)
        return found, large

    def get(self, run_id: UUID) -> RunRow | None:
        rows = self._session.rows("get", {"run": run_id})
        return _run(rows[0]) if rows else None

    def events(self, run_id: UUID) -> list[EventRow]:
        return [EventRow(*row) for row in self._session.rows("events", {"run": run_id})]

    def query(self, query: Query) -> list[RunRow]:
        clauses = clauses_of(query)
        base = sql.SQL(statement("query").decode())
        text = sql.SQL(" ").join([base, *(clause.text for clause in clauses)])
        parameters = [value for clause in clauses for value in clause.parameters]
        # Planned for its values: which index is best depends on them.
        with self._session.settled("query") as connection, ClientCursor(connection) as cursor:
            return [_run(row) for row in cursor.execute(text, parameters)]

    def set_attributes(self, run_id: UUID, attributes: Mapping[str, object]) -> bool:
        parameters = {"run": run_id, "attributes": json.dumps(dict(attributes))}
        return bool(self._session.rows("set_attributes", parameters))

    def register_workflows(self, versions: Sequence[tuple[str, str]]) -> None:
        self._session.rows("register_workflows", versions_of(versions))

    def workflows(self) -> list[str]:
        return [row[0] for row in self._session.rows("workflows", {})]

    def versions(self) -> list[VersionRow]:
        return [VersionRow(*row) for row in self._session.rows("versions", {})]

    def overview(self) -> Overview:
        rows = self._session.rows
        ((due, oldest_s, sleeping),) = rows("overview_waiting", {})
        stuck = rows("overview_stuck", {"limit": STUCK_MAX})
        return Overview(
            owners=[OwnerView(*row) for row in rows("overview_owners", {})],
            queues=[QueueView(*row) for row in rows("overview_queues", {})],
            due=due,
            oldest_s=oldest_s,
            sleeping=sleeping,
            stuck=[StuckRun(*row[:-1]) for row in stuck],
            stuck_count=stuck[0][-1] if stuck else 0,
        )

    def collect_versions(self) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in self._session.rows("collect_versions", {})]


def _seed(seed: RunSeed) -> Parameters:
    return {
        "id": seed.id,
        "key": seed.key,
        "workflow": seed.workflow,
        "version_hash": seed.version_hash,
        "namespace": seed.namespace,
        "attributes": _json(seed.attributes),
        "args": seed.args,
        "delay": seed.delay_s,
        "parent": seed.parent_run_id,
        "correlation": seed.correlation_id,
        "predecessor": seed.continued_from_run_id,
    }


def _seeds(seeds: Sequence[RunSeed]) -> Parameters:
    return {
        "ids": uuids([seed.id for seed in seeds]),
        "keys": texts([seed.key for seed in seeds]),
        "workflows": texts([seed.workflow for seed in seeds]),
        "version_hashes": texts([seed.version_hash for seed in seeds]),
        "namespaces": texts([seed.namespace for seed in seeds]),
        "attributes": texts([_json(seed.attributes) for seed in seeds]),
        "args": byteas([seed.args for seed in seeds]),
        "delays": doubles([seed.delay_s for seed in seeds]),
        "parents": nullable_uuids([seed.parent_run_id for seed in seeds]),
        "correlations": uuids([seed.correlation_id or seed.id for seed in seeds]),
        "predecessors": nullable_uuids([seed.continued_from_run_id for seed in seeds]),
    }


def _ids(seeds: Sequence[RunSeed]) -> Parameters:
    return {"runs": uuids([seed.id for seed in seeds])}


def _json(attributes: Mapping[str, object]) -> str:
    return json.dumps(dict(attributes)) if attributes else "{}"


def _inserted(seeds: Sequence[RunSeed], rows: Sequence[Row], taken: Sequence[Row] = ()) -> list[Inserted]:
    tokens = {row[0]: row[1] for row in rows}
    workflows = {row[0]: row[1] for row in taken}
    answers: dict[UUID, Inserted] = {}
    result = []
    for seed in seeds:
        created = seed.id in tokens and seed.id not in answers  # of two seeds with one id, the first
        answers[seed.id] = (
            Inserted(seed.id, True, tokens[seed.id])
            if created
            else Inserted(seed.id, False, workflow=workflows.get(seed.id))
        )
        result.append(answers[seed.id])
    return result


def _run(row: Row) -> RunRow:
    return RunRow(**dict(zip(RunRow.__struct_fields__, row, strict=True)))
