"""Journal work that must not stop an engine's loop: it is submitted, and its end comes back as a completion.

Real lanes are threads with a connection each; in a simulation they are entries of the virtual clock. Work of one
lane starts in order; ``COMMIT`` has two threads, so two of its calls may run side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from continuum.errors import JournalError
from continuum.ports.dispatch import Dispatch
from continuum.ports.journal import Journal


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


class Offload(Protocol):
    def submit(self, lane: Lane, ticket: int, work: Callable[[Desk], object]) -> None:
        """Run ``work`` on the lane; its completion reaches the engine's ``complete``."""
        ...
