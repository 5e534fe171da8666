"""The lanes of an engine as threads, each with a desk (a connection) of its own.

    engine's loop ── submit ──► queue of the lane ──► thread: work(desk) ──► completions ── wake ──► engine's loop

Two threads share the ``COMMIT`` queue, so that one encodes its batch while the other waits for the disk. All
completions that gather before the loop looks cost one wake together.

The ``LEASE`` lane also minds its connection while it has nothing to do: the engine is held by it (L4), so when it
breaks it is made anew within milliseconds, and not at the next heartbeat.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from queue import Empty, SimpleQueue

from continuum.errors import JournalError
from continuum.ports.offload import Completion, Desk, Lane, Line, Work
from continuum.runtime.role import log
from continuum.runtime.wake import Wake

THREADS: dict[Lane, int] = {Lane.COMMIT: 2, Lane.READ: 1, Lane.LEASE: 1}
MEND_S = 1.0  # between two tries to connect again
_CLOSE_S = 5.0

OpenDesk = Callable[[], AbstractContextManager[Desk]]


class ThreadOffload:
    """The ``Offload`` of an engine process.

    ``open_desk`` is entered in the thread that uses the desk, at its first work; if that fails the work ends in a
    ``JournalError`` and the next one tries again. ``wake`` is set for new completions, which ``drain`` returns.
    """

    def __init__(self, open_desk: OpenDesk, wake: Wake) -> None:
        self._open_desk = open_desk
        self._wake = wake
        self._completions: deque[Completion] = deque()
        self._queues: dict[Lane, SimpleQueue[tuple[int, Work] | None]] = {
            lane: SimpleQueue() for lane in Lane
        }
        self._leases = Wake()  # something is in the queue of the lane
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name=f"{lane.value}-{number}", daemon=True)
            for lane, count in THREADS.items()
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, lane: Lane, ticket: int, work: Work) -> None:
        """Queue ``work`` for a thread of the lane."""
        self._put(lane, (ticket, work))

    def drain(self) -> list[Completion]:
        """Return the completions since the last call, in order; for the loop's thread."""
        completions = self._completions
        return [completions.popleft() for _ in range(len(completions))]

    def close(self) -> None:
        """Let the threads finish what is queued, close their desks and end."""
        for lane, count in THREADS.items():
            for _ in range(count):
                self._put(lane, None)
        for thread in self._threads:
            thread.join(_CLOSE_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._leases.close()

    def _put(self, lane: Lane, item: tuple[int, Work] | None) -> None:
        self._queues[lane].put(item)
        if lane is Lane.LEASE:
            self._leases.set()

    def _next(self, lane: Lane, line: Line | None) -> tuple[int, Work] | None:
        """Wait for the lane's next work, and mind its connection meanwhile."""
        queue = self._queues[lane]
        if lane is not Lane.LEASE or line is None:
            return queue.get()
        while True:
            self._leases.clear()
            try:
                return queue.get_nowait()
            except Empty:
                _mind(line, self._leases)

    def _serve(self, lane: Lane) -> None:
        completions, wake = self._completions, self._wake
        with ExitStack() as stack:
            desk: Desk | None = None
            while (item := self._next(lane, desk.line if desk is not None else None)) is not None:
                ticket, work = item
                try:
                    if desk is None:
                        desk = stack.enter_context(self._open_desk())
                    completion = Completion(ticket, work(desk))
                except JournalError as error:
                    completion = Completion(ticket, error=error)
                except Exception as error:  # noqa: BLE001 - a lane that ended would stop every run of the engine
                    log.exception("work of lane %s failed", lane.value)
                    completion = Completion(ticket, error=JournalError(lane.value, repr(error), refused=True))
                completions.append(completion)
                del item, work, completion  # neither a batch nor its answer may live until the next one comes
                wake.set()


def _mind(line: Line, work: Wake) -> None:
    """Wait until there is work, or something of the connection to be seen to."""
    poll = select.poll()
    poll.register(work.fileno(), select.POLLIN)
    descriptor = line.fileno()
    if descriptor is not None:
        poll.register(descriptor, select.POLLIN)
    ready = [fd for fd, _ in poll.poll(None if descriptor is not None else MEND_S * 1000)]
    if work.fileno() in ready:
        return
    try:
        line.mend()
    except JournalError as error:
        log.debug("%s; the engine's lock is not held meanwhile", error)
    except Exception:  # noqa: BLE001 - a lane that ended would stop every run of the engine
        log.exception("the connection of lane %s cannot be mended", Lane.LEASE.value)
