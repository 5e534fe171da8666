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
from continuum.postgres.notices import channel_of, parse, tells_outcome
from continuum.postgres.session import Row, Session


class Listener:
    """``channels``: of ``due`` (runs and tasks), ``wake`` (mail, and news of owners) and ``done`` (ended runs, and on a
    secret one their outcomes). ``private``: a channel by its full name. Not connected before ``reconnect``.

    Behind a connection pooler a LISTEN reaches nobody. Then the listener is ``deaf``: it is connected, nothing ever
    arrives, and its owner has to look often by itself.

    Belongs to one thread. ``session`` may ask by the same connection what a notice gives reason to ask, as long as
    the listener is ``connected``.
    """

    def __init__(
        self, url: str, schema: str, channels: Sequence[str] = ("due", "wake"), private: str | None = None
    ) -> None:
        self.session = Session(url, schema, "continuum-listener" if private is None else "continuum-ear")
        named = [channel_of(schema, name) for name in channels]
        self._channels = tuple(named if private is None else [*named, private])
        self._tells_outcomes = "done" in channels
        self._secret = b""  # the channel of outcomes
        self._listening: psycopg.Connection[Row] | None = None

    @property
    def deaf(self) -> bool:
        """Whether nothing will arrive; known once it is connected."""
        return self.session.pooled

    @property
    def connected(self) -> bool:
        """False before the first ``reconnect``, and from whatever met a broken connection."""
        return self._listening is not None and self._listening is self.session.connection

    def reconnect(self) -> None:
        """Open a new connection and listen; what was notified before is lost.

        Raises:
            JournalError: the database cannot be reached.
        """
        self.close()
        try:
            with self.session.guarded("listen") as connection:
                if self.deaf:
                    self._listening = connection
                    return
                channels = self._channels
                if self._tells_outcomes:
                    for (secret,) in self.session.rows("channel", {}):
                        self._secret, channels = secret.encode(), (*channels, secret)
                for channel in channels:
                    connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                # The last statement of a session stands in pg_stat_activity: not the name of a secret channel.
                connection.execute("select")
        except BaseException:
            self.close()
            raise
        self._listening = connection

    def fileno(self) -> int:
        """Return the socket to wait on; it is readable when ``poll`` may have something. What came together with an
        answer to the session is not on the socket any more: after that, ``poll`` first.

        Raises:
            JournalError: there is no connection.
        """
        if self._listening is None or not self.connected:
            raise JournalError("listen", "not connected; reconnect first")
        return self._listening.fileno()

    def poll(self) -> list[Notice]:
        """Return what has arrived, without waiting; nothing while there is no connection."""
        return [notice for payload in self.payloads() for notice in parse(payload)]

    def payloads(self) -> list[bytes]:
        """Return what has arrived as it was sent, as `poll` does; no outcomes but those of the secret channel, because
        anybody may notify the others."""
        connection = self._listening
        if connection is None or connection is not self.session.connection:
            return []
        payloads: list[bytes] = []
        pgconn = connection.pgconn
        try:
            pgconn.consume_input()
            while (notification := pgconn.notifies()) is not None:
                if notification.relname == self._secret or not tells_outcome(notification.extra):
                    payloads.append(notification.extra)
        except psycopg.Error:
            self.close()
        return payloads

    def close(self) -> None:
        self._listening = None
        self.session.close()
