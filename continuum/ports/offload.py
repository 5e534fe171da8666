"""Journal work that must not stop an engine's loop: it is submitted, and its end comes back as a completion.

Real lanes are threads with a connection each; in a simulation they are entries of the virtual clock. Work of one
lane starts in order; ``COMMIT`` has two threads, so two of its calls may run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from enum import Enum
from typing import Protocol
from uuid import UUID

import msgspec

from continuum.errors import JournalError
from continuum.ports.dispatch import Dispatch, Told
from continuum.ports.journal import Journal, Lease, Mail, RunCommit


class Lane(Enum):
    COMMIT = "commit"
    READ = "read"  # histories and mail
    LEASE = "lease"  # heartbeat and registration: never behind a long read


class Line(Protocol):
    """The connection behind a desk. Between two works nothing comes on it but its end."""

    def fileno(self) -> int | None:
        """What can be read when something comes; None while there is no connection."""
        ...

    def mend(self) -> None:
        """Read what has come; if that is the end, connect again and hold what was held.

        Raises:
            JournalError: the database cannot be reached.
        """
        ...


class Desk(msgspec.Struct, frozen=True):
    """What a lane's work may use. ``line``: to be mended as soon as it breaks, for the locks that live with it."""

    journal: Journal
    dispatch: Dispatch
    line: Line | None = None


class Completion(msgspec.Struct, frozen=True):
    """The end of a submitted work: its value, or the error, never both."""

    ticket: int
    value: object = None
    error: JournalError | None = None


Work = Callable[[Desk], object]


class CommitWork(msgspec.Struct, frozen=True):
    """`Journal.commit`, as work that a poster understands."""

    batch: Sequence[RunCommit]
    announce: bool = False
    told: Told | None = None

    def __call__(self, desk: Desk) -> Set[UUID]:
        return desk.journal.commit(self.batch, self.announce, self.told)


class MailWork(msgspec.Struct, frozen=True):
    """`Journal.mail`, as work that a poster understands. ``is_bare``: so are all these runs (`RunCommit.is_bare`)."""

    leases: Sequence[Lease]
    is_bare: bool = False
    after: Sequence[int] = ()

    def __call__(self, desk: Desk) -> list[Mail]:
        return desk.journal.mail(self.leases, self.after)


class Poster(Protocol):
    """A connection that is given work and asked for its end later, by a loop that waits for neither.

    One work at a time. What goes wrong with the connection or the work closes it; it may be opened again.
    """

    def open(self) -> None:
        """Connect. The only method that blocks; it may be called in another thread than the others.

        Raises:
            JournalError: the database cannot be reached.
        """
        ...

    def fileno(self) -> int | None:
        """What can be read when ``take`` may have something; None while it is closed."""
        ...

    def post(self, work: Work) -> bool:
        """Begin the work; False if it is not of the kinds that can be posted: nothing was sent.

        Raises:
            JournalError: the work cannot be told, or the connection is lost, which closes it.
        """
        ...

    def unsent(self) -> bool:
        """Send what did not fit into the socket; True if there is more, to be sent when it takes it.

        Raises:
            JournalError: the connection is lost.
        """
        ...

    def take(self) -> tuple[object] | None:
        """Return what came of the work, in a tuple; None while it goes on.

        Raises:
            JournalError: it failed, or nobody knows; or nothing was posted and the connection has ended.
        """
        ...

    def close(self) -> None: ...


class Offload(Protocol):
    def submit(self, lane: Lane, ticket: int, work: Work) -> None:
        """Run ``work`` on the lane; its completion reaches the engine's ``complete``."""
        ...
