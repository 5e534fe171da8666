"""What a client asks of the database, blocking, tried again where that is safe.

A ``JournalError`` says that nothing is known: the answer may be lost, and the deed done. So each operation here
either tells the same story when it is repeated, or is not repeated:

    insert, random id      an id that exists already can only be our own
    insert, id of a user   our own if it has our content and is no older than our first try
    resume                 a run that is going on already is what was asked for
    cancel                 a run that is found cancelled is what was asked for; of two notes the first one stays
    signal with an id      the mailbox knows a delivery by its id (S6)
    signal without one     repeated only while there was no connection: then nothing was sent
    the others             read, or write the same again
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg

from continuum.client.link import Link
from continuum.client.requests import IfExists
from continuum.client.rows import history_of
from continuum.core.definitions import Workflow, registry
from continuum.errors import (
    ContinuumError,
    JournalError,
    RunExistsError,
    RunNotFoundError,
    RunTerminalError,
)
from continuum.model.history import History
from continuum.model.query import Query
from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Cancelled, Ending, Inserted, Resumed, RunRow
from continuum.postgres import PostgresStore, borrowed
from continuum.postgres.arrays import uuids
from continuum.postgres.session import reason_of

OWN_AGE_MARGIN_S = 1.0  # for the differing speeds of two clocks, and for what the database took to begin


class _TakenError(Exception):
    """Rolls the insertion of many runs back; ``seed`` is the first whose id is taken, ``workflow`` who has it."""

    def __init__(self, seed: RunSeed, workflow: str | None) -> None:
        super().__init__(seed.id)
        self.seed, self.workflow = seed, workflow


class Operations:
    """The operations of one client. Thread-safe."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def start(
        self, seeds: Sequence[RunSeed], connection: psycopg.Connection[Any] | None, if_exists: IfExists
    ) -> None:
        """Insert runs: all, or none. With a ``connection``, as a part of its transaction.

        Raises:
            RunExistsError: one exists, and ``if_exists`` is ``error``, or the run is of another workflow (D8); none
                was started.
        """
        try:
            if connection is None:
                self._insert(seeds, attach=if_exists == "attach")
            else:
                self._insert_with(connection, seeds, attach=if_exists == "attach")
        except _TakenError as taken:
            seed, other = taken.seed, taken.workflow
            workflows = None if other in (None, seed.workflow) else (str(other), seed.workflow)
            raise RunExistsError(seed.id, seed.key, workflows=workflows) from None

    def signal(self, run_id: UUID, name: str, payload: bytes, delivery_id: str | None) -> None:
        """Put a signal into the mailbox of the live run of the chain.

        Raises:
            RunNotFoundError, RunTerminalError: there is none.
        """
        outcome, state = self._link.repeat(
            lambda store: store.catalog.signal(run_id, name, payload, delivery_id),
            safe=delivery_id is not None,
        )
        if outcome == "not_found":
            raise RunNotFoundError(run_id)
        if outcome == "terminal":
            raise RunTerminalError(run_id, str(state))

    def cancel(self, run_id: UUID, reason: str | None, cleanup_s: float | None = None) -> None:
        """End the live run of the chain as cancelled, with all its descendants, or ask them to clean up and end.

        Raises:
            RunNotFoundError, RunTerminalError: there is none.
        """
        tries = 0

        def cancel(store: PostgresStore) -> Cancelled:
            nonlocal tries
            tries += 1
            return store.catalog.cancel(run_id, reason, cleanup_s)

        outcome, state, _ = self._link.repeat(cancel)
        if outcome == "not_found":
            raise RunNotFoundError(run_id)
        if outcome == "terminal" and not (tries > 1 and state == "cancelled"):
            raise RunTerminalError(run_id, str(state))

    def resume(self, run_id: UUID) -> None:
        """Let a run be resumed that was set aside because engines died of it.

        Raises:
            RunNotFoundError, RunTerminalError: there is no such run, or it has ended.
            ContinuumError: it was not set aside.
        """
        tries = 0

        def resume(store: PostgresStore) -> tuple[Resumed, RunState | None]:
            nonlocal tries
            tries += 1
            return store.catalog.resume(run_id)

        outcome, state = self._link.repeat(resume)
        if outcome == "not_found":
            raise RunNotFoundError(run_id)
        if outcome == "terminal":
            raise RunTerminalError(run_id, str(state))
        if tries == 1 and outcome == "not_set_aside":
            raise ContinuumError(
                f"run {run_id} was not set aside, and nothing was changed: it goes on when what it waits for comes; "
                f"`continuum run show {run_id}` says for what"
            )

    def get(self, run_id: UUID) -> RunRow:
        """Return a run's row.

        Raises:
            RunNotFoundError: there is none.
        """
        row = self._link.repeat(lambda store: store.catalog.get(run_id))
        if row is None:
            raise RunNotFoundError(run_id)
        return row

    def history(self, run_id: UUID) -> History:
        """Return a run's events, with what a replay needs besides.

        Raises:
            RunNotFoundError: there is no such run.
        """
        row = self.get(run_id)
        return history_of(row, self._link.repeat(lambda store: store.catalog.events(run_id)))

    def query(self, query: Query) -> list[RunRow]:
        """Return the rows of a page, and one more if there are more."""
        return self._link.repeat(lambda store: store.catalog.query(query))

    def set_attributes(self, run_id: UUID, attributes: Mapping[str, object]) -> None:
        """Merge attributes into the run's.

        Raises:
            RunNotFoundError: there is no such run.
        """
        if not self._link.repeat(lambda store: store.catalog.set_attributes(run_id, attributes)):
            raise RunNotFoundError(run_id)

    def look(self, run_ids: Sequence[UUID], *, spare: bool) -> Mapping[UUID, Ending]:
        """Say where these chains stand, in one try: whoever waits asks again. ``spare``: see `Link.store`.

        Raises:
            JournalError: the database is away.
        """
        with self._link.store(spare=spare) as store:
            return store.catalog.endings(run_ids)

    def workflow_of(
        self, asked: UUID, ending: Ending, known: Workflow[..., Any] | None
    ) -> Workflow[..., Any] | None:
        """Return the workflow whose annotation restores the result of a chain, None if this process lacks it.

        ``known`` is that of the run asked for; what continued it may be another.
        """
        if ending.state != "completed" or (known is not None and ending.run_id == asked):
            return known
        if not registry.workflows:
            return None
        return registry.workflows.get(self.get(ending.run_id).workflow)

    def _insert(self, seeds: Sequence[RunSeed], *, attach: bool) -> None:
        began_at = monotonic()
        tries = 0

        def insert(store: PostgresStore) -> None:
            nonlocal tries
            tries += 1
            try:
                _insert_into(store, seeds, attach=attach)
            except _TakenError:
                # After a lost answer it may have been us who took the ids.
                if tries == 1 or not _are_own(store, seeds, monotonic() - began_at):
                    raise

        self._link.repeat(insert)

    def _insert_with(
        self, connection: psycopg.Connection[Any], seeds: Sequence[RunSeed], *, attach: bool
    ) -> None:
        with self._link.store() as store:
            try:
                borrowed.begin(connection)
            except psycopg.Error as error:
                raise JournalError("insert", reason_of(error)) from error
            with connection.transaction():
                _check_taken(seeds, store.catalog.insert_with(connection, seeds), attach=attach)


