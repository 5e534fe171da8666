"""The demo, as a newcomer runs it: with a terminal and without, and interrupted; it leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.integration.commands import COMMAND, Commands
from tests.integration.servers import wait_until

pytestmark = pytest.mark.cluster
LIMIT_S = 60
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Demo:
    """A demo under way. ``family`` is every process that it was seen to have."""

    def __init__(self, folder: Path, stdout: int) -> None:
        self.folder = folder
        environment = Commands(folder).environment | {"TMPDIR": str(folder), "TERM": "xterm-256color"}
        del environment["COLUMNS"]
        self.process = subprocess.Popen(
            [*COMMAND, "demo"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
        self.family: set[psutil.Process] = set()

    def look_around(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.family.update(psutil.Process(self.process.pid).children(recursive=True))

    def assert_nothing_is_left(self) -> None:
        assert len(self.family) >= 7, "there was a node"
        wait_until(lambda: not [each for each in self.family if _lives(each)], "its processes have ended")
        wait_until(lambda: not _servers_below(self.folder), "its database has ended")
        assert list(self.folder.iterdir()) == []


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _servers_below(folder: Path) -> list[str]:
    """The servers and reapers whose command line names a folder in ``folder``."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [line for line in process.cmdline() if f"{folder}/" in line]
    return found


def parts_of(descriptor: int) -> Iterator[bytes]:
    """What a program writes, until its end; on a terminal that is an error of the system."""
    with suppress(OSError):
        while part := os.read(descriptor, 65536):
            yield part


def test_without_a_terminal_the_demo_prints_plain_lines_and_proves_itself(open_folder: Path) -> None:
    reader, writer = os.pipe()
    demo = Demo(open_folder, writer)
    os.close(writer)
    printed = b""
    for part in parts_of(reader):
        printed += part
        demo.look_around()
    os.close(reader)
    text = printed.decode()
    assert demo.process.wait(LIMIT_S) == 0, text
    assert "\x1b" not in text and "\r" not in text
    for said in (
        "kill -9 worker-1 (pid ",
        "worker-1 is back (pid ",
        "kill -9 engine-1 (pid ",
        "engine-1 is back",
    ):
        assert said in text
    assert "30 of 30 orders finished" in text and "30 charges in the ledger, each made exactly once" in text
    assert text.splitlines()[-1].startswith("nothing was lost; ")
    demo.assert_nothing_is_left()


def test_in_a_terminal_the_demo_shows_a_table_that_fits(open_folder: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    demo = Demo(open_folder, slave)
    os.close(slave)
    printed = b""
    for part in parts_of(master):
        printed += part
        demo.look_around()
    os.close(master)
    assert demo.process.wait(LIMIT_S) == 0, printed.decode()
    lines = [ESCAPES.sub(b"", line).decode() for line in re.split(rb"[\r\n]+", printed)]
    assert max(len(line) for line in lines) <= 80
    assert any(re.search(r"order-01 .*order-16 ", line) for line in lines), "two orders beside each other"
    assert any("waits for approval" in line for line in lines)
    assert "nothing was lost" in lines[-2]
    frames = printed.split(b"Continuum demo: ")
    assert max(frame.count(b"\n") for frame in frames[1:-1]) < 24
    demo.assert_nothing_is_left()


def test_an_interrupted_demo_leaves_nothing(open_folder: Path) -> None:
    reader, writer = os.pipe()
    demo = Demo(open_folder, writer)
    os.close(writer)
    printed = b""
    for part in parts_of(reader):
        printed += part
        demo.look_around()
        if b"charge" in part:
            demo.process.send_signal(signal.SIGINT)
    os.close(reader)
    assert demo.process.wait(LIMIT_S) == 130
    assert printed.decode().splitlines()[-1] == "interrupted"
    demo.assert_nothing_is_left()
