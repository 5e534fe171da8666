"""The supervisor process: one thread and one poll that carry out what the tree decides.

    poll (signals, control links, lifeline, next deadline)
      -> what happened -> SupervisorTree -> directives -> fork, message, SIGKILL -> poll

It opens no connection and never imports the application, so that no child's trouble becomes its own:
whatever a child sends is checked, whatever it does not answer ends it. A child's exit is told to all
others before anything is started in its place.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, assert_never

from setproctitle import setproctitle

from continuum.errors import ConfigurationError, NodeError, WireError
from continuum.supervisor.control import (
    ChildMessage,
    ControlChannel,
    Demand,
    Fatal,
    PeerDown,
    PeerUp,
    Ping,
    Pong,
    Ready,
)
from continuum.supervisor.control import Stop as StopMessage
from continuum.supervisor.directives import Directive, Escalate, Exit, Kill, Start, Stop, Terminate
from continuum.supervisor.liveness import Liveness
from continuum.supervisor.process import ChildContext, ChildMain, ChildProcess, fork_child
from continuum.supervisor.signals import STOPS, SignalPipe
from continuum.supervisor.spec import ChildSpec, SupervisorSpec
from continuum.supervisor.strategy import State, SupervisorTree

ProcessState = Literal["starting", "running", "stopping"]
_STATES: dict[State, ProcessState] = {
    State.STARTING: "starting",
    State.UP: "running",
    State.STOPPING: "stopping",
}


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One live process of the tree."""

    child_id: str
    role: str
    pid: int
    incarnation: str
    restarts: int
    state: ProcessState


