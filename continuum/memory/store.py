"""The store in memory: one database behind the four ports."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from continuum.memory.catalog import MemoryCatalog
from continuum.memory.database import Database, Fault
from continuum.memory.dispatch import MemoryDispatch
from continuum.memory.journal import MemoryJournal
from continuum.memory.mailbox import MemoryMailbox
from continuum.ports.mailbox import Notice


class MemoryStore:
    """Several stores see nothing of each other. ``clock``: the database's time, seconds since the epoch.

    Threads may call it, one at a time is served. With one thread and one clock it is deterministic: tokens
    and signal ids count from 1.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._open(Database(clock))

    def beside(self) -> MemoryStore:
        """Return another store on the same database: a session of its own."""
        store = object.__new__(MemoryStore)
        store._open(self._database)
        return store

    def close(self) -> None:
        """End the session, which holds owners no more; a later call begins another."""
        self.dispatch.close()

    def _open(self, database: Database) -> None:
        self._database = database
        self.journal = MemoryJournal(self._database)
        self.dispatch = MemoryDispatch(self._database)
        self.mailbox = MemoryMailbox(self._database)
        self.catalog = MemoryCatalog(self._database)

    @property
    def fault(self) -> Fault | None:
        """Called with an operation's name before it, and with ``name:after`` after its effect, such as
        ``commit`` and ``commit:after``. It raises ``JournalError`` to make the operation fail, or its answer
        get lost."""
        return self._database.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._database.fault = fault

    def subscribe(self, callback: Callable[[Notice], None]) -> None:
        """Call ``callback`` with every notice, after its transaction and before the operation returns."""
        self._database.subscribe(callback)

    def subscribe_ended(self, callback: Callable[[tuple[UUID, ...]], None]) -> None:
        """Call ``callback`` with the ids of runs that were announced as ended."""
        self._database.subscribe_ended(callback)
