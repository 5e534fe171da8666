"""The client's side, in memory: start, signal, cancel, look (see ``ports/catalog.py``)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from continuum.memory.database import Database, Transaction
from continuum.memory.families import cancel_families, note_cancel
from continuum.memory.journal import claimed_run
from continuum.memory.overview import overview_of
from continuum.memory.query import page
from continuum.memory.tables import RunRecord, Tables
from continuum.model.events import EventRow
from continuum.model.query import Query
from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Cancelled, Ending, Inserted, Resumed, RunRow, Signalled, VersionRow
from continuum.ports.journal import SignalRow
from continuum.ports.mailbox import Notice
from continuum.ports.overview import Overview


class MemoryCatalog:
    """The ``Catalog`` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, seeds: Sequence[RunSeed], *, owner: str | None = None) -> list[Inserted]:
        with self._database.transaction("insert") as transaction:
            tables, inserted = transaction.tables, []
            for seed in seeds:
                if seed.id in tables.runs:
                    inserted.append(Inserted(seed.id, False, workflow=tables.runs[seed.id].seed.workflow))
                    continue
                run = RunRecord(
                    seed,
                    _as_json(seed.attributes),
                    transaction.now,
                    transaction.now + seed.delay_s,
                    version_hash=seed.version_hash,
                )
                tables.add(run)
                inserted.append(Inserted(run.id, True, None if owner is None else tables.lease(run, owner)))
                if owner is None:
                    _offer(transaction, run, alone=len(seeds) == 1)
            return inserted

    def signal(
        self, run_id: UUID, name: str, payload: bytes, delivery_id: str | None
    ) -> tuple[Signalled, RunState | None]:
        with self._database.transaction("signal") as transaction:
            run = transaction.tables.last_of_chain(run_id)
            if run is None:
                return "not_found", None
            if not run.live:
                return "terminal", run.state
            if delivery_id is not None:
                if delivery_id in run.deliveries:
                    return "duplicate", run.state
                run.deliveries.add(delivery_id)
            signal_id = next(transaction.tables.signal_ids)
            before = any(signal.name == name for signal in run.signals.values())
            signal = run.signals[signal_id] = SignalRow(signal_id, name, payload)
            owner = transaction.tables.wake(run)
            if owner is not None and transaction.tables.owners[owner].hears:
                told = None if before else signal
                transaction.notify(Notice("signal", run.id, owner, signal=told))
            else:
                transaction.notify_mail(run.id, owner)
            return "delivered", run.state

    def cancel(self, run_id: UUID, reason: str | None, cleanup_s: float | None = None) -> Cancelled:
        with self._database.transaction("cancel") as transaction:
            run = transaction.tables.last_of_chain(run_id)
            if run is None:
                return Cancelled("not_found")
            if not run.live:
                return Cancelled("terminal", run.state)
            if cleanup_s is not None:
                asked, ended = note_cancel(transaction, run, cleanup_s, reason)
                if asked:
                    return Cancelled("requested", run.state, (*asked, *ended))
                return Cancelled("cancelled", run.state, tuple(ended))
            ended = cancel_families(transaction, [run], reason)
            return Cancelled("cancelled", run.state, tuple(ended))

    def resume(self, run_id: UUID) -> tuple[Resumed, RunState | None]:
        with self._database.transaction("resume") as transaction:
            run = transaction.tables.runs.get(run_id)
            if run is None:
                return "not_found", None
            if not run.live:
                return "terminal", run.state
            if run.suspect is None:
                return "not_set_aside", run.state
            run.deaths, run.deaths_seq = 0, None
            run.suspect, run.alone_at, run.due_at = "alone", transaction.now, transaction.now
            run.attention = None
            transaction.notify(Notice("alone"))
            return "resumed", run.state

    def endings(self, run_ids: Sequence[UUID]) -> dict[UUID, Ending]:
        with self._database.transaction("endings") as transaction:
            last = {run_id: transaction.tables.last_of_chain(run_id) for run_id in run_ids}
            return {
                run_id: Ending(run.id, run.state, run.result, run.error)
                for run_id, run in last.items()
                if run is not None
            }

    def get(self, run_id: UUID) -> RunRow | None:
        with self._database.transaction("get") as transaction:
            run = transaction.tables.runs.get(run_id)
            return None if run is None else _row(run)

    def events(self, run_id: UUID) -> list[EventRow]:
        with self._database.transaction("events") as transaction:
            run = transaction.tables.runs.get(run_id)
            return [] if run is None else list(run.events)

    def query(self, query: Query) -> list[RunRow]:
        with self._database.transaction("query") as transaction:
            return page(query, [_row(run) for run in transaction.tables.runs.values()])

    def set_attributes(self, run_id: UUID, attributes: Mapping[str, object]) -> bool:
        with self._database.transaction("set_attributes") as transaction:
            run = transaction.tables.runs.get(run_id)
            if run is None:
                return False
            run.attributes |= _as_json(attributes)
            return True

    def register_workflows(self, versions: Sequence[tuple[str, str]]) -> None:
        with self._database.transaction("register_workflows") as transaction:
            transaction.tables.register_workflows(versions)

    def workflows(self) -> list[str]:
        with self._database.transaction("workflows") as transaction:
            return sorted({workflow for workflow, _ in transaction.tables.workflows})

    def versions(self) -> list[VersionRow]:
        with self._database.transaction("versions") as transaction:
            return _versions(transaction.tables)

    def overview(self) -> Overview:
        with self._database.transaction("overview") as transaction:
            return overview_of(transaction.tables)

    def collect_versions(self) -> list[tuple[str, str]]:
        with self._database.transaction("collect_versions") as transaction:
            tables = transaction.tables
            unused = [(row.workflow, row.version_hash) for row in _versions(tables) if row.unused]
            for version in unused:
                del tables.workflows[version]
            return sorted(unused)


