"""A node in a test: real roles, real posts on a list of datagrams, a clock that moves by hand, a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid5

from continuum.errors import JournalError
from continuum.memory import MemoryStore
from continuum.model import payload
from continuum.model.events import ActivityScheduled, EventRow, TimerStarted, to_row
from continuum.model.ids import Owner
from continuum.model.run import RunSeed
from continuum.ports.journal import Lease, RunCommit, TaskRow, TimerRow
from continuum.runtime.role import Ports, Role
from continuum.wire.messages import Key, Message
from continuum.wire.post import Peer, Post

NODE, INSTANCE, BOOT = "n", "default", "b"
CREW = "b:0"
RUNS = UUID(int=7)


class HandClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Datagrams:
    def __init__(self) -> None:
        self.queue: list[tuple[str, bytes]] = []

    def send(self, to: str, data: bytes) -> bool:
        self.queue.append((to, data))
        return True


class Extra:
    """A process without a role: it keeps what it hears, and says what the test wants said."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.heard: list[Message] = []

    @property
    def peer(self) -> Peer:
        return Peer(self.post.name, self.post.incarnation)

    def take(self, kind: type[Message] | None = None) -> list[Message]:
        """Return what was heard since the last call, of one kind or of any."""
        taken = [message for message in self.heard if kind is None or type(message) is kind]
        self.heard = [message for message in self.heard if message not in taken]
        return taken

    def send(self, to: str, *messages: Message, incarnation: str = "b-1") -> None:
        for message in messages:
            self.post.send(Peer(to, incarnation), message)


class Notes:
    """What the dead have begun: by the life of a node, or one worker of it. What stands here in no way is not known."""

    def __init__(self) -> None:
        self.of: dict[str, set[Key]] = {}

    def begun(self, boot: str, incarnation: str | None = None) -> set[Key] | None:
        return self.of.get(incarnation or boot)


class Stage:
    def __init__(self) -> None:
        self.beginnings = Notes()
        self.clock = HandClock()
        self.store = MemoryStore(lambda: 1_700_000_000.0 + self.clock.now)
        self.net = Datagrams()
        self._posts: dict[str, Post] = {}
        self._roles: dict[str, Role] = {}
        self._extras: dict[str, Extra] = {}

    def ports(self, name: str, incarnation: str = "b-1") -> Ports:
        post = self._posts[name] = Post(name, incarnation, self.clock, self.net)
        return Ports(self.clock, Random(1), post, NODE, INSTANCE, name, incarnation, CREW, self.beginnings)

    def play(self, name: str, role: Role) -> None:
        """Put ``role`` on; everybody who is here hears of it, and it hears of them."""
        incarnation = self._posts[name].incarnation
        for other, peer in self._roles.items():
            peer.peer_up(name, incarnation, CREW)
            role.peer_up(other, self._posts[other].incarnation, CREW)
        for extra in self._extras.values():
            role.peer_up(extra.post.name, extra.post.incarnation, CREW)
        self._roles[name] = role
        role.begin()
        self.settle()

    def extra(self, name: str, incarnation: str = "b-1") -> Extra:
        post = self._posts[name] = Post(name, incarnation, self.clock, self.net)
        self._extras[name] = extra = Extra(post)
        for role in self._roles.values():
            role.peer_up(name, incarnation, CREW)
        return extra

    def kill(self, name: str) -> None:
        """End a process; everybody hears of it."""
        incarnation = self._posts.pop(name).incarnation
        self._extras.pop(name, None)
        self._roles.pop(name, None)
        for role in self._roles.values():
            role.peer_down(name, incarnation, CREW)
        for extra in self._extras.values():
            extra.post.forget(Peer(name, incarnation))

    def settle(self) -> None:
        """Deliver and tick until nothing moves at this moment."""
        for _ in range(200):
            for role in self._roles.values():
                role.tick()
            for post in self._posts.values():
                post.flush()
            if not self._deliver() and not any(r.wake_at() <= self.clock.now for r in self._roles.values()):
                return
        raise AssertionError("the roles do not come to rest: one of them runs hot")

    def advance(self, seconds: float) -> None:
        """Let so much time pass, stopping wherever somebody wants to wake."""
        end = self.clock.now + seconds
        self.settle()
        while True:
            wishes = [role.wake_at() for role in self._roles.values()]
            wishes += [post.wake_at() for post in self._posts.values()]
            moment = min(wishes, default=end)
            if moment >= end:
                self.clock.now = end
                self.settle()
                return
            self.clock.now = max(self.clock.now + 1e-6, moment)
            self.settle()

    def _deliver(self) -> bool:
        queue, self.net.queue = self.net.queue, []
        for to, data in queue:
            opened = self._posts[to].open(data) if to in self._posts else None
            if opened is not None and to in self._roles:
                self._roles[to].receive(*opened)
            elif opened is not None:
                self._extras[to].heard.extend(opened[1])
        return bool(queue)

    # -- what stands in the database

    def owner(self, engine: str = "engine-1", incarnation: str = "b-1", node: str = NODE) -> str:
        """Register an owner and return its text."""
        text = str(Owner(node, INSTANCE, engine, incarnation))
        self.store.dispatch.register(text, node, "", 1e6)
        return text

    def insert(self, count: int = 1, delay_s: float = 0.0) -> list[UUID]:
        seeds = [
            RunSeed(id=run_id(n), workflow="w", args=payload.encode([[], {}]), delay_s=delay_s)
            for n in range(count)
        ]
        self.store.catalog.insert(seeds)
        return [seed.id for seed in seeds]

    def claim(self, owner: str, limit: int = 1) -> list[Lease]:
        return [Lease(run.run_id, run.token) for run in self.store.dispatch.claim(owner, limit)]

    def set_task(
        self, lease: Lease, *, queue: str = "default", attempt: int = 1, delay_s: float = 0.0
    ) -> None:
        """Put attempt ``attempt`` of an activity into a task row of the run."""
        event = to_row(1, ActivityScheduled("a", b""))
        task = TaskRow(1, attempt, "a", payload.encode([[], {}]), queue, delay_s=delay_s)
        self._commit(lease, [event], tasks_set=[task])

    def set_timer(self, lease: Lease, delay_s: float, count: int = 1) -> None:
        """Set timers 1 to ``count`` of the run."""
        seqs = range(1, count + 1)
        events = [to_row(seq, TimerStarted(delay_s)) for seq in seqs]
        self._commit(lease, events, timers_set=[TimerRow(seq, delay_s) for seq in seqs])

    def _commit(
        self,
        lease: Lease,
        events: Sequence[EventRow],
        tasks_set: Sequence[TaskRow] = (),
        timers_set: Sequence[TimerRow] = (),
    ) -> None:
        commit = RunCommit(
            lease.run_id,
            lease.token,
            0,
            events,
            "running",
            tasks_set=tasks_set,
            timers_set=timers_set,
        )
        assert self.store.journal.commit([commit]) == {lease.run_id}

    def break_database(self, *operations: str) -> None:
        """Make these operations fail, or all of them if none is named; ``:after`` loses the answer only."""

        def fault(operation: str) -> None:
            if not operations or operation in operations:
                raise JournalError(operation, "the test has cut the connection")

        self.store.fault = fault

    def mend_database(self) -> None:
        self.store.fault = None


def run_id(n: int) -> UUID:
    return uuid5(RUNS, str(n))
