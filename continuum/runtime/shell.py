"""The shell: one role, its post and its sockets in one process and one loop.

    wait (parcels, control channel, watched descriptors, next moment of role or post)
      ├─ control channel ──► peer_up, peer_down, stop; closed: leave at once
      ├─ descriptors ──────► their callbacks (completions, notices, results of threads)
      ├─ parcels ──────────► role.receive
      └─ role.tick, post.flush

What another process sends never ends this one: a datagram that cannot be read is counted by the post and dropped.
Any other exception of the role ends the process, because nobody knows what state it left; the supervisor starts a
new incarnation, which finds everything in the database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Protocol

from continuum.errors import WireError
from continuum.ports.transport import Transport
from continuum.runtime.role import Role, log
from continuum.wire.post import Peer, Post

# The supervisor kills at the end of the grace; leaving before that is cleaner than being killed.
_EARLY_SHARE, _EARLY_S_MAX = 0.1, 1.0


class Sockets(Transport, Protocol):
    """A transport that can be waited on, such as :class:`continuum.wire.sockets.ZmqTransport`."""

    def connect(self, to: str) -> None: ...

    def disconnect(self, to: str) -> None: ...

    def drain(self) -> list[bytes]: ...

    def watch(self, descriptor: int, *, writing: bool = False) -> None: ...

    def unwatch(self, descriptor: int) -> None: ...

    def wait(self, timeout_s: float) -> Collection[object]: ...


class Control(Protocol):
    """The supervisor's line, as the shell sees it."""

    def fileno(self) -> int: ...

    def ready(self, shell: Shell) -> None:
        """Call the shell's ``peer_up`` for the processes that were there before, and report that the role works."""
        ...

    def attend(self, shell: Shell) -> bool:
        """Read what has come, answer pings, and call the shell's ``peer_up``, ``peer_down`` and ``stop``; False if
        the supervisor is gone."""
        ...


class SystemClock:
    """The ``Clock`` of real processes."""

    monotonic = staticmethod(time.monotonic)


class Shell:
    """Runs ``role`` until it is told to stop, has drained by itself, or the supervisor is gone.

    ``lost`` says that the role can go on only as a new incarnation. It leaves after ``life_s`` in any case.
    """

    def __init__(
        self,
        role: Role,
        post: Post,
        sockets: Sockets,
        control: Control,
        *,
        lost: Callable[[], bool] = lambda: False,
        life_s: float = math.inf,
    ) -> None:
        self.role = role
        self._post = post
        self._sockets = sockets
        self._control = control
        self._lost = lost
        self._line = control.fileno()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._leave_at = time.monotonic() + life_s

    def watch(self, descriptor: int, on_ready: Callable[[], None], *, writing: bool = False) -> None:
        """Call ``on_ready`` whenever the descriptor can be read; it must read it, or take it back. ``writing``: or
        written. A second call replaces the first."""
        self._callbacks[descriptor] = on_ready
        self._sockets.watch(descriptor, writing=writing)

    def unwatch(self, descriptor: int) -> None:
        """Take a descriptor back, before it is closed."""
        del self._callbacks[descriptor]
        self._sockets.unwatch(descriptor)

    def run(self) -> int:
        """Run to the end: 0 after a drain, or as far as it came in its grace; 1 if the process must be replaced."""
        self.begin()
        while (code := self.listen()) is None:
            self.tick()
        return code

    def begin(self) -> None:
        """Begin the role's life. Then `listen` and `tick` take turns; any thread may call them, one at a time."""
        self._sockets.watch(self._line)
        self.role.begin()
        self._control.ready(self)

    def listen(self) -> int | None:
        """Wait for something to happen, and tell the role; return the exit code if the end has come."""
        if self.role.drained or time.monotonic() >= self._leave_at:
            self._post.flush()
            return 0
        if self._lost():
            log.warning("this incarnation has lost its place in the database; a new one takes over")
            return 1
        return None if self._receive() else 1

    def tick(self) -> None:
        """Let the role do what is to be done now, and send what comes of it."""
        self.role.tick()
        self._post.flush()

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        """Another process of the node was started."""
        self._sockets.connect(name)
        self.role.peer_up(name, incarnation, crew)

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        """Another process of the node is dead; the role may take back what it did not receive."""
        self._sockets.disconnect(name)
        self.role.peer_down(name, incarnation, crew)
        self._post.forget(Peer(name, incarnation))

    def stop(self, grace_s: float) -> None:
        """Drain, and leave at the latest when the grace is nearly over."""
        early_s = min(grace_s * _EARLY_SHARE, _EARLY_S_MAX)
        self._leave_at = min(self._leave_at, time.monotonic() + grace_s - early_s)
        self.role.drain()

    def _receive(self) -> bool:
        """Wait for something to happen, and tell the role; False if the supervisor is gone."""
        due = min(self.role.wake_at(), self._post.wake_at(), self._leave_at)
        ready = self._sockets.wait(due - time.monotonic())
        if self._line in ready and not self._control.attend(self):
            return False
        for descriptor in ready:
            on_ready = self._callbacks.get(descriptor)
            if on_ready is not None:
                on_ready()
        for data in self._sockets.drain():
            deliver(data, self._post, self.role)
        return True


def deliver(data: bytes, post: Post, role: Role) -> None:
    """Give the role what is in a datagram; what cannot be read is counted and dropped."""
    opened = post.open(data)
    if opened is None:
        return
    sender, messages = opened
    try:
        role.receive(sender, messages)
    except WireError as error:
        post.dropped += 1
        log.warning("a message of %s was dropped: %s", sender.name, error)
