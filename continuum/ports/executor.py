"""What runs activities: threads and an event loop in a worker, entries of the virtual clock in a simulation.

Protocol of an attempt::

    start(task) ──► [queued] ──► running ──► finished()      exactly once, unless
                        └── stop(key) ──┘──► nothing more is heard of it

No method blocks. How an attempt ends (value, exception, time-out) is already normalized in its ``Finished`` (A13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from continuum.wire.messages import Execute, Finished, Key


class Executor(Protocol):
    def start(self, task: Execute, slot: int = 0) -> None:
        """Run the attempt, at once or when one of the slots is free. The caller sees to it that no key comes twice.
        ``slot``: of the register, where its beginning is noted."""
        ...

    def stop(self, key: Key) -> None:
        """End the attempt without a result: a queued one never starts, an ``async def`` is cancelled, a threaded
        ``def`` is abandoned (it goes on, and its result is dropped), an isolated one is killed with its children.
        Unknown keys are ignored."""
        ...

    def heartbeats(self) -> Sequence[tuple[Key, bytes]]:
        """Return the last details that attempts have said since the last call, one for each that said any."""
        ...

    @property
    def beating(self) -> bool:
        """``heartbeats`` has something."""
        ...

    def finished(self) -> Sequence[Finished]:
        """Return, once each, the attempts that ended since the last call."""
        ...

    def tick(self) -> None:
        """Do what time brings: end attempts that run for too long, start threads where work waits behind slow ones."""
        ...

    def wake_at(self) -> float:
        """When ``tick`` wants to run next, by the monotonic clock; ``inf`` for never."""
        ...

    @property
    def running(self) -> int: ...

    @property
    def queued(self) -> int: ...

    @property
    def stuck(self) -> Sequence[str]:
        """What does not go on, or goes on although it is over: a line each, for a person."""
        ...

    @property
    def worn_out(self) -> bool:
        """So many threads are lost to abandoned attempts that the process should be replaced (A9)."""
        ...
