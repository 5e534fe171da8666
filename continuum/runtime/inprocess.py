"""A whole node in one process, for tests: real roles, clock, threads and codec, but no processes and no sockets.

One thread steps all roles in turn. What they send each other lies in a list per role; the journal's lanes and the
activities run in threads, as in a real node. There is no supervisor: a role that fails ends the node, and
``stop`` raises what it raised.
"""

from __future__ import annotations

import math
import random
import secrets
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from continuum.core.definitions import Activity, Workflow, registry
from continuum.errors import NodeError
from continuum.ports.catalog import Catalog
from continuum.ports.dispatch import Dispatch
from continuum.ports.journal import Journal
from continuum.ports.mailbox import Mailbox, Notice
from continuum.ports.offload import Desk
from continuum.runtime.dispatcher import Dispatcher
from continuum.runtime.engine import Engine
from continuum.runtime.executor import ThreadAndLoopExecutor
from continuum.runtime.lanes import ThreadOffload
from continuum.runtime.limits import limits_of_environment
from continuum.runtime.role import Ports, Role
from continuum.runtime.router import DEAF_LOOK_S, Router
from continuum.runtime.shell import SystemClock, deliver
from continuum.runtime.timer import Timer
from continuum.runtime.wake import Wake
from continuum.runtime.worker import Worker
from continuum.wire.post import Post

_STOP_S = 30.0


R = TypeVar("R", bound=Role)


class Store(Protocol):
    """What ``MemoryStore`` and the PostgreSQL store have in common."""

    @property
    def journal(self) -> Journal: ...

    @property
    def dispatch(self) -> Dispatch: ...

    @property
    def mailbox(self) -> Mailbox: ...

    @property
    def catalog(self) -> Catalog: ...


OpenStore = Callable[[], AbstractContextManager[Store]]


class NoticeSource(Protocol):
    """What listens to the database: the PostgreSQL listener, or a `NoticeQueue`. ``deaf``: nothing arrives."""

    @property
    def deaf(self) -> bool: ...

    def fileno(self) -> int: ...

    def poll(self) -> list[Notice]: ...


