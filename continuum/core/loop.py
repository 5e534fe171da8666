"""The deterministic event loop of one run: a queue of callbacks, and timers that are durable.

asyncio's own tasks, futures, locks, queues, groups and time-outs run on it unchanged (they ask a loop for little),
and because nothing but the run's journal ever puts a callback into the queue, they do the same thing in the same
order each time (R4). There is no selector, no thread and no clock: ``time()`` is the time of the event being
processed, and ``call_later`` is a command to the machine.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from struct import Struct
from threading import local
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from uuid import UUID
from weakref import WeakSet

import msgspec

from continuum.core.commands.timer import DurableTimer, start_timer
from continuum.core.determinism import guard
from continuum.errors import ContinuumError
from continuum.model.retry import wait_s_of

if TYPE_CHECKING:
    from mmap import mmap

    from continuum.core.machine import Machine

RECORD_BYTES = 17
_write = Struct(f"{RECORD_BYTES}s").pack_into  # a third of the price of assigning to a slice


class Ready(msgspec.Struct, eq=False):
    """A callback that waits for its turn; what ``call_soon`` returns."""

    callback: Callable[..., object] | None
    args: Any
    context: Context | None

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None


class _Running(local):
    """The loop of the run whose code this thread runs, as asyncio knows it too: but asking asyncio is a system call
    in CPython before 3.12, and every effect asks."""

    loop: WorkflowLoop | None = None


running = _Running()


@contextmanager
def outside() -> Iterator[None]:
    """Run a body in no run: effects in it are refused, and the guard lets it pass."""
    inner, asyncios = running.loop, _get_running_loop()
    running.loop = None
    _set_running_loop(None)
    try:
        yield
    finally:
        running.loop = inner
        _set_running_loop(asyncios)


def _ignored(callback: Any, *args: Any, context: Context | None = None) -> Ready:
    return Ready(None, args, context)


class WorkflowLoop(AbstractEventLoop):
    """The loop of one run. Only :meth:`drain` runs callbacks; it ends when all of them wait. ``ready``: what is to run
    besides that which runs now.

    ``record`` says whose code is running, for whoever looks when the process has died of it: the 16 bytes of the run's
    id, and one that is 1 as long as it runs; then the same of a run whose history is so large that it is read alone
    (`note_reading`). An engine's process puts memory there that outlives it.
    """

    record: ClassVar[bytearray | mmap] = bytearray(2 * RECORD_BYTES)

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._mark = machine.identity.run_id.bytes + b"\1"
        # A run that waits has none: it would be a quarter of its memory.
        self.ready: deque[Ready] | None = None
        self._tasks: WeakSet[Task[Any]] | None = None
        guard.install(WorkflowLoop)  # type: ignore[type-abstract]

    def drain(self) -> None:
        ready = self.ready
        if ready is None:
            return
        outer, asyncios = running.loop, _get_running_loop()
        running.loop = self
        record = self.record
        _write(record, 0, self._mark)
        _set_running_loop(self)
        try:
            while ready:
                entry = ready.popleft()
                callback, context = entry.callback, entry.context
                if callback is None:
                    continue
                try:
                    if context is None:
                        callback(*entry.args)
                    else:
                        context.run(callback, *entry.args)
                except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - a user's callback
                    # A task stores what it raises as its end; asyncio reports the rest to the handler and goes on.
                    self.call_exception_handler({"exception": error})
        finally:
            self.ready = None
            running.loop = outer
            _set_running_loop(asyncios)
            record[16] = 0

    @property
    def has_tasks(self) -> bool:
        """True if there may be tasks besides the root."""
        return bool(self._tasks)

    def halt(self) -> None:
        """Run no callback any more but the one that runs now: nothing beside it may go on."""
        if self.ready is not None:
            self.ready.clear()
        self.call_soon = _ignored  # type: ignore[method-assign]  # nothing to check on the hot path

    def close_all(self, root: Task[Any]) -> None:
        """Close every coroutine that is still suspended; what their ``finally`` blocks do is inert by now."""
        outer, asyncios = running.loop, _get_running_loop()
        running.loop = self
        _write(self.record, 0, self._mark)
        _set_running_loop(self)
        try:
            for task in (root, *(self._tasks or ())):
                coroutine = task.get_coro()
                if not task.done() and coroutine is not None:
                    try:
                        coroutine.close()
                    except BaseException:  # noqa: BLE001 - user code on its way out cannot harm anybody
                        continue
        finally:
            running.loop = outer
            _set_running_loop(asyncios)
            self.record[16] = 0
            self.ready = None

    # -- what asyncio asks of a loop

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Ready:  # type: ignore[override]
        entry = Ready(callback, args, context)
        if self.ready is None:
            self.ready = deque()
        self.ready.append(entry)
        return entry

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> DurableTimer:
        return start_timer(self.machine, wait_s_of(delay), None, callback, args, context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> DurableTimer:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: DurableTimer) -> None:
        self.machine.withdraw(handle.seq)

    def time(self) -> float:
        return self.machine.cursor.at / 1e6

    def create_future(self) -> Future[Any]:
        return Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> Task[Any]:  # type: ignore[override]
        options.pop("eager_start", None)
        task = Task(coro, loop=self, **options)
        if self._tasks is None:
            self._tasks = WeakSet()
        self._tasks.add(task)
        return task

    get_debug = bool  # False; every new future asks, and a function in C answers sooner

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A task that nobody awaited failed, or was dropped with the run: neither changes what the run does."""

    def call_soon_threadsafe(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]
        raise guard.refuse("call_soon_threadsafe", "threads")

    def run_in_executor(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]
        raise guard.refuse("run_in_executor", "threads")


def running_in(record: bytes) -> UUID | None:
    """Return the run whose code was running when ``WorkflowLoop.record`` was left like this, or rather the one whose
    large history was being read."""
    for start in (RECORD_BYTES, 0):
        part = record[start : start + RECORD_BYTES]
        if len(part) == RECORD_BYTES and part[16] == 1:
            return UUID(bytes=bytes(part[:16]))
    return None


def note_reading(run: bytes | None) -> None:
    """Note that this run's large history is being read, until the code waits again; None: no more."""
    WorkflowLoop.record[RECORD_BYTES : 2 * RECORD_BYTES] = bytes(RECORD_BYTES) if run is None else run + b"\1"


def current_machine(what: str) -> Machine:
    """Return the machine of the workflow that is running.

    Raises:
        ContinuumError: no workflow is running here.
    """
    loop = running.loop
    if loop is None:
        raise ContinuumError(
            f"{what} is an effect: await it inside a workflow; outside, start the workflow with continuum.start(...)"
        )
    return loop.machine
