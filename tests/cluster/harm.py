"""What the scan and the guard cannot know of: bugs in extensions and in libraries that were trusted.

Harm is done as long as the file exists that ``CONTINUUM_TEST_ARMED`` names.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

ARMED = "CONTINUUM_TEST_ARMED"


def do(how: str) -> None:
    if Path(os.environ[ARMED]).exists():
        _HARM[how]()


def _exit() -> None:
    os._exit(3)


def _crash() -> None:
    ctypes.string_at(0)


def _out_of_memory() -> None:
    """What the kernel does to a process that has taken too much; past the guard, which knows ``os.kill``."""
    ctypes.CDLL(None).kill(os.getpid(), signal.SIGKILL)


def _loop() -> None:
    while True:
        pass


def _hold_the_lock() -> None:
    """A call into C that no other thread of the interpreter gets a turn beside."""
    re.match(r"(a*)*b", "a" * 64)


_HARM: dict[str, Callable[[], None]] = {
    "exit": _exit,
    "crash": _crash,
    "memory": _out_of_memory,
    "loop": _loop,
    "lock": _hold_the_lock,
}