def _offer(transaction: Transaction, run: RunRecord, *, alone: bool) -> None:
    """Lease a new run to an owner that hears, if it can be, else leave it to the dispatchers; tell either."""
    tables = transaction.tables
    freest = min(
        (
            (-record.room, owner)
            for owner, record in tables.owners.items()
            if record.room > 0 and tables.is_live(owner) and tables.has_code(owner, run)
        ),
        default=(0, ""),
    )[1]
    if alone and run.seed.delay_s <= 0 and tables.holders.get(freest):
        token = tables.lease(run, freest)
        transaction.notify(Notice("leased", run.id, freest, token, claimed_run(run, fresh=True)))
    else:
        transaction.notify(Notice("due"))


def _versions(tables: Tables) -> list[VersionRow]:
    runs = Counter((run.seed.workflow, run.version_hash) for run in tables.live.values() if run.version_hash)
    engines = Counter(
        version
        for owner, record in tables.owners.items()
        if tables.is_live(owner)
        for version in record.loaded
    )
    rows = []
    for version in {*tables.workflows, *runs}:
        workflow, version_hash = version
        assert version_hash is not None, "runs without a version are not counted"
        first, last = tables.workflows.get((workflow, version_hash), (None, None))
        rows.append(
            VersionRow(workflow, version_hash, first, last, runs[version], engines[(workflow, version_hash)])
        )
    return sorted(rows, key=_by_age)


def _by_age(row: VersionRow) -> tuple[str, bool, float, str]:
    return row.workflow, row.first_loaded_at is None, row.first_loaded_at or 0.0, row.version_hash


def _as_json(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes as a database gives them back: tuples as lists, nothing shared."""
    copied: dict[str, object] = json.loads(json.dumps(dict(attributes)))
    return copied


def _row(run: RunRecord) -> RunRow:
    seed = run.seed
    return RunRow(
        id=run.id,
        key=seed.key,
        workflow=seed.workflow,
        version_hash=run.version_hash,
        state=run.state,
        namespace=seed.namespace,
        attributes=_as_json(run.attributes),
        args=seed.args,
        result=run.result,
        error=run.error,
        parent_run_id=run.parent,
        correlation_id=seed.correlation_id or run.id,
        continued_from_run_id=seed.continued_from_run_id,
        continued_to_run_id=run.continued_to,
        created_at=run.created_at,
        started_at=run.started_at,
        completed_at=run.completed_at,
        owner=run.owner,
        attention=run.attention,
        depth=seed.depth,
        begun_at=run.begun_at,
    )
