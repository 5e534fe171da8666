"""A connection that listens: notifications of an instance, as notices.

A connection that broke has lost what was sent meanwhile. The listener says so by ``connected`` and waits for
``reconnect``: who owns it decides when, and looks into the tables afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from continuum.errors import JournalError
from continuum.ports.mailbox import Notice
from continuum.postgres.notices import channel_of, parse
from continuum.postgres.session import Row, connect, reason_of


class Listener:
    """``channels``: of ``due`` (runs and tasks), ``wake`` (mail, and news of owners) and ``done`` (ended runs). Not
    connected before ``reconnect``.

    Belongs to one thread.
    """

    def __init__(self, url: str, schema: str, channels: Sequence[str] = ("due", "wake")) -> None:
        self._url = url
        self._channels = tuple(channel_of(schema, name) for name in channels)
        self._connection: psycopg.Connection[Row] | None = None

    @property
    def connected(self) -> bool:
        """False before the first ``reconnect``, and from the ``poll`` that met a broken connection."""
        return self._connection is not None

    def reconnect(self) -> None:
        """Open a new connection and listen; what was notified before is lost.

        Raises:
            JournalError: the database cannot be reached.
        """
        self.close()
        try:
            connection = connect(self._url, "continuum-listener")
            try:
                for channel in self._channels:
                    connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            raise JournalError("listen", reason_of(error)) from error
        self._connection = connection

    def fileno(self) -> int:
        """Return the socket to wait on; it is readable when ``poll`` may have something.

        Raises:
            JournalError: there is no connection.
        """
        if self._connection is None:
            raise JournalError("listen", "not connected; reconnect first")
        return self._connection.fileno()

    def poll(self) -> list[Notice]:
        """Return what has arrived, without waiting; nothing while there is no connection."""
        connection = self._connection
        if connection is None:
            return []
        notices: list[Notice] = []
        try:
            connection.pgconn.consume_input()
            while (notification := connection.pgconn.notifies()) is not None:
                notices += parse(notification.extra.decode(errors="replace"))
        except psycopg.Error:
            self.close()
        return notices

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
