"""A database of one process: a clock, a lock, transactions, notifications, and faults on demand.

Every operation of a port is one transaction::

    fault(name) ── lock: body reads and writes the tables ── notifications ── fault(name + ":after")

A fault before the body is an operation that did not happen; one after it is an operation that happened and
whose answer was lost. Bodies check everything before they write, so that there is nothing to roll back.
Subscribers are called without the lock, in the order of the transactions of one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from threading import Lock
from uuid import UUID

from continuum.memory.tables import Tables
from continuum.ports.dispatch import Told, Woken
from continuum.ports.mailbox import Notice

Fault = Callable[[str], None]


class Transaction:
    """What a body works with: the tables at one moment, and notifications to send when it is done."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.now = tables.now
        self.notices: list[Notice] = []
        self.ended: tuple[UUID, ...] = ()

    def notify(self, notice: Notice) -> None:
        """Send the notice on commit, once however often it was asked for."""
        if notice not in self.notices:
            self.notices.append(notice)

    def notify_mail(self, run_id: UUID, owner: str | None) -> None:
        """Tell the owner's node that the run has mail; without an owner, that a run is due."""
        self.notify(Notice("due") if owner is None else Notice("mail", run_id, owner))

    def tell_by(self, told: Told) -> None:
        """Leave out the mail that is told by message."""
        mail = {
            Woken(n.run_id, n.owner): n for n in self.notices if n.kind == "mail" and n.run_id is not None
        }
        left = told.take(list(mail))
        by_message = [notice for woken, notice in mail.items() if woken not in left]
        self.notices = [notice for notice in self.notices if notice not in by_message]


class Database:
    """``clock`` gives the database's time, seconds since the epoch; nothing else here knows the time (L3)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.fault: Fault | None = None
        self.sessions = count(1)
        self._clock = clock
        self._lock = Lock()
        self._tables = Tables()
        self._on_notice: list[Callable[[Notice], None]] = []
        self._on_ended: list[Callable[[tuple[UUID, ...]], None]] = []

    def subscribe(self, callback: Callable[[Notice], None]) -> None:
        self._on_notice.append(callback)

    def subscribe_ended(self, callback: Callable[[tuple[UUID, ...]], None]) -> None:
        self._on_ended.append(callback)

    @contextmanager
    def transaction(self, operation: str) -> Iterator[Transaction]:
        """Run the body as ``operation``, alone.

        Raises:
            JournalError: the fault hook said so.
        """
        if self.fault is not None:
            self.fault(operation)
        with self._lock:
            self._tables.now = self._clock()
            transaction = Transaction(self._tables)
            yield transaction
        self._deliver(transaction.notices, transaction.ended)
        if self.fault is not None:
            self.fault(operation + ":after")

    def _deliver(self, notices: Sequence[Notice], ended: tuple[UUID, ...]) -> None:
        for notice in notices:
            for on_notice in self._on_notice:
                on_notice(notice)
        if ended:
            for on_ended in self._on_ended:
                on_ended(ended)
