"""Programs in processes of their own, without the third of a second that each would spend on imports.

::

    test ──program, descriptors──► stock: has imported the project, and does nothing else
                                     └─fork─► keeper: waits for the program, and tells the test how it ended
                                                └─fork─► the program

What a program prints, reads, is sent by signals and exits with is as if it had been started by itself: it begins as
``python -c PROGRAM ARGUMENTS`` does, and nothing of the project ran in the stock but its imports. What a test says
about the start itself (imports, a signal before them) it says about a process that it starts itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

CHECKOUT = Path(__file__).parents[1]
SEARCH_PATH = f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'cli'}"
_STOCK = "import sys; from tests.stock import serve; serve(int(sys.argv[1]))"


class Fork:
    """A program that runs, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = int(answers.recv(16))
        answers.sendall(b"x")  # from here on its end may be told
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, that of a signal below 0.

        Raises:
            TimeoutExpired: it runs for longer than ``timeout`` seconds.
        """
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(16))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None
            self._answers.close()
        return self.returncode


def fork(
    program: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[Any] | None = None,
    stdout: IO[Any],
    stderr: IO[Any],
) -> Fork:
    """Run ``program``, a text in Python, in a process of its own; without ``stdin`` it has nothing to read."""
    ours, theirs = socket.socketpair()
    with theirs, Path(os.devnull).open() as nothing:
        files = [theirs, stdin or nothing, stdout, stderr]
        socket.send_fds(_stock(), [b"x"], [file.fileno() for file in files])
    request = {"program": program, "arguments": arguments, "cwd": str(cwd), "env": dict(env)}
    ours.sendall(json.dumps(request).encode() + b"\n")
    return Fork(ours)


@cache
def _stock() -> socket.socket:
    """The line to the stock of this test worker, which ends with it."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            [sys.executable, "-c", _STOCK, str(theirs.fileno())],
            env=os.environ | {"PYTHONPATH": SEARCH_PATH},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours
