"""The months of the journal: partitions of ``continuum_events``, made ahead (O3).

A month without a partition goes to the default one, so that nothing here is urgent, and whatever stands in the way
(another node at the same work, a busy table, rows of that month in the default partition) is no error.
"""

from __future__ import annotations

from datetime import date

import psycopg
from psycopg import sql

from continuum.postgres.session import Row, Session

_CREATE = sql.SQL("create table {} (like continuum_events including defaults including constraints)")
# Attaching locks the parent so that reads and writes go on; "create table ... partition of" would stop them.
_ATTACH = sql.SQL("alter table continuum_events attach partition {} for values from ({}) to ({})")


def ensure_partitions(session: Session) -> list[str]:
    """Make the partitions of this month and the next; return the names of those that were made now.

    Raises:
        JournalError: the database cannot be reached.
    """
    with session.settled("ensure partitions") as connection:
        row = connection.execute("select (now() at time zone 'utc')::date").fetchone()
        assert row is not None, "a select without from has one row"
        this_month: date = row[0].replace(day=1)
        return [
            name for month in (this_month, _month_after(this_month)) if (name := _make(connection, month))
        ]


def _make(connection: psycopg.Connection[Row], month: date) -> str | None:
    name = f"continuum_events_{month:%Y_%m}"
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '1s'")
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(current_schema() || '_partitions', 0))"
            )
            found = connection.execute("select to_regclass(%s) is not null", [name]).fetchone()
            if found is not None and found[0]:
                return None
            table, bounds = sql.Identifier(name), [_bound(month), _bound(_month_after(month))]
            connection.execute(_CREATE.format(table), prepare=False)
            connection.execute(_ATTACH.format(table, *bounds), prepare=False)
            return name
    except (psycopg.errors.LockNotAvailable, psycopg.errors.CheckViolation):
        return None


def _month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _bound(month: date) -> sql.Literal:
    return sql.Literal(f"{month.isoformat()} 00:00:00+00")
