"""Servers of a test's own: where they live, who uses them, and what is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from continuum.embedded import EmbeddedPostgres
from continuum.embedded_binaries import OsUser

CHECKOUT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{sysconfig.get_path('purelib')}"}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run this")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

USER = """
import sys
from pathlib import Path
from continuum.embedded import EmbeddedPostgres
from continuum.errors import EmbeddedPostgresError
server = EmbeddedPostgres(Path(sys.argv[1]))
try:
    print(server.attach(), server.postmaster_pid, flush=True)
except EmbeddedPostgresError as error:
    sys.exit(str(error))
sys.stdin.read()
"""


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quick(root: Path, port: int | None = None) -> EmbeddedPostgres:
    """A server that does not sync: these tests kill processes, never the machine."""
    return EmbeddedPostgres(root, port=port, settings={"fsync": "off"})


def processes_of(root: Path) -> list[str]:
    """The live servers and reapers whose command line names this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{root}/data" in line:
            found.append(line)
    return found


@contextmanager
def user_process(
    root: Path, user: OsUser | None = None, python: str = sys.executable
) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Another process that is attached, with the URL and the postmaster that it was told."""
    process = subprocess.Popen(
        [python, "-c", USER, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )
    try:
        assert process.stdout is not None
        url, pid = process.stdout.readline().split()
        yield process, url, int(pid)
    finally:
        process.kill()
        process.communicate()


def value(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def write(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def kill_postmaster(server: EmbeddedPostgres) -> None:
    pid = server.postmaster_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.postmaster_pid is None, "the postmaster is dead")
