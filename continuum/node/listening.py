"""A role's LISTEN connection: kept open, and dialled again by a thread while the database is away.

Connecting may take seconds (an embedded server that was killed is started again first), and the role's loop
must go on meanwhile; so a thread dials, and the loop takes over what it has opened.

Behind a connection pooler nothing is ever heard. Then the thread stays, and lets the role look four times a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from continuum.config import Database, open_database
from continuum.errors import ContinuumError
from continuum.node.child import Site
from continuum.ports.mailbox import Notice
from continuum.postgres import Listener
from continuum.runtime.role import log
from continuum.runtime.router import DEAF_LOOK_S
from continuum.runtime.shell import Shell
from continuum.runtime.wake import Wake

_DELAY_S, _DELAY_S_MAX = 0.1, 2.0


class Listening:
    """Feeds notices to ``on_notices``, and calls ``on_connected`` whenever a connection stands: what was announced
    before is lost. ``on_broken``: there is none. ``on_deaf``, by default ``on_connected``, is called again and again
    while there is one through which nothing arrives. ``dial`` opens a connection, or raises."""

    def __init__(
        self,
        shell: Shell,
        dial: Callable[[], Listener],
        on_notices: Callable[[list[Notice]], None],
        on_connected: Callable[[], None],
        on_broken: Callable[[], None] = lambda: None,
        on_deaf: Callable[[], None] | None = None,
    ) -> None:
        self._shell = shell
        self._dial = dial
        self._on_notices = on_notices
        self._on_connected, self._on_broken = on_connected, on_broken
        self._on_deaf = on_connected if on_deaf is None else on_deaf
        self._deaf: Listener | None = None
        self._opened: SimpleQueue[Listener] = SimpleQueue()
        self._wake = Wake()
        self._ended = threading.Event()
        shell.watch(self._wake.fileno(), self._take_over)
        self._start_dialling()

    def close(self) -> None:
        """Dial no more."""
        self._ended.set()

    def _start_dialling(self) -> None:
        threading.Thread(target=self._redial, name="listen", daemon=True).start()

    def _redial(self) -> None:
        delay_s = _DELAY_S
        while not self._ended.is_set():
            try:
                listener = self._dial()
            except ContinuumError as error:
                if delay_s == _DELAY_S:
                    log.warning("no notifications for now: %s; trying again until there are", error)
                self._ended.wait(delay_s)
                delay_s = min(2 * delay_s, _DELAY_S_MAX)
            else:
                self._opened.put(listener)
                self._wake.set()
                if listener.deaf:
                    self._pulse(listener)
                return

    def _pulse(self, listener: Listener) -> None:
        while listener.connected and not self._ended.wait(DEAF_LOOK_S):
            self._wake.set()

    def _take_over(self) -> None:
        self._wake.clear()
        while not self._opened.empty():
            listener = self._opened.get()
            self._watch(listener)
            self._deaf = listener if listener.deaf else None
            if self._deaf is None:
                self._on_connected()
        if self._deaf is not None and self._deaf.connected:
            self._on_deaf()

    def _watch(self, listener: Listener) -> None:
        descriptor = listener.fileno()
        self._shell.watch(descriptor, lambda: self._read(listener, descriptor))

    def _read(self, listener: Listener, descriptor: int) -> None:
        notices = listener.poll()
        if notices:
            self._on_notices(notices)
        if not listener.connected:
            log.info("the connection for notifications broke; dialling again")
            self._shell.unwatch(descriptor)
            self._on_broken()
            self._start_dialling()


class Dialler:
    """Opens LISTEN connections of a site, for some of its channels or a ``private`` one. With ``revives``, on the
    embedded database, it becomes a user of the server, and starts it again when it is dead: one of the node has to."""

    def __init__(self, site: Site, *channels: str, private: str | None = None, revives: bool = False) -> None:
        self._site, self._channels, self._private, self._revives = site, channels, private, revives
        self._database: Database | None = None

    def __call__(self) -> Listener:
        if self._revives and self._site.choice.embedded_root is not None:
            if self._database is None:
                self._database = open_database(self._site.choice)
            if self._database.ensure_running():
                log.warning("the embedded PostgreSQL was dead and has been started again")
        listener = Listener(self._site.url, self._site.config.schema, self._channels, self._private)
        listener.reconnect()
        return listener