class NoticeQueue:
    """Notices from a subscription, such as ``MemoryStore.subscribe``, that calls ``put`` from any thread."""

    def __init__(self) -> None:
        self.deaf = False
        self._notices: deque[Notice] = deque()
        self._wake = Wake()

    def put(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake.set()

    def fileno(self) -> int:
        return self._wake.fileno()

    def poll(self) -> list[Notice]:
        self._wake.clear()
        return [self._notices.popleft() for _ in range(len(self._notices))]


class _Mailboxes:
    """The ``Transport``: a list of datagrams for every role."""

    def __init__(self) -> None:
        self.inboxes: dict[str, deque[bytes]] = {}

    def send(self, to: str, data: bytes) -> bool:
        inbox = self.inboxes.get(to)
        if inbox is not None:
            inbox.append(data)
        return inbox is not None


class _Process:
    """A role with what a real process of it would have."""

    def __init__(self, role: Role, post: Post, inbox: deque[bytes]) -> None:
        self.role, self._post, self.inbox = role, post, inbox

    def step(self) -> None:
        for _ in range(len(self.inbox)):
            deliver(self.inbox.popleft(), self._post, self.role)
        self.role.tick()
        self._post.flush()

    def wake_at(self) -> float:
        return -math.inf if self.inbox else min(self.role.wake_at(), self._post.wake_at())


class InProcessNode:
    """All roles of a node, from the ``with`` statement on.

    ``open_store`` is entered once per role and lane, in the thread that uses the store. ``listener`` brings the
    database's notices; without one the router's scans find everything, later.
    """

    def __init__(
        self,
        open_store: OpenStore,
        *,
        listener: NoticeSource | None = None,
        workflow: Callable[[str, str | None], Workflow[..., Any]] = registry.workflow,
        loaded: Callable[[], Sequence[tuple[str, str]]] = registry.versions,
        activity: Callable[[str], Activity[..., Any]] = registry.activity,
        instance: str = "default",
        engines: int = 1,
        workers: int = 1,
        slots: int = 10,
        queues: Sequence[str] = ("default",),
    ) -> None:
        self._open_store = open_store
        self._listener = listener
        self._workflow, self._activity, self._loaded = workflow, activity, loaded
        self._instance, self._slots, self._queues = instance, slots, tuple(queues)
        self._counts = {"engine": engines, "worker": workers}
        self._clock = SystemClock()
        self._mailboxes = _Mailboxes()
        self._boot = secrets.token_hex(4)
        self._processes: dict[str, _Process] = {}
        self._engines: list[Engine] = []
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._stop = Wake()
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def start(self) -> None:
        """Begin to work; again: not allowed."""
        self._thread.start()

    def stop(self) -> None:
        """Drain all roles and end.

        Raises:
            BaseException: what a role failed with before.
        """
        self._stop.set()
        self._thread.join(_STOP_S)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            waiting = [name for name, process in self._processes.items() if not process.role.drained]
            raise TimeoutError(f"not drained after {_STOP_S} s: {', '.join(waiting)}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                self._build(stack)
                while not (self._stopping and all(p.role.drained for p in self._processes.values())):
                    self._turn()
        except BaseException as error:  # noqa: BLE001 - raised by `stop`
            self._error = error

    def _turn(self) -> None:
        due = min(process.wake_at() for process in self._processes.values())
        timeout_s = min(max(due - self._clock.monotonic(), 0.0), 3600.0)
        for descriptor, _events in self._poll.poll(math.ceil(timeout_s * 1000)):
            self._callbacks[descriptor]()
        for process in self._processes.values():
            process.step()
        if any(engine.lost for engine in self._engines):
            raise NodeError("an engine lost its place in the database: this node stood still for too long")

    def _watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        self._callbacks[descriptor] = on_readable
        self._poll.register(descriptor, select.POLLIN)

    def _drain(self) -> None:
        self._stop.clear()
        self._stopping = True
        for process in self._processes.values():
            process.role.drain()

    def _build(self, stack: ExitStack) -> None:
        self._watch(self._stop.fileno(), self._drain)
        store = stack.enter_context(self._open_store())
        looks = (
            (DEAF_LOOK_S, DEAF_LOOK_S) if self._listener is not None and self._listener.deaf else (10.0, 5.0)
        )
        router = self._add("router", lambda ports: Router(ports, store.mailbox, looks[0]))
        self._add("timer", lambda ports: Timer(ports, store.mailbox))
        for number in range(1, self._counts["engine"] + 1):
            self._add(f"engine-{number}", lambda ports: self._engine(ports, stack))
        for number in range(1, self._counts["worker"] + 1):
            self._add(f"worker-{number}", lambda ports: self._worker(ports, store, stack))
        dispatcher = self._add(
            "dispatcher",
            lambda ports: Dispatcher(ports, store.dispatch, store.mailbox, self._queues, looks[1]),
        )
        if self._listener is not None:
            self._hear(self._listener, router, dispatcher)
        for process in self._processes.values():
            process.role.begin()
        for number, name in enumerate(self._processes, 1):
            for other in self._processes:
                if other != name:
                    self._processes[other].role.peer_up(name, f"{self._boot}-{number}", f"{self._boot}:0")

    def _add(self, name: str, build: Callable[[Ports], R]) -> R:
        incarnation = f"{self._boot}-{len(self._processes) + 1}"
        inbox = self._mailboxes.inboxes[name] = deque()
        post = Post(name, incarnation, self._clock, self._mailboxes)
        crew = f"{self._boot}:0"
        ports = Ports(
            self._clock, random.Random(), post, "in-process", self._instance, name, incarnation, crew
        )
        role = build(ports)
        self._processes[name] = _Process(role, post, inbox)
        return role

    def _hear(self, source: NoticeSource, router: Router, dispatcher: Dispatcher) -> None:
        def hear() -> None:
            notices = source.poll()
            router.notice(notices)
            dispatcher.notice(notices)

        self._watch(source.fileno(), hear)

    def _engine(self, ports: Ports, stack: ExitStack) -> Engine:
        wake = Wake()
        offload = ThreadOffload(self._open_desk, wake)
        stack.callback(offload.close)
        limits, loaded = limits_of_environment(), self._loaded()
        engine = Engine(ports, offload, self._workflow, limits, loaded=loaded)
        self._engines.append(engine)

        def complete() -> None:
            wake.clear()
            for completion in offload.drain():
                engine.complete(completion)

        self._watch(wake.fileno(), complete)
        return engine

    def _worker(self, ports: Ports, store: Store, stack: ExitStack) -> Worker:
        wake = Wake()
        executor = ThreadAndLoopExecutor(self._activity, self._slots, wake.set, self._clock)
        stack.callback(executor.close)
        self._watch(wake.fileno(), wake.clear)
        return Worker(ports, executor, store.dispatch, self._queues, self._slots)

    @contextmanager
    def _open_desk(self) -> Iterator[Desk]:
        with self._open_store() as store:
            yield Desk(store.journal, store.dispatch)
