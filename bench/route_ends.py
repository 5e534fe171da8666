"""The processes of `bench.route`: a group as a node has it, and an end that sends back what wakes it."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from continuum.cluster.agent import Group
from continuum.config import resolve_cluster_key
from continuum.ports.offload import Desk
from continuum.postgres import open_store
from continuum.runtime.lanes import ThreadOffload
from continuum.runtime.role import Ports
from continuum.runtime.shell import Shell, SystemClock
from continuum.runtime.wake import Wake as LoopWake
from continuum.wire.endpoint import parse_endpoint
from continuum.wire.messages import Message, Route, Wake
from continuum.wire.post import Post
from continuum.wire.sockets import ZmqTransport
from continuum.wire.tcp import HostSockets

BOOT = "bench"
NAMES = ("group", "engine-1")


class Place(NamedTuple):
    """A node: its name, the folder of its sockets, its database and schema."""

    name: str
    folder: str
    url: str
    schema: str


class End:
    """A process of a node without a role."""

    def __init__(self, place: Place, name: str) -> None:
        self._sockets = ZmqTransport(Path(place.folder), name)
        self._post = Post(name, f"{BOOT}-1", SystemClock(), self._sockets)

    def say(self, to: str, message: Message) -> None:
        self._post.hint(to, message)
        self._post.flush()

    def hear(self, timeout_s: float) -> list[Message]:
        """Return what arrives within the time, as soon as something does."""
        self._sockets.wait(timeout_s)
        opened = [self._post.open(data) for data in self._sockets.drain()]
        return [message for parcel in opened if parcel is not None for message in parcel[1]]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sockets.close()


class _Line:
    """A supervisor's line on which nothing comes but its end."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def ready(self, shell: Shell) -> None:
        for name in NAMES:
            shell.peer_up(name, f"{BOOT}-1", f"{BOOT}:0")

    def attend(self, shell: Shell) -> bool:
        return False


def run_group(place: Place) -> None:
    clock, sockets, wake = SystemClock(), ZmqTransport(Path(place.folder), "group"), LoopWake()
    post = Post("group", f"{BOOT}-1", clock, sockets)
    ports = Ports(clock, random.Random(), post, place.name, "default", "group", f"{BOOT}-1", f"{BOOT}:0")

    @contextmanager
    def desk() -> Iterator[Desk]:
        with closing(open_store(place.url, place.schema)) as store:
            yield Desk(store.journal, store.dispatch)

    hosts = HostSockets(sockets, parse_endpoint("127.0.0.1:*"), resolve_cluster_key(), time.monotonic)
    with closing(hosts), closing(ThreadOffload(desk, wake)) as offload:
        group = Group(ports, hosts, offload, str(hosts.address))
        shell = Shell(group, post, sockets, _Line())

        def complete() -> None:
            wake.clear()
            for completion in offload.drain():
                group.complete(completion)

        shell.watch(wake.fileno(), complete)
        shell.run()


def run_echo(place: Place) -> None:
    """Send every wake back to the engine of node a."""
    with End(place, "engine-1") as end:
        while True:
            for message in end.hear(10.0):
                if isinstance(message, Wake):
                    end.say("group", Route([(f"a/default/engine-1/{BOOT}-1", message.runs)]))


if __name__ == "__main__":
    {"group": run_group, "echo": run_echo}[sys.argv[1]](Place(*json.loads(sys.argv[2])))
