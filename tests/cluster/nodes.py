"""Nodes in the foreground, as a user starts them, for tests that look at exit codes and logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil

from continuum.cluster.status import NodeStatus, decode_status
from continuum.errors import NodeError
from continuum.node import NodeConfig
from continuum.postgres import open_store
from continuum.wire.curve import ClusterKey
from continuum.wire.inquiry import ask_status
from tests.forks import CHECKOUT as CHECKOUT
from tests.forks import Fork, fork

LIMIT_S = 60.0
FLOWS = "tests.cluster.node_flows"
PROGRAM = """
import json, sys
from continuum.node import NodeConfig, run_node
settings = json.loads(sys.argv[1])
tuples = {name: tuple(settings.pop(name)) for name in ("modules", "queues", "join")}
print("calling run_node", file=sys.stderr, flush=True)
sys.exit(run_node(NodeConfig(**settings, **tuples)))
"""
EMBEDDING = """
import json, sys
from continuum.node import Node
settings = json.loads(sys.argv[1])
with Node(*settings.pop("modules"), **settings) as node:
    node.wait_ready(60)
    print(json.dumps([process.pid for process in node.processes()]), flush=True)
    sys.stdin.read()
"""


def config_of(database_url: str, instance: str, **settings: object) -> NodeConfig:
    values = {"modules": (FLOWS,), "workers": 1, "name": "n1", "drain_s": 5.0, **settings}
    return NodeConfig(database=database_url, instance=instance, **values)  # type: ignore[arg-type]


class ForegroundNode:
    """A process that runs ``run_node``. Its log is a file, so that nobody has to read it meanwhile.

    ``command`` goes in front of it, to run it on a host of the test's own."""

    def __init__(
        self,
        config: NodeConfig,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._log = folder / f"{config.node_name}-{time.monotonic_ns()}.log"
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(environment or {})
        settings = json.dumps(asdict(config))
        self.process: Fork | subprocess.Popen[bytes]
        with self._log.open("wb") as log:
            if command:
                self.process = subprocess.Popen(
                    [*command, sys.executable, "-c", PROGRAM, settings],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            else:
                self.process = fork(PROGRAM, settings, cwd=folder, env=environment, stdout=log, stderr=log)
        self._tree = psutil.Process(self.process.pid)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def last_line(self) -> str:
        return self.log.splitlines()[-1]

    def wait_log(self, text: str) -> None:
        wait_until(lambda: text in self.log, f"{text!r} in the log", lambda: self.log)

    def wait_ready(self) -> None:
        self.wait_log("ready child='dispatcher'")

    def pids(self) -> list[int]:
        """All its processes, the supervisor first."""
        return [self._tree.pid, *(child.pid for child in self._tree.children(recursive=True))]

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(LIMIT_S)


@contextmanager
def foreground_node(
    config: NodeConfig, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[ForegroundNode]:
    node = ForegroundNode(config, folder, environment)
    try:
        yield node
    finally:
        node.process.kill()
        node.process.wait()


def embedding_program(folder: Path, **settings: object) -> subprocess.Popen[str]:
    """A program with a node in it. It prints the node's processes and ends with its standard input."""
    return subprocess.Popen(
        [sys.executable, "-c", EMBEDDING, json.dumps(settings)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object], what: str, detail: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}\n{detail()}"
        time.sleep(0.01)


class Cluster:
    """The groups of the nodes of one instance, as the database and they themselves know them."""

    def __init__(self, database_url: str, schema: str, key: ClusterKey | None = None) -> None:
        self._store = open_store(database_url, schema)
        self._key = key

    def close(self) -> None:
        self._store.close()

    def addresses(self) -> dict[str, str]:
        """Where the database says that the groups are; the last that was renewed of each node."""
        return {group.node: group.address for group in reversed(self._store.dispatch.groups(100))}

    def status(self, node: str) -> NodeStatus | None:
        """What this node's group knows; None while it cannot be asked."""
        address = self.addresses().get(node)
        try:
            return None if address is None else decode_status(ask_status(address, self._key, 2.0))
        except NodeError:
            return None

    def sees(self, node: str) -> dict[str, str]:
        """How this node sees the others: name -> status."""
        status = self.status(node)
        return {} if status is None else {m.name: m.status for m in status.members if m.name != node}

    def wait_sees(self, node: str, others: Mapping[str, str]) -> None:
        wait_until(lambda: self.sees(node) == others, f"{node} sees {others}", lambda: self.sees(node))

    def count(self, node: str, name: str) -> int:
        """How often this node's group has done something."""
        status = self.status(node)
        assert status is not None, f"{node} does not answer"
        return status.counts.get(name, 0)


def wait_pid(marker: Path) -> int:
    """The process id that somebody writes into this file."""
    wait_until(lambda: marker.exists() and marker.read_text(), f"{marker} is written")
    return int(marker.read_text())


def alive(pids: list[int]) -> list[int]:
    """Those of these processes that still run; a zombie does not."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found