class Supervisor:
    """Runs a tree of processes until it is stopped or fails. ``reason`` says afterwards why it ended.

    ``mains`` has the function of every role of ``spec``; it runs in the forked child. ``boot`` is 8 random
    hex characters, new for every supervisor. ``on_change`` gets all live processes after each change;
    it and ``log`` (one line each) run on the supervisor's only thread and must not wait for anything.
    ``lifeline_fd``: its end of file is a graceful stop, for a program that embeds the tree.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        mains: Mapping[str, ChildMain],
        *,
        node: str,
        boot: str,
        log: Callable[[str], None],
        on_change: Callable[[list[ProcessInfo]], None] | None = None,
        lifeline_fd: int | None = None,
        ping_interval_s: float = 2.0,
        ping_timeout_s: float = 10.0,
        start_timeout_s: float = 60.0,
    ) -> None:
        missing = sorted({leaf.role for leaf in spec.leaves()} - set(mains))
        if missing:
            raise ConfigurationError(f"supervisor {spec.id}: no function for the roles {', '.join(missing)}")
        self.reason: str | None = None
        self._specs: dict[str, ChildSpec] = {leaf.id: leaf for leaf in spec.leaves()}
        self._tree = SupervisorTree(spec)
        self._mains = mains
        self._node = node
        self._boot = boot
        self._write_log = log
        self._on_change = on_change
        self._lifeline_fd = lifeline_fd
        self._liveness = Liveness(
            interval_s=ping_interval_s,
            timeout_s=ping_timeout_s,
            start_timeout_s=start_timeout_s,
            now=time.monotonic(),
        )
        self._children: dict[str, ChildProcess] = {}
        self._starts: dict[str, int] = {}
        self._incarnation_count = 0
        self._crew = 0
        self._ping_count = 0
        self._stop_signal_count = 0
        self._exit_code: int | None = None

    def run(self) -> int:
        """Run to the end: 0 after a graceful stop, else 1 or what a child gave as fatal.

        SIGTERM, SIGINT and SIGHUP stop in order, a second SIGTERM or SIGINT kills everything at once. To be called
        once, in the main thread of a process without other threads: the children are forks of it.

        Raises:
            NodeError: another thread runs, whose locks a fork would copy; nothing was started.
        """
        if threading.active_count() > 1:
            raise NodeError(
                "the supervisor forks and needs a process without other threads; nothing was started"
            )
        setproctitle(f"continuum: {self._node}/supervisor")
        self._signals = SignalPipe()
        try:
            self._apply(self._tree.start(time.monotonic()))
            while self._exit_code is None:
                self._turn()
            return self._exit_code
        finally:
            self._kill_all()
            self._signals.close()

    def _turn(self) -> None:
        """Wait for something to happen, and handle all of it."""
        ready = self._wait()
        if self._signals.fileno() in ready:
            self._on_signals()
        if self._lifeline_fd is not None and self._lifeline_fd in ready:
            self._on_lifeline(self._lifeline_fd)
        for child in list(self._children.values()):
            if not child.control.closed and child.control.fileno() in ready:
                child.control.flush()
                self._listen(child)
        self._reap()
        self._tick()

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        if self._lifeline_fd is not None:
            poll.register(self._lifeline_fd, select.POLLIN)
        for child in self._children.values():
            if not child.control.closed:
                unsent = select.POLLOUT if child.control.has_unsent else 0
                poll.register(child.control.fileno(), select.POLLIN | unsent)
        due = self._liveness.deadline
        if self._tree.deadline is not None:
            due = min(due, self._tree.deadline)
        timeout_ms = max(0.0, due - time.monotonic()) * 1000
        return {
            fd for fd, _events in poll.poll(timeout_ms + 1)
        }  # poll truncates: never wake just before the time

    def _on_signals(self) -> None:
        for number in self._signals.read():
            name = signal.Signals(number).name
            if number not in STOPS:
                if number != signal.SIGCHLD:
                    self._log("signal", name=name, meaning="none")
                continue
            if self._stop_signal_count and number == signal.SIGHUP:
                continue  # systemd sends it after SIGTERM, and a terminal's end brings several
            self._stop_signal_count += 1
            self._log("signal", name=name, count=self._stop_signal_count)
            if self._stop_signal_count == 1:
                self._apply(self._tree.stop(time.monotonic(), f"stopped by {name}"))
            else:
                self._apply(self._tree.kill(time.monotonic(), f"ended at once by a second signal, {name}"))

    def _on_lifeline(self, fd: int) -> None:
        try:
            alive = os.read(fd, 4096) != b""
        except BlockingIOError:
            alive = True
        except OSError:
            alive = False
        if not alive:
            self._lifeline_fd = None
            self._log("lifeline_lost")
            self._apply(self._tree.stop(time.monotonic(), "the program that started the node is gone"))

    def _listen(self, child: ChildProcess) -> None:
        try:
            messages = child.control.receive()
        except WireError as error:
            self._log("control_garbage", child=child.spec.id, error=str(error))
            child.control.closed = True
            child.kill("its control channel carried garbage")
            return
        if messages:
            self._liveness.on_heard(child.spec.id, time.monotonic())
        for message in messages:
            self._on_message(child, message)

    def _on_message(self, child: ChildProcess, message: ChildMessage) -> None:
        match message:
            case Pong():
                pass  # that it spoke is noted already
            case Ready(info):
                if self._tree.state(child.spec.id) is State.STARTING:
                    self._on_ready(child, info)
            case Fatal():
                child.fatal = message
            case Demand(child_id):
                self._apply(self._tree.demand(child_id, time.monotonic()))
            case _:
                assert_never(message)

    def _on_ready(self, child: ChildProcess, info: str) -> None:
        now = time.monotonic()
        self._liveness.on_ready(child.spec.id, now)
        self._log("ready", child=child.spec.id, incarnation=child.incarnation, info=info)
        self._apply(self._tree.on_started(child.spec.id, now))
        self._publish()

    def _reap(self) -> None:
        for child in list(self._children.values()):
            if child.reap():
                self._listen(child)  # its last words, such as `Fatal`
                self._on_exit(child, child.exit())
        if os.getpid() == 1:
            self._reap_strangers()

    def _reap_strangers(self) -> None:
        """Process 1 inherits what others have left, and nobody else can collect it."""
        known = {child.pid for child in self._children.values()}
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in known:
                    return  # it has exited in this moment: the next turn asks it how
                os.waitpid(found.si_pid, 0)

    def _on_exit(self, child: ChildProcess, exit: Exit) -> None:
        child_id = child.spec.id
        del self._children[child_id]
        self._liveness.forget(child_id)
        if child.spec.role == "worker":
            self._crew += 1
        self._log("exited", child=child_id, pid=child.pid, incarnation=child.incarnation, how=exit.text)
        self._tell_others(PeerDown(child_id, child.incarnation, self._crew, child.record()))
        self._apply(self._tree.on_exit(child_id, exit, time.monotonic()))
        self._publish()

    def _tick(self) -> None:
        now = time.monotonic()
        to_ping, lost = self._liveness.on_tick(now)
        for child_id in lost:
            self._log("unresponsive", child=child_id)
            self._children[child_id].kill("it gave no sign of life")
        for child_id in to_ping:
            self._ping_count += 1
            self._children[child_id].control.send(Ping(self._ping_count))
        self._apply(self._tree.on_tick(now))

    def _apply(self, directives: list[Directive]) -> None:
        """Carry out directives in order; what a failed fork leads to comes after them."""
        pending = deque(directives)
        while pending:
            match pending.popleft():
                case Start(child_id):
                    pending.extend(self._start(self._specs[child_id]))
                case Stop(child_id, grace_s):
                    self._log("stopping", child=child_id, grace_s=grace_s)
                    self._liveness.forget(child_id)
                    self._children[child_id].control.send(StopMessage(grace_s))
                    self._publish()
                case Kill(child_id, reason):
                    self._log("killing", child=child_id, reason=reason)
                    self._liveness.forget(child_id)
                    if child_id in self._children:  # else its fork failed between decision and directive
                        self._children[child_id].kill(reason)
                case Escalate(supervisor_id, reason):
                    self._log("escalated", supervisor=supervisor_id, reason=reason)
                case Terminate(reason, exit_code):
                    self._log("ended", reason=reason, exit_code=exit_code)
                    self.reason, self._exit_code = reason, exit_code
                case directive:
                    assert_never(directive)

    def _start(self, spec: ChildSpec) -> list[Directive]:
        now = time.monotonic()
        restarts = self._starts.get(spec.id, 0)
        self._starts[spec.id] = restarts + 1
        self._incarnation_count += 1
        incarnation = f"{self._boot}-{self._incarnation_count}"

        def birth(control: ControlChannel, record: mmap.mmap) -> ChildContext:
            peers = {name: child.incarnation for name, child in self._children.items()}
            return ChildContext(
                spec.id, spec.role, self._node, self._boot, incarnation, self._crew, peers, control, record
            )

        try:
            child = fork_child(
                spec, self._mains[spec.role], birth, restarts=restarts, release=self._release_in_child
            )
        except OSError as error:
            self._log("not_started", child=spec.id, error=str(error))
            return self._tree.on_exit(spec.id, Exit("crash", f"could not be forked: {error}"), now)
        self._log("started", child=spec.id, pid=child.pid, incarnation=incarnation, restarts=restarts)
        self._children[spec.id] = child
        self._liveness.watch(spec.id, now)
        self._tell_others(PeerUp(spec.id, incarnation, self._crew))
        self._publish()
        return []

    def _release_in_child(self) -> None:
        """Close, in a new child, what is the supervisor's: else the end of a link could never be seen."""
        for child in self._children.values():
            child.control.close()
        self._signals.release()
        if self._lifeline_fd is not None:
            os.close(self._lifeline_fd)

    def _tell_others(self, message: PeerUp | PeerDown) -> None:
        for child in self._children.values():
            if child.spec.id != message.child_id:
                child.control.send(message)

    def _kill_all(self) -> None:
        """Leave nothing behind, however the loop ended."""
        for child in self._children.values():
            child.kill("the supervisor ends")
        for child in self._children.values():
            with suppress(ChildProcessError):
                os.waitpid(child.pid, 0)

    def _publish(self) -> None:
        if self._on_change is None:
            return
        infos = [
            ProcessInfo(
                name,
                child.spec.role,
                child.pid,
                child.incarnation,
                child.restarts,
                _STATES[self._tree.state(name)],
            )
            for name, child in self._children.items()
        ]
        with suppress(OSError):  # a full disk must not cost the node; the next change writes again
            self._on_change(infos)

    def _log(self, event: str, **fields: object) -> None:
        line = " ".join([f"supervisor {event}", *(f"{name}={value!r}" for name, value in fields.items())])
        with suppress(OSError, ValueError):  # whoever read the log is gone: no reason to end
            self._write_log(line)
