"""The advisory locks of owners that a session holds, as long as it lasts.

Holders share an owner's lock, so that a session which comes back need not wait for the end of the one that it
replaces, and so that several processes can stand for one owner. Whoever gets the lock alone knows that none is left.

A session that broke has let go of its locks though its process lives. Therefore they are taken again before anything
else is said for their owners, and, where somebody waits on ``fileno`` between two calls, at once.
"""

from __future__ import annotations

from contextlib import suppress

from continuum.errors import JournalError
from continuum.postgres.session import Session


class Holds:
    """Belongs to the thread of its session. Also a ``Line`` (``ports/offload.py``)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._held: dict[
            str, int
        ] = {}  # owner -> the connection, counted from 1, on which the lock was taken

    def take(self, owner: str) -> bool:
        """Hold the owner's lock to the end of the session, and again in every session that replaces it; False if a
        connection pooler stands between, which gives no session to hold it."""
        with self._session.guarded("hold") as connection:
            pid = connection.info.backend_pid
        held = bool(self._session.rows("hold", {"owner": owner, "pid": pid}))
        if held:
            self._held[owner] = self._session.connections
        return held

    def renew(self, owner: str) -> None:
        """Take the lock again, if it was held on a connection that has ended."""
        if owner in self._held and self._held[owner] != self._session.connect():
            self.take(owner)

    def fileno(self) -> int | None:
        return self._session.fileno()

    def mend(self) -> None:
        with suppress(JournalError):  # it has ended
            self._session.heed()
        for owner in list(self._held):
            self.renew(owner)
