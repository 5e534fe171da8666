"""One blocking connection to PostgreSQL, and the statements of ``queries/``.

A session connects when it is first used, and again after the connection broke: the call that meets the break fails
with ``JournalError``, the next one connects. It never asks a statement again by itself, because it cannot know
whether the first one happened.

Statements are prepared once, with binary parameters and results, under generic plans (see ``_SETTINGS``). What the
SQL calls a table is found by the ``search_path``: an instance is a schema.

Behind a connection pooler the session of one transaction is not that of the next, and what is set for it reaches
others. There every transaction makes its own settings, and no statement is prepared (`Unnamed`). That a pooler stands
between is seen by the process id that it gives its client, which is not the one that the server says.

A plan that was made when a table was known to have few rows may read all of it, and PostgreSQL keeps the plan until
it analyzes the table again, a minute later: then a commit takes seconds. So after a call that was slow, for whatever
reason, the session has its plans made anew, from the size that the tables have by then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import CheckViolation, ProgramLimitExceeded
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper

from continuum.errors import JournalError
from continuum.postgres import arrays
from continuum.postgres.prepared import Parameters as Parameters
from continuum.postgres.prepared import Prepared, Unnamed
from continuum.postgres.prepared import Row as Row
from continuum.postgres.prepared import statement as statement

_FLUSH: tuple[str, Parameters] = ("flush", {})
SLOW_S = 0.05  # several times what a large batch takes
REPLAN_S = 1.0  # between two times that plans are made anew

# What the URL does not say itself. A server that vanished without a word is noticed within half a minute.
_CONNECTION: dict[str, str | int] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# What it cannot say: statements and arrays are written in it, whatever role, server and environment prefer.
_ENCODING = "UTF8"
# Generic plans: a statement is planned once, not once a call. They may be made while the tables are empty, and are
# kept while the tables grow: then only plans stay good that look up what they join, row by row, by an index. To an
# empty table it seems cheaper to read it whole, to hash it, to sort it or to keep a copy.
# No helpers: a generic plan takes "<= a moment" for a third of the table, however few rows that are, and to start two
# processes costs a hundred times what most statements do.
# The server, too, has to notice that a host has vanished: between two statements of a pipeline its session holds locks,
# and no time-out of a transaction counts there. By default it would ask after two hours.
# A role, a database or the environment (PGOPTIONS, PGTZ) may have other values, meant for people's sessions: how values
# are written, when a session that only listens is ended, which plans are forbidden. Not among these are what is for an
# administrator to decide (synchronous_commit, read-only sessions) and what only a superuser may set.
_SETTINGS = {
    "default_transaction_isolation": "read committed",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_deferrable": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_bitmapscan": "on",
    "enable_nestloop": "on",
    "enable_sort": "on",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "client_min_messages": "warning",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
_KEEP_COMMIT = sql.SQL(
    "set_config('continuum.commit', current_setting('synchronous_commit'), true)"
)  # see `Unnamed`
_SETTINGS_OF_17 = {"transaction_timeout": "0"}


_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (
        psycopg.errors.ProtocolViolation,
        "; nothing was changed: set a pooler between to pool_mode transaction or session",
    ),
    (psycopg.errors.DiskFull, "; nothing was changed: free space on the database's disk"),
    (
        psycopg.errors.InsufficientPrivilege,
        "; nothing was changed: connect as the role that owns the schema, or have it granted to this one",
    ),
    (
        psycopg.errors.ReadOnlySqlTransaction,
        "; nothing was changed: connect to the primary, and as a role without default_transaction_read_only",
    ),
)


def reason_of(error: Exception) -> str:
    """Return what the database said, in one line, and what to do where only people can do it."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = " ".join((said or str(error)).split()) or type(error).__name__
    text = text if len(text) <= 300 else text[:297] + "..."
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "")
    return text + remedy