def _insert_into(store: PostgresStore, seeds: Sequence[RunSeed], *, attach: bool) -> None:
    """Insert in one transaction, which `_TakenError` undoes: a run that is alone needs none of its own."""
    if len(seeds) == 1:
        _check_taken(seeds, store.catalog.insert(seeds), attach=attach)
        return
    with store.session.transaction("insert"):
        _check_taken(seeds, store.catalog.insert(seeds), attach=attach)


def _check_taken(seeds: Sequence[RunSeed], inserted: Sequence[Inserted], *, attach: bool) -> None:
    for seed, row in zip(seeds, inserted, strict=True):
        if not row.created and not (attach and row.workflow == seed.workflow):
            raise _TakenError(seed, row.workflow)


def _are_own(store: PostgresStore, seeds: Sequence[RunSeed], elapsed_s: float) -> bool:
    """Whether all these runs exist, say what ours say, and were inserted since we first tried."""
    ages: dict[UUID, float] = dict(store.session.rows("ages", {"runs": uuids([seed.id for seed in seeds])}))
    return all(
        seed.id in ages
        and ages[seed.id] <= elapsed_s + OWN_AGE_MARGIN_S
        and _same_content(seed, store.catalog.get(seed.id))
        for seed in seeds
    )


def _same_content(seed: RunSeed, row: RunRow | None) -> bool:
    return row is not None and (seed.workflow, seed.args, seed.key, seed.namespace) == (
        row.workflow,
        row.args,
        row.key,
        row.namespace,
    )
