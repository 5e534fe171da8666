"""What every child of a node has in common: ports, sockets, the supervisor's line, and a clean end.

A child is a fork of the supervisor, taken before any thread, socket or connection existed; everything of that
kind is made here. Connections to the database open at first use and again after an outage, so a child starts, and
stays, whether the database is there or not.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from typing import assert_never

from continuum.config import DatabaseChoice
from continuum.errors import ContinuumError, NodeError, WireError
from continuum.node.beginnings import FileBeginnings, FileRegister
from continuum.node.config import NodeConfig
from continuum.node.logs import settle_logging, start_logging
from continuum.node.rundir import RunDirectory
from continuum.ports.beginnings import NOTHING_NOTED, Register
from continuum.runtime.app import load_app
from continuum.runtime.role import Ports, Role, log
from continuum.runtime.shell import Shell, SystemClock
from continuum.supervisor.control import PeerDown, PeerUp, Ping, Stop
from continuum.supervisor.process import ChildContext
from continuum.wire.curve import ClusterKey
from continuum.wire.post import Post
from continuum.wire.sockets import ZmqTransport

# A role keeps thousands of values alive that hold each other; with the usual thresholds the collector walks them
# all the time and finds nothing.
_GC_THRESHOLDS = (50_000, 20, 50)


@dataclass(frozen=True, slots=True)
class Site:
    """What the node knows before its children are forked."""

    config: NodeConfig
    choice: DatabaseChoice
    url: str = field(repr=False)
    run_directory: RunDirectory
    versions: tuple[str, ...] = ()  # of workflows, that the application brings
    key: ClusterKey | None = None
    began: float = field(default_factory=time.monotonic)  # which all processes of a machine have in common


class Child:
    """One incarnation of a process of the node, from its birth on."""

    def __init__(self, site: Site, context: ChildContext) -> None:
        self.site = site
        self._context = context
        self._line = SupervisorLine(context)
        site.run_directory.release()
        clock = SystemClock()
        self.sockets = ZmqTransport(site.run_directory.path, context.child_id)
        self._post = Post(context.child_id, context.incarnation, clock, self.sockets)
        self.ports = Ports(
            clock=clock,
            random=random.Random(),
            post=self._post,
            node=context.node,
            instance=site.config.instance,
            name=context.child_id,
            incarnation=context.incarnation,
            crew=crew_text(context, context.crew),
            beginnings=FileBeginnings(site.run_directory.path.parent, context.boot),
        )

    def load_app(self) -> None:
        """Import the application, and keep what it made out of the collector's way.

        Raises:
            NodeError: it does not import; the supervisor is told that trying again cannot help.
        """
        try:
            load_app(self.site.config.modules)
        except NodeError as error:
            self.give_up(str(error))
            raise
        settle_logging()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)

    def give_up(self, reason: str) -> None:
        """Tell the supervisor that to start this process again cannot help: the node ends with this line."""
        self._context.control.fatal(reason)

    def register(self) -> Register:
        """Where a worker notes what it begins."""
        return FileRegister.open(self.site.run_directory.path.parent, self.ports.incarnation) or NOTHING_NOTED

    @property
    def application_name(self) -> str:
        """How the database's administrator sees the sessions of this process, unless the URL says something else."""
        return f"continuum-{self.ports.name}"

    @property
    def starts_node(self) -> bool:
        """True if no other process of the node ran when this one was started."""
        return not self._context.peers

    def shell(self, role: Role, lost: Callable[[], bool] = lambda: False, life_s: float = math.inf) -> Shell:
        """The shell that runs the role; it knows the processes that were there before."""
        return Shell(role, self._post, self.sockets, self._line, lost=lost, life_s=life_s)

    @property
    def record(self) -> mmap:
        """What is written here is told to the others when this process dies."""
        return self._context.record

    def demand(self, child_id: str) -> None:
        """Have a process started that is started on demand."""
        self._context.control.demand(child_id)

    def on_death(self, told: Callable[[str, str, bytes], None]) -> None:
        """Call ``told(name, incarnation, record)`` before the role hears of the death of another process."""
        self._line.on_death = told

    def close(self) -> None:
        """Let what was sent leave."""
        self.sockets.close()


class SupervisorLine:
    """The control channel as the shell's ``Control``."""

    def __init__(self, context: ChildContext) -> None:
        self._context = context
        self._channel = context.control
        self.on_death: Callable[[str, str, bytes], None] = lambda name, incarnation, record: None

    def fileno(self) -> int:
        return self._channel.fileno()

    def ready(self, shell: Shell) -> None:
        for name, incarnation in self._context.peers.items():
            shell.peer_up(name, incarnation, crew_text(self._context, self._context.crew))
        self._channel.ready()

    def attend(self, shell: Shell) -> bool:
        try:
            messages = self._channel.receive()
        except WireError as error:
            log.error("the supervisor cannot be understood: %s", error)
            return False
        for message in messages:
            match message:
                case Ping(n):
                    self._channel.pong(n)
                case Stop(grace_s):
                    shell.stop(grace_s)
                case PeerUp(child_id, incarnation, crew):
                    shell.peer_up(child_id, incarnation, crew_text(self._context, crew))
                case PeerDown(child_id, incarnation, crew, record):
                    self.on_death(child_id, incarnation, record)
                    shell.peer_down(child_id, incarnation, crew_text(self._context, crew))
                case _:
                    assert_never(message)
        self._channel.flush()
        return not self._channel.closed


def crew_text(context: ChildContext, crew: int) -> str:
    """The crew as roles know it: which life of the node, and how many of its workers have died."""
    return f"{context.boot}:{crew}"


def child_main(site: Site, work: Callable[[Child], int], context: ChildContext) -> int:
    """The function of every role: build a child, do its work, say why it ended."""
    start_logging(context.child_id, site.config.log_level)
    gc.freeze()  # else the collector touches what is shared with the supervisor, and each process gets its own copy
    try:
        child = Child(site, context)
        try:
            return work(child)
        finally:
            child.close()
    except ContinuumError as error:
        log.error("%s", error)
    except Exception:  # noqa: BLE001 - the top of a process, which ends
        log.exception("%s ends after an error of its own; the supervisor starts it again", context.child_id)
    return 1
