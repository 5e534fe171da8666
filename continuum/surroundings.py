"""What a process is started with and may lack: standard descriptors and streams, and an interpreter for others.

A daemon is started without standard input, output or error. Then the next descriptors that are opened get their
numbers, and whoever redirects a standard one later, or gives a child its own, closes something else.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from continuum.errors import ConfigurationError

_STANDARD = 3  # descriptors 0, 1 and 2
_PYTHON = re.compile(r"(python|pypy|graalpy)[\d.]*[a-z]*", re.IGNORECASE)


def open_standard() -> None:
    """Open what is closed of the standard descriptors and streams of this process, which is ours, on nothing."""
    for descriptor in range(_STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good


def beyond_standard(descriptor: int) -> int:
    """Return the descriptor, moved to where nobody takes it for a standard one."""
    if descriptor >= _STANDARD:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
    finally:
        os.close(descriptor)


def pipe() -> tuple[int, int]:
    """Make a pipe whose ends can be given to another process."""
    reader, writer = os.pipe()
    return beyond_standard(reader), beyond_standard(writer)


def interpreter() -> str:
    """Return the Python that runs this program, for a process of its own. A program that embeds Python, such as uwsgi,
    names itself as the executable, and an upgrade may have removed the one that was started.

    Raises:
        ConfigurationError: there is none.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    prefixes = dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix))
    places = [Path(prefix, "bin", name) for prefix in prefixes for name in (f"python{version}", "python3")]
    for place in (sys.executable, getattr(sys, "_base_executable", None), *places):
        if place and _PYTHON.fullmatch(Path(place).name):
            with suppress(OSError):
                if os.access(place, os.X_OK) and Path(place).is_file():
                    return str(place)
    raise ConfigurationError(
        f"no Python interpreter is found to start another process with: sys.executable is {sys.executable!r}, and "
        f"there is none in {', '.join(str(Path(prefix, 'bin')) for prefix in prefixes)}; nothing was started. Set "
        f"sys.executable to a Python {version} that has continuum"
    )
