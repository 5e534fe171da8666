"""The months of the journal: partitions of ``continuum_events``, made ahead (O3).

A month without a partition goes to the default one, so that nothing here is urgent, and whatever stands in the way
(another node at the same work, a busy table) is no error: the next call tries again.

Rows that fell into the default partition move out into one of their own, all of a range or none, in the transaction
that attaches it: a reader finds each of them once at any moment. Who writes meanwhile waits, so no more than
`ROWS_MAX` move at once while their month goes on. If there are more, the month gets its partition from tomorrow on::

    default │ rows of 1 to 20 December, and those that come today          _2026_12_from_21 attached, empty
    21 Dec. │ nothing comes to the default any more                       _2026_12_to_21 attached, with the rows

A range to which nothing comes any more moves whatever its size, if the caller has time for it (`continuum db migrate`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import psycopg
from psycopg import sql

from continuum.postgres.session import Row, Session

ROWS_MAX = 100_000  # that move while others may wait: about a second
_TRIES = 20  # to attach what has taken long to move
_CREATE = sql.SQL(
    "create table {} (like continuum_events including defaults including constraints including indexes)"
)
_CHECK = sql.SQL("alter table {} add check (inserted_at >= {} and inserted_at < {})")  # spares the scan of it
_MOVE = sql.SQL(
    "with moved as (delete from continuum_events_default where inserted_at >= {} and inserted_at < {} returning *)"
    " insert into {} select * from moved"
)
# Attaching locks the parent so that reads and writes go on; "create table ... partition of" would stop them. The
# default partition is locked while it is searched for rows of the range: they have moved, and the others are few.
_ATTACH = sql.SQL("alter table continuum_events attach partition {} for values from ({}) to ({})")
_STRAYS = (
    "select date_trunc('month', inserted_at at time zone 'utc')::date, count(*) from continuum_events_default"
    " where inserted_at >= '2000-01-01' and inserted_at < %s::timestamptz group by 1"  # what is later has time
)
_KNOWN = (
    "select child.relname::text from pg_inherits join pg_class as child on child.oid = inhrelid"
    " where inhparent = 'continuum_events'::regclass"
)


class _Range(NamedTuple):
    """Days that get a partition: from ``first`` to before ``end``. ``rows`` of it are in the default partition;
    ``quiet``: none comes there any more."""

    name: str
    first: date
    end: date
    rows: int
    quiet: bool


def ensure_partitions(session: Session, rows_max: int | None = ROWS_MAX) -> list[str]:
    """Make the partitions of this month and the next, and of months before that have rows in the default partition,
    which move; return the names of those that were made now. ``rows_max``: more rows than that stay where they are,
    None to move as many as there are.

    Raises:
        JournalError: the database cannot be reached.
    """
    with session.settled("ensure partitions") as connection:
        row = connection.execute("select (now() at time zone 'utc')::date").fetchone()
        assert row is not None, "a select without from has one row"
        today: date = row[0]
        known = {name for (name,) in connection.execute(_KNOWN).fetchall()}
        this_month = today.replace(day=1)
        next_month = _month_after(this_month)
        strays = dict(connection.execute(_STRAYS, [_bound_text(_month_after(next_month))]).fetchall())
        made = []
        for month in sorted({this_month, next_month, *strays}):
            wanted = _wanted(month, today, known, strays.get(month, 0))
            if wanted is None or (wanted.rows and rows_max is not None and wanted.rows > rows_max):
                continue
            if _make(connection, wanted):
                made.append(wanted.name)
        return made


def _wanted(month: date, today: date, known: set[str], rows: int) -> _Range | None:
    """Say which partition the month lacks; None if it has all, or has to wait for tomorrow."""
    whole, end = f"continuum_events_{month:%Y_%m}", _month_after(month)
    if whole in known:
        return None
    begun = next((name for name in known if name.startswith(f"{whole}_from_")), None)
    if (
        begun is not None
    ):  # the rest of it has one; what came before is quiet from a while after that day's begin
        cut = month.replace(day=int(begun[-2:]))
        quiet = today > cut
        return _Range(f"{whole}_to_{cut:%d}", month, cut, rows, True) if rows and quiet else None
    quiet = today > end or today < month - timedelta(days=1)
    if quiet or rows <= ROWS_MAX:
        return _Range(whole, month, end, rows, quiet)
    tomorrow = today + timedelta(days=1)
    return _Range(f"{whole}_from_{tomorrow:%d}", tomorrow, end, 0, False) if tomorrow < end else None


def _make(connection: psycopg.Connection[Row], wanted: _Range) -> bool:
    """Make the partition and move its rows there; False if something stood in the way, and nothing was changed."""
    table, bounds = sql.Identifier(wanted.name), [_bound(wanted.first), _bound(wanted.end)]
    large = wanted.rows > ROWS_MAX
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '1s'")
            if large:
                connection.execute("set local statement_timeout = 0")
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(current_schema() || '_partitions', 0))"
            )
            found = connection.execute("select to_regclass(%s) is not null", [wanted.name]).fetchone()
            if found is not None and found[0]:
                return False
            connection.execute(_CREATE.format(table), prepare=False)
            connection.execute(_CHECK.format(table, *bounds), prepare=False)
            if not wanted.quiet:
                # Nobody adds to the range while it moves; who comes meanwhile waits before it has chosen a partition.
                connection.execute("lock table only continuum_events in share row exclusive mode")
            connection.execute(_MOVE.format(*bounds, table), prepare=False)
            _attach(connection, table, bounds, _TRIES if large else 1)
            return True
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.CheckViolation,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.QueryCanceled,
        psycopg.errors.DuplicateTable,
    ):
        return False


def _attach(
    connection: psycopg.Connection[Row], table: sql.Identifier, bounds: list[sql.Literal], tries: int
) -> None:
    """Attach the partition, trying for a second each, so that who comes meanwhile waits no longer than that."""
    for left in reversed(range(tries)):
        try:
            with connection.transaction():
                connection.execute(_ATTACH.format(table, *bounds), prepare=False)
                return
        except psycopg.errors.LockNotAvailable:
            if not left:
                raise


def _month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _bound(day: date) -> sql.Literal:
    return sql.Literal(_bound_text(day))


def _bound_text(day: date) -> str:
    return f"{day.isoformat()} 00:00:00+00"
