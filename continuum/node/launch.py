"""How a program starts a node as a fresh process, and what the two say to each other.

program                                   node
  standard input: length, Launch  ──►       reads it, then keeps the pipe as its lifeline: the end of the program,
                                            however it ends, is the end of this file, and a graceful stop
  report pipe                     ◄──       one Report: it runs, or the line that says why not
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from continuum.config import DatabaseChoice, Source
from continuum.errors import NodeError
from continuum.node.child import Site
from continuum.node.config import NodeConfig
from continuum.surroundings import open_standard

# The program's own search path, so that the node imports what the program would; settings come over the pipe,
# because a command line is no place for a password.
COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from continuum.node.launch import main; main()"
)
LIFELINE_FD = 0
_LENGTH = struct.Struct(">I")


class Launch(msgspec.Struct, frozen=True):
    """What the node is to run, and the descriptor that takes its report."""

    config: NodeConfig
    source: Source
    url: str | None
    embedded_root: str | None
    report_fd: int

    @classmethod
    def of(cls, config: NodeConfig, choice: DatabaseChoice, report_fd: int) -> Launch:
        root = None if choice.embedded_root is None else str(choice.embedded_root)
        return cls(config, choice.source, choice.url, root, report_fd)

    @property
    def choice(self) -> DatabaseChoice:
        """The database that the program has chosen."""
        root = None if self.embedded_root is None else Path(self.embedded_root)
        return DatabaseChoice(self.source, self.url, root)


class Report(msgspec.Struct, frozen=True):
    """``error``: why the node did not start. Else where it runs."""

    error: str | None = None
    run_directory: str = ""
    database_url: str = ""


def encode_launch(launch: Launch) -> bytes:
    """The bytes for the node's standard input."""
    body = msgspec.json.encode(launch)
    return _LENGTH.pack(len(body)) + body


def read_report(descriptor: int) -> Report:
    """Wait for the node's report. A node that ends without one has said why on standard error."""
    data = b""
    while not data.endswith(b"\n") and (part := os.read(descriptor, 65536)):
        data += part
    if not data.endswith(b"\n"):
        return Report(error="the node ended before it had started; its last lines on standard error say why")
    return msgspec.json.decode(data, type=Report)


def main() -> None:
    """The fresh process: run the node that standard input describes, and exit."""
    from continuum.node.run import exit_code_of, supervise  # late: the program does not need the roles

    open_standard()
    launch = msgspec.json.decode(_read(*_LENGTH.unpack(_read(_LENGTH.size))), type=Launch)
    os.set_inheritable(launch.report_fd, False)

    def report(report: Report) -> None:
        with suppress(BrokenPipeError):  # the program is gone, which the lifeline will say
            os.write(launch.report_fd, msgspec.json.encode(report) + b"\n")
        os.close(launch.report_fd)

    def on_start(site: Site) -> None:
        report(Report(run_directory=str(site.run_directory.path), database_url=site.url))

    def work() -> int:
        return supervise(launch.config, launch.choice, lifeline_fd=LIFELINE_FD, on_start=on_start)

    sys.exit(exit_code_of(work, lambda line: report(Report(error=line))))


def _read(size: int) -> bytes:
    """Exactly so many bytes of the lifeline: what follows belongs to the supervisor."""
    data = b""
    while len(data) < size:
        part = os.read(LIFELINE_FD, size - len(data))
        if not part:
            raise NodeError("the program that starts this node is gone; nothing was started")
        data += part
    return data
