"""The shell: what reaches the role, and when the process ends."""

from __future__ import annotations

import math
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from continuum.errors import WireError
from continuum.node.child import SupervisorLine
from continuum.runtime.shell import Shell, SystemClock
from continuum.runtime.wake import Wake
from continuum.supervisor.control import ControlLink, PeerDown, PeerUp, Ping, Pong, Ready, Stop, control_pair
from continuum.supervisor.process import RECORD_BYTES_MAX, ChildContext
from continuum.wire.messages import Look, Message
from continuum.wire.post import Peer, Post
from continuum.wire.sockets import ZmqTransport

LIMIT_S = 20.0


class Diary:
    """A role that notes what it is told, and is drained as soon as it is asked to drain, unless it is ``stubborn``."""

    def __init__(self) -> None:
        self.notes: list[object] = []
        self.stubborn = False
        self.on_receive: Callable[[Sequence[Message]], None] = lambda messages: None
        self.wake_s = math.inf
        self._draining = False

    def begin(self) -> None:
        self.notes.append("begin")

    def receive(self, sender: Peer, messages: Sequence[Message]) -> None:
        self.notes.append((sender.name, list(messages)))
        self.on_receive(messages)

    def peer_up(self, name: str, incarnation: str, crew: str) -> None:
        self.notes.append(("up", name, incarnation, crew))

    def peer_down(self, name: str, incarnation: str, crew: str) -> None:
        self.notes.append(("down", name, incarnation, crew))

    def tick(self) -> None:
        if time.monotonic() >= self.wake_s:
            self.wake_s = math.inf
            self.notes.append("woken")
            self.drain()

    def wake_at(self) -> float:
        return self.wake_s

    def drain(self) -> None:
        self._draining = True

    @property
    def drained(self) -> bool:
        return self._draining and not self.stubborn


class Stage:
    """A shell with its role, the supervisor's end of its line, and another process that can write to it."""

    def __init__(self, folder: Path) -> None:
        self.role = Diary()
        self.link: ControlLink
        self.link, channel = control_pair()
        record = mmap.mmap(-1, RECORD_BYTES_MAX)
        context = ChildContext("timer", "timer", "n1", "b", "b-2", 3, {"router": "b-1"}, channel, record)
        self.sockets = ZmqTransport(folder, "timer")
        self.post = Post("timer", "b-2", SystemClock(), self.sockets)
        self.lost = False
        self.shell = Shell(
            self.role, self.post, self.sockets, SupervisorLine(context), lost=lambda: self.lost
        )
        self.other = ZmqTransport(folder, "router")

    def write(self, message: Message) -> None:
        """Let the router's post send a message."""
        post = Post("router", "b-1", SystemClock(), self.other)
        post.hint("timer", message)
        post.flush()

    def close(self) -> None:
        self.link.close()
        self.sockets.close()
        self.other.close()


@pytest.fixture
def stage(open_folder: Path) -> Iterator[Stage]:
    stage = Stage(open_folder)
    yield stage
    stage.close()


def test_the_role_hears_of_its_peers_and_the_supervisor_gets_its_answers(stage: Stage) -> None:
    stage.link.send(Ping(7))
    stage.link.send(PeerUp("engine-1", "b-3", 3))
    stage.link.send(PeerDown("router", "b-1", 4))
    stage.link.send(Stop(LIMIT_S))
    assert stage.shell.run() == 0
    assert stage.role.notes == [
        "begin",
        ("up", "router", "b-1", "b:3"),
        ("up", "engine-1", "b-3", "b:3"),
        ("down", "router", "b-1", "b:4"),
    ]
    assert stage.link.receive() == [Ready(""), Pong(7)]


def test_messages_reach_the_role(stage: Stage) -> None:
    stage.role.on_receive = lambda _: stage.role.drain()
    stage.write(Look())
    assert stage.shell.run() == 0
    assert ("router", [Look()]) in stage.role.notes


def test_what_cannot_be_read_is_counted_and_dropped(stage: Stage) -> None:
    def refuse_tasks(messages: Sequence[Message]) -> None:
        if messages == [Look(tasks=True)]:
            raise WireError("never heard of")
        stage.role.drain()

    stage.role.on_receive = refuse_tasks
    stage.other.send("timer", b"\xc1 no parcel")
    stage.write(Look(tasks=True))
    stage.write(Look())
    assert stage.shell.run() == 0
    assert stage.post.dropped == 2


def test_any_other_exception_of_the_role_ends_the_process(stage: Stage) -> None:
    stage.role.on_receive = lambda _: 1 // 0  # type: ignore[assignment]
    stage.write(Look())
    with pytest.raises(ZeroDivisionError):
        stage.shell.run()


def test_a_role_that_drains_by_itself_ends_the_process_without_being_asked(stage: Stage) -> None:
    stage.role.wake_s = time.monotonic()
    assert stage.shell.run() == 0
    assert stage.role.notes[-1] == "woken"


def test_a_role_that_does_not_drain_leaves_before_its_grace_is_over(stage: Stage) -> None:
    stage.role.stubborn = True
    stage.link.send(Stop(0.05))
    assert stage.shell.run() == 0


def test_the_process_ends_when_the_supervisor_is_gone(stage: Stage) -> None:
    stage.role.on_receive = lambda _: stage.link.close()
    stage.write(Look())
    assert stage.shell.run() == 1


def test_a_lost_incarnation_ends_to_be_replaced(stage: Stage) -> None:
    stage.lost = True
    assert stage.shell.run() == 1


def test_a_watched_descriptor_calls_its_function_until_it_is_taken_back(stage: Stage) -> None:
    wake = Wake()

    def on_wake() -> None:
        wake.clear()
        stage.role.notes.append("called")
        stage.shell.unwatch(wake.fileno())
        wake.set()
        stage.role.wake_s = time.monotonic()

    stage.shell.watch(wake.fileno(), on_wake)
    wake.set()
    assert stage.shell.run() == 0
    assert stage.role.notes.count("called") == 1
    wake.close()
