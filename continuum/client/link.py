"""A client's connections: opened when first used, few, shared by all its threads, and patient with an outage.

The first connection fails at once and in one line, because then a setting is wrong more often than not. Once the
client has been connected, an outage is a restart that ends: what may be repeated is tried again for ``retry_s``.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Condition, Event, Lock, RLock
from time import monotonic
from typing import TypeVar
from uuid import UUID

import psycopg

from continuum.config import (
    Database,
    describe_connection_failure,
    open_database,
    resolve_database,
    schema_of,
)
from continuum.errors import ConfigurationError, ContinuumError, JournalError, SchemaVersionError
from continuum.ports.catalog import Ending
from continuum.postgres import Listener, PostgresStore, check, migrate, open_store
from continuum.postgres.catalog import PostgresCatalog
from continuum.postgres.notices import ending_of, ends_of

T = TypeVar("T")

SESSIONS_MAX = 4
PAUSE_S_MIN = 0.02
PAUSE_S_MAX = 0.5
WAIT_S_MAX = 3600.0  # the system counts milliseconds in 32 bits
APPLICATION_NAME = "continuum-client"


class EndListener:
    """A connection that hears of the ends of runs, and looks at them. For one thread at a time.

    Raises:
        JournalError: the database cannot be reached.
    """

    def __init__(self, url: str, schema: str) -> None:
        try:
            self._bell, self._button = socket.socketpair()
        except OSError as error:
            raise JournalError("listen", f"{error.strerror}: this process has too many files open") from error
        self._listener = Listener(url, schema, ["done"])
        try:
            self._listener.reconnect()
        except BaseException:
            self.close()
            raise
        self._catalog = PostgresCatalog(self._listener.session)
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._heard = select.poll()  # not select(), which ends at 1,024 open files
        self._heard.register(self._listener.fileno(), select.POLLIN)
        self._heard.register(self._bell, select.POLLIN)
        self._rung = (self._bell.fileno(), select.POLLIN)
        self._told: dict[int, bytes] = {}  # by the last `wait`

    @property
    def deaf(self) -> bool:
        """Whether nothing will ever be heard: a connection pooler stands between."""
        return self._listener.deaf

    def wait(self, timeout_s: float | None) -> Collection[int]:
        """Return the numbers of the ids of runs that ended, as soon as there is one, or nothing after the time.

        Raises:
            JournalError: the connection is lost; who ended meanwhile is not known.
        """
        payloads = self._listener.payloads()
        if not payloads:
            self._listener.fileno()  # raises if the connection is lost
            heard = self._heard.poll(None if timeout_s is None else min(timeout_s, WAIT_S_MAX) * 1000)
            if self._rung in heard:
                self._bell.recv(4096)
            payloads = self._listener.payloads()
        self._told = {}
        for payload in payloads:
            self._told.update(ends_of(payload))
        return self._told

    def look(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Ending]:
        """Say where these chains stand: by what `wait` was told, else by the connection that heard of them.

        Raises:
            JournalError: the connection is lost.
        """
        found: dict[UUID, Ending] = {}
        for run_id in run_ids:
            ending = ending_of(run_id, self._told.get(run_id.int, b""))
            if ending is not None:
                found[run_id] = ending
        rest = [run_id for run_id in run_ids if run_id not in found] if len(found) < len(run_ids) else ()
        if rest:
            if not self._listener.connected:
                raise JournalError("listen", "the connection is lost")
            found.update(self._catalog.endings(rest))
        return found

    def interrupt(self) -> None:
        """Let `wait` return at once, now or when it is called next. From any thread."""
        with suppress(BlockingIOError):  # it is full of them
            self._button.send(b"!")

    def close(self) -> None:
        self._listener.close()
        self._bell.close()
        self._button.close()


class Link:
    """The way to one instance of one database. Thread-safe; not across a fork."""

    def __init__(self, database: str | None, instance: str, retry_s: float) -> None:
        self.schema = schema_of(instance)
        self._choice = resolve_database(database)
        self._retry_s = retry_s
        self._opening = Lock()
        self._database: Database | None = None
        self._lending = RLock()
        self._returned = Condition(self._lending)
        self._idle: list[PostgresStore] = []  # connected lately: the last ones
        self._spare: PostgresStore | None = None  # for the one thread that others wait for
        self._closed = Event()

    def open(self) -> str:
        """Make the first connection, if it was not made yet; return the URL.

        Raises:
            ConfigurationError: the database cannot be reached; says why and what to do.
            SchemaVersionError: its schema is not the one that this code needs.
            EmbeddedPostgresError: the embedded server cannot be started.
        """
        database = self._database
        return self._open() if database is None else database.url

    def check_open(self) -> None:
        """Raise if the client was closed."""
        if self._closed.is_set():
            raise ContinuumError("this client is closed; make a new one")

    @contextmanager
    def store(self, *, spare: bool = False) -> Iterator[PostgresStore]:
        """Lend a connected store to a body. ``spare``: beyond the limit, for the one thread that others wait for.

        Raises:
            JournalError: the database cannot be reached; nothing was sent.
        """
        store = self._borrow(spare=spare)
        try:
            yield store
        finally:
            self._give_back(store, spare=spare)

    def repeat(self, operation: Callable[[PostgresStore], T], *, safe: bool = True) -> T:
        """Run an operation, again and again while the database is away. One that is not ``safe`` to do twice is
        repeated only as long as there was no connection to do it with.

        Raises:
            JournalError: the database was away for too long.
        """
        deadline = monotonic() + self._retry_s
        pause_s = PAUSE_S_MIN
        while True:
            store = None
            try:
                store = self._borrow()
                return operation(store)
            except SchemaVersionError:
                raise
            except JournalError as error:
                sent = store is not None
                if (sent and not safe) or not _is_outage(error) or monotonic() + pause_s > deadline:
                    raise
            finally:
                if store is not None:
                    self._give_back(store)
            self._revive()
            if self._closed.wait(pause_s):
                raise ContinuumError("the client was closed while the database was away; nothing is known")
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def listen(self) -> EndListener | None:
        """Return an open LISTEN on the ends of runs; None where no notification arrives.

        Raises:
            JournalError: the database cannot be reached.
        """
        self._revive()
        listener = EndListener(self.open(), self.schema)
        if not listener.deaf:
            return listener
        listener.close()
        return None

    def close(self) -> None:
        """Close what is not lent; what is follows when it comes back."""
        self._closed.set()
        with self._opening:
            with self._lending:
                for store in (*self._idle, *([self._spare] if self._spare else [])):
                    store.session.close()
                self._idle, self._spare = [], None
                self._returned.notify_all()
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> str:
        with self._opening:
            self.check_open()
            if self._database is None:
                database = open_database(self._choice)
                try:
                    first = _first(database, self.schema)
                except BaseException:
                    database.close()
                    raise
                others = [
                    open_store(database.url, self.schema, APPLICATION_NAME) for _ in range(SESSIONS_MAX - 1)
                ]
                self._idle = [*others, first]
                self._database = database
            return self._database.url

    def _borrow(self, *, spare: bool = False) -> PostgresStore:
        url = self.open()
        with self._lending:
            while not (self._idle or spare):
                self.check_open()
                self._returned.wait()
            if spare:
                store, self._spare = self._spare or open_store(url, self.schema, APPLICATION_NAME), None
            else:
                store = self._idle.pop()
        try:
            store.session.renew()
        except BaseException as error:
            self._give_back(store, spare=spare)
            cause = error.__cause__
            if isinstance(error, JournalError) and isinstance(cause, psycopg.OperationalError):
                raise JournalError("connect", describe_connection_failure(url, cause)) from cause
            raise
        return store

    def _give_back(self, store: PostgresStore, *, spare: bool = False) -> None:
        with self._lending:
            if self._closed.is_set() or (spare and self._spare is not None):
                store.session.close()
            elif spare:
                self._spare = store
            else:
                self._idle.append(store)
                self._returned.notify()

    def _revive(self) -> None:
        """The embedded server is ours to start again if somebody killed it."""
        database = self._database
        if database is not None and database.embedded and not self._closed.is_set():
            database.ensure_running()


def _first(database: Database, schema: str) -> PostgresStore:
    store = open_store(database.url, schema, APPLICATION_NAME)
    try:
        with store.session.guarded("connect") as connection:
            if not database.embedded:
                check(connection, schema)
    except JournalError as error:
        store.close()
        cause = error.__cause__
        if isinstance(cause, psycopg.OperationalError):
            raise ConfigurationError(describe_connection_failure(database.url, cause)) from cause
        raise
    if database.embedded:
        migrate(database.url, schema)
    return store


def _is_outage(error: JournalError) -> bool:
    """Whether the database was away, not wrong: the statement was fine, and its connection was not."""
    cause = error.__cause__
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