def connect(url: str, application_name: str) -> psycopg.Connection[Row]:
    """Open a connection in autocommit mode, with time-outs for what the URL leaves open.

    Raises:
        psycopg.Error: it cannot be opened.
    """
    given = conninfo_to_dict(url)
    missing = {name: value for name, value in _CONNECTION.items() if name not in given}
    ours = {"client_encoding": _ENCODING, "fallback_application_name": application_name}
    connection = psycopg.connect(
        make_conninfo(url, **missing, **ours),
        autocommit=True,
        # psycopg would prepare what is repeated: a pooler may not know it, and our own would be deallocated with it.
        prepare_threshold=None,
    )
    connection.isolation_level = (
        psycopg.IsolationLevel.READ_COMMITTED
    )  # of blocks; settings are for statements alone
    return connection


class Session:
    """Not shared between threads, nor across a fork. Every method may raise ``JournalError``.

    ``connections`` counts the connections made: while it does not change, no connection was lost. ``pooled``: a
    connection pooler stands between, as far as was seen when it connected.
    """

    def __init__(self, url: str, schema: str, application_name: str = "continuum") -> None:
        self.schema = schema
        self.connections = 0
        self.pooled = False
        self._url = url
        self._application_name = application_name
        self._connection: psycopg.Connection[Row] | None = None
        self._prepared: Prepared | None = None
        self._depth = 0  # of transactions
        self._skipped_on = 0  # the connection, counted from 1, on which numbers were skipped
        self._planned_at = -math.inf

    def rows(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a statement of ``queries/`` in a transaction of its own, and return its rows."""
        began = time.monotonic()
        try:
            return (self._prepared or self.statements()).rows(name, parameters)
        except (psycopg.Error, UnicodeError) as error:
            raise failure_of(name, error) from error
        finally:
            self._settle(began)

    def together(self, *steps: tuple[str, Parameters]) -> list[list[Row]]:
        """Run statements in one transaction and one round trip; return the rows of each.

        Each sees what was committed before it began, not only before the first.
        """
        with self.guarded(steps[0][0]):
            return self.statements().together(steps)

    def shown_early(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a statement that does not wait for the disk, and wait for it in a transaction that follows in the same
        round trip. So others see what it has written, and go on, while the disk is busy. The statement has a parameter
        ``early``, which is false in a transaction of the caller: that waits when it is committed."""
        if self._depth:
            return self.rows(name, {**parameters, "early": False})
        self.skip_numbers()
        began = time.monotonic()
        try:
            steps = [(name, {**parameters, "early": True}), _FLUSH]
            return (self._prepared or self.statements()).apart(steps)[0]
        except (psycopg.Error, UnicodeError) as error:
            raise failure_of(name, error) from error
        finally:
            self._settle(began)

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        """Make one transaction of the calls of a body; it is rolled back if the body raises."""
        with self.guarded(operation) as connection:
            self._depth += 1
            try:
                with connection.transaction():
                    if self.pooled:
                        connection.execute(settings_of(self.schema, connection), prepare=False)
                    yield
            finally:
                self._depth -= 1

    @contextmanager
    def settled(self, operation: str) -> Iterator[psycopg.Connection[Row]]:
        """As `guarded`, for statements that are not of ``queries/``: they find the settings of the session, and behind
        a pooler are one transaction for this."""
        with self.guarded(operation) as connection:
            if self.pooled and not self._depth:
                with self.transaction(operation):
                    yield connection
            else:
                yield connection

    @contextmanager
    def guarded(self, operation: str) -> Iterator[psycopg.Connection[Row]]:
        """Give the connection to a body; what goes wrong there becomes a ``JournalError`` of ``operation``."""
        began = time.monotonic()
        try:
            yield self.open()
        except (psycopg.Error, UnicodeError) as error:
            raise failure_of(operation, error) from error
        finally:
            self._settle(began)

    def open(self) -> psycopg.Connection[Row]:
        """Return the connection, made anew if there is none.

        Raises:
            psycopg.Error: the database cannot be reached. Use it inside of ``guarded``.
        """
        if self._connection is None:
            connection = connect(self._url, self._application_name)
            try:
                self.pooled = _prepare(connection, self.schema)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._prepared = (
                Unnamed(connection, settings_of(self.schema, connection).as_bytes(connection))
                if self.pooled
                else Prepared(connection)
            )
            self.connections += 1
        return self._connection

    @property
    def connection(self) -> psycopg.Connection[Row] | None:
        """The connection of the next statement; None if that will open one."""
        return self._connection

    def statements(self) -> Prepared:
        """Return the statements of the connection, opened if need be. Use it inside of ``guarded``."""
        self.open()
        assert self._prepared is not None, "an open connection has its statements"
        return self._prepared

    def connect(self) -> int:
        """Return the number of the connection that the next statement uses, opened if need be."""
        with self.guarded("connect"):
            return self.connections

    def skip_numbers(self) -> None:
        """Call it before others may see numbers that a crash forgets: see ``queries/skip_numbers.sql``."""
        if self._connection is None or self._skipped_on != self.connections:
            connection = self.connect()
            self.rows("skip_numbers", {})
            self._skipped_on = connection

    def renew(self) -> None:
        """Connect if there is no connection, or one that the server has ended: it has said so on the socket. So
        nothing is sent through that one, which could not be repeated."""
        if self._prepared is None or self._prepared.heard():
            self.close()
            with self.guarded("connect"):
                return

    def fileno(self) -> int | None:
        """Return the connection's socket; None while there is no connection, or a broken one that was not met yet."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.fileno()

    def heed(self) -> None:
        """Read what came between two statements. It is the end of the connection, or nothing of interest.

        Raises:
            JournalError: the connection has ended.
        """
        with self.guarded("heed") as connection:
            connection.pgconn.consume_input()

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection, self._prepared = self._connection, None, None
        if connection is not None:
            connection.close()

    def _settle(self, began: float) -> None:
        # A statement that was interrupted leaves a connection of which nobody knows where its answers begin.
        if self._depth or self._connection is None:
            return  # inside of a transaction, whose end decides
        if self._connection.pgconn.transaction_status != TransactionStatus.IDLE:
            self.close()
        elif time.monotonic() - began >= SLOW_S:
            self._plan_anew()

    def _plan_anew(self) -> None:
        now = time.monotonic()
        if self._prepared is not None and now - self._planned_at >= REPLAN_S:
            self._planned_at = now
            try:
                self._prepared.discard_plans()
            except psycopg.Error:
                self.close()  # the connection is lost; the next call opens another
            except BaseException:
                self.close()  # interrupted: an answer is under way
                raise


def failure_of(operation: str, error: Exception) -> JournalError:
    """Return what a call failed with: one that would fail again with the same values is ``refused``."""
    refused = isinstance(
        error, UnicodeError | psycopg.DataError | psycopg.IntegrityError | ProgramLimitExceeded
    )
    if isinstance(error, CheckViolation):  # the partition was chosen before another one was attached
        refused = False
    too_slow = isinstance(error, psycopg.errors.QueryCanceled)
    return JournalError(operation.replace("_", " "), reason_of(error), refused=refused, too_slow=too_slow)


def _prepare(connection: psycopg.Connection[Row], schema: str) -> bool:
    """Make the connection ours, and return whether a pooler stands between: then nothing is set that would stay."""
    # One type for every integer: a statement is prepared once for each combination of parameter types.
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    arrays.adapt(connection)
    settings = _settings(schema, connection)
    rows = connection.execute(
        "select pg_backend_pid() <> %s, set_config(name, value, pg_backend_pid() <> %s)"
        " from unnest(%s::text[], %s::text[]) as setting(name, value)",
        [connection.info.backend_pid, connection.info.backend_pid, list(settings), list(settings.values())],
        prepare=False,
    ).fetchall()
    pooled = bool(rows[0][0])
    if pooled:
        with connection.transaction():  # one that deals out sessions by the statement refuses here
            connection.execute(settings_of(schema, connection), prepare=False)
    return pooled


def _settings(schema: str, connection: psycopg.Connection[Row]) -> dict[str, str]:
    newer = _SETTINGS_OF_17 if connection.info.server_version >= 170_000 else {}
    return {**_SETTINGS, **newer, "search_path": sql.Identifier(schema).as_string(connection)}


def settings_of(schema: str, connection: psycopg.Connection[Row]) -> sql.Composed:
    """Return the statement that makes the settings until the end of its transaction."""
    settings = _settings(schema, connection)
    made = (
        sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    )
    return sql.SQL("select {}, {}").format(_KEEP_COMMIT, sql.SQL(", ").join(made))
