"""What has begun, written down where ``kill -9`` does not reach (A16).

A worker notes each attempt in its `Register` before any of its code runs, and until nobody will ask for it any more.
When the worker, or the whole node, is dead, `Beginnings` tell what stood there: an attempt that does not has not begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from continuum.wire.messages import Key


class Register(Protocol):
    """One worker's notes. ``free`` has the slots for its loop to take from, and to give back to when the outcome of an
    attempt is durable; ``more`` returns one when it is empty. ``note`` is for any thread."""

    free: deque[int]

    def more(self) -> int: ...

    def note(self, slot: int, key: Key) -> None:
        """This attempt begins now."""
        ...


class Beginnings(Protocol):
    """The notes of the dead."""

    def begun(self, boot: str, incarnation: str | None = None) -> Set[Key] | None:
        """Return what has begun, and may not have ended, in this life of a node, or in one worker of it.

        Of a life that is not ours this is known only when it is over, and if it was on this host and the host has not
        been started anew: else None. In our own, the notes of workers that live may be missing: they can be asked.
        """
        ...


class NothingNoted:
    """The register and the beginnings of a node that keeps none: what may have begun counts as begun."""

    def __init__(self) -> None:
        self.free: deque[int] = deque(maxlen=0)

    def more(self) -> int:
        return 0

    def note(self, slot: int, key: Key) -> None:
        pass

    def begun(self, boot: str, incarnation: str | None = None) -> Set[Key] | None:
        return None


NOTHING_NOTED = NothingNoted()
