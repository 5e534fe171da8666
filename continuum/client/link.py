"""A client's connections: opened when first used, few, shared by all its threads, and patient with an outage.

The first connection fails at once and in one line, because then a setting is wrong more often than not. Once the
client has been connected, an outage is a restart that ends: what may be repeated is tried again for ``retry_s``.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import BoundedSemaphore, Event, Lock
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
from continuum.postgres import Listener, PostgresStore, check, migrate, open_store

T = TypeVar("T")

SESSIONS_MAX = 4
PAUSE_S_MIN = 0.02
PAUSE_S_MAX = 0.5
APPLICATION_NAME = "continuum-client"


class EndListener:
    """A connection that hears of the ends of runs. For one thread.

    Raises:
        JournalError: the database cannot be reached.
    """

    def __init__(self, url: str, schema: str) -> None:
        self._listener = Listener(url, schema, ["done"])
        self._listener.reconnect()
        self._bell, self._button = socket.socketpair()

    def wait(self, timeout_s: float) -> list[UUID]:
        """Return runs that ended, as soon as there is one, or nothing after the time.

        Raises:
            JournalError: the connection is lost; who ended meanwhile is not known.
        """
        _wait_readable(timeout_s, self._listener.fileno(), self._bell.fileno())
        return [notice.run_id for notice in self._listener.poll() if notice.run_id is not None]

    def interrupt(self) -> None:
        """Let `wait` return at once, now or when it is called next. From any thread; once is enough for good."""
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
        self._idle: list[PostgresStore] = []
        self._slots = BoundedSemaphore(SESSIONS_MAX)
        self._closed = Event()

    def open(self) -> str:
        """Make the first connection, if it was not made yet; return the URL.

        Raises:
            ConfigurationError: the database cannot be reached; says why and what to do.
            SchemaVersionError: its schema is not the one that this code needs.
            EmbeddedPostgresError: the embedded server cannot be started.
        """
        with self._opening:
            self.check_open()
            if self._database is None:
                database = open_database(self._choice)
                try:
                    self._idle.append(_first(database, self.schema))
                except BaseException:
                    database.close()
                    raise
                self._database = database
            return self._database.url

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
        url = self.open()
        with nullcontext() if spare else self._slots:
            store = self._idle.pop() if self._idle else open_store(url, self.schema, APPLICATION_NAME)
            try:
                _connect(store, url)
                yield store
            finally:
                if self._closed.is_set():
                    store.session.close()
                else:
                    self._idle.append(store)

    def repeat(self, operation: Callable[[PostgresStore], T], *, safe: bool = True) -> T:
        """Run an operation, again and again while the database is away. One that is not ``safe`` to do twice is
        repeated only as long as there was no connection to do it with.

        Raises:
            JournalError: the database was away for too long.
        """
        deadline = monotonic() + self._retry_s
        pause_s = PAUSE_S_MIN
        while True:
            sent = False
            try:
                with self.store() as store:
                    sent = True
                    return operation(store)
            except SchemaVersionError:
                raise
            except JournalError as error:
                if (sent and not safe) or not _is_outage(error) or monotonic() + pause_s > deadline:
                    raise
            self._revive()
            if self._closed.wait(pause_s):
                raise ContinuumError("the client was closed while the database was away; nothing is known")
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def listen(self) -> EndListener:
        """Return an open LISTEN on the ends of runs.

        Raises:
            JournalError: the database cannot be reached.
        """
        self._revive()
        return EndListener(self.open(), self.schema)

    def close(self) -> None:
        """Close what is not lent; what is follows when it comes back."""
        self._closed.set()
        with self._opening:
            while self._idle:
                self._idle.pop().session.close()
            if self._database is not None:
                self._database.close()
                self._database = None

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


def _connect(store: PostgresStore, url: str) -> None:
    """Connect if necessary. A server that stopped has said so on the socket: such a connection is made anew before
    anything is sent through it, which could not be repeated."""
    try:
        with store.session.guarded("connect") as connection:
            if _wait_readable(0, connection.fileno()):
                store.session.close()
                store.session.open()
    except JournalError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.OperationalError):
            raise JournalError("connect", describe_connection_failure(url, cause)) from cause
        raise


def _wait_readable(timeout_s: float, *descriptors: int) -> bool:
    """Whether one of them is readable before the time is over. Not select(), which ends at 1,024 open files."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _is_outage(error: JournalError) -> bool:
    """Whether the database was away, not wrong: the statement was fine, and its connection was not."""
    cause = error.__cause__
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
