"""The reaper: a process that stops an embedded server after its last user, however that one ended.

A user of the server holds a shared ``flock`` on ``users.lock`` for as long as it lives; the kernel takes
it back from a process that exits, crashes or is killed. The reaper asks for the same lock exclusively::

    user 1   ──shared──────────────┐ exit
    user 2      ──shared─────────────────┐ kill -9
    reaper   ····················waits····└─exclusive─ stop the server ─ exit
    user 3                                   ·····waits for the reaper·····└─shared─ start it again

``reaper.lock`` makes it the only one; containers that share the folder have one each, because a signal does not leave a
process namespace. Whoever starts it takes that lock and hands over the descriptor, so
there is no moment with two reapers or with none. It gives ``reaper.lock`` back *before* it stops the server:
a newcomer, who waits for ``users.lock`` meanwhile, must be able to start the next one.

The file runs by its path and imports the standard library only (``python -I -S embedded_reaper.py``): it
costs little, and lives on when the environment that started it is taken away.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Literal

StopMode = Literal["smart", "fast", "immediate"]
"""As in ``pg_ctl stop``: wait for the clients, roll them back, or stop without a checkpoint."""

_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_FAST_STOP_S = 60.0  # a checkpoint on a slow disk
_HARD_STOP_S = 10.0  # the postmaster itself kills its children after 5
_LATE_START_S = 5.0  # from the launch of a server to its pid file, on a busy machine
_POLL_S = 0.02


def postmaster_pid(data: Path) -> int | None:
    """The process id of the live postmaster of this data directory, or None.

    The file alone proves nothing: after a crash its number may belong to a stranger or to a zombie, and in another
    container it means nothing. A postmaster that this process cannot see is known by its socket, which it alone holds.
    """
    lines = _pid_file(data)
    if not lines or not lines[0].isdigit():
        return None
    pid = int(lines[0])
    return pid if is_postmaster(pid, data) or _is_listening(lines) else None


def is_elsewhere(data: Path) -> bool:
    """Whether a postmaster runs that this process has no name for: in another container."""
    pid = postmaster_pid(data)
    return pid is not None and not is_postmaster(pid, data)


def taken(descriptor: int) -> bool:
    """Take the lock of an open file, unless somebody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def namespace() -> str:
    """Which processes this one can signal: a name for its process namespace, the same for all in it."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "all"


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _is_listening(lines: list[str]) -> bool:
    """Whether somebody listens on the socket that a pid file names; the kernel knows, in whatever container."""
    if len(lines) < 6:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(f"{lines[4]}/.s.PGSQL.{lines[3]}")
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # too busy to take us, or not for us: somebody is there
    return True


def starting_marker(data: Path) -> Path:
    """The file that exists while a server is being started on this data directory."""
    return data.with_name("starting")


def is_postmaster(pid: int, data: Path) -> bool:
    """Whether this process is, right now, the postmaster of this data directory."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    # Arguments may be read by everyone, unlike the working directory: in a container root may not see that one.
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return arguments[0].rpartition(b"/")[2] == b"postgres" and os.fsencode(data) in arguments


def stop_postmaster(data: Path, mode: StopMode = "fast") -> bool:
    """Stop the server of this data directory, the hard way if it does not go; False if none was running here."""
    pid = postmaster_pid(data)
    if pid is None or not is_postmaster(pid, data):
        return False
    steps = [(_SIGNALS[mode], _FAST_STOP_S), (signal.SIGQUIT, _HARD_STOP_S), (signal.SIGKILL, _HARD_STOP_S)]
    for number, patience_s in steps:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        if _ended(pid, data, patience_s):
            break
    return True


def _ended(pid: int, data: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while is_postmaster(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _reap(root: Path, data: Path, reaper_fd: int) -> None:
    users_fd = os.open(root / "users.lock", os.O_RDWR)
    fcntl.flock(users_fd, fcntl.LOCK_EX)
    fcntl.flock(
        reaper_fd, fcntl.LOCK_UN
    )  # said, not left to close(): others may have inherited the descriptor
    os.close(reaper_fd)
    # Its last user may have been killed while the server was starting: then its pid file is yet to come.
    deadline = time.monotonic() + _LATE_START_S
    while not stop_postmaster(data) and starting_marker(data).exists() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def main(arguments: list[str]) -> None:
    """``embedded_reaper.py ROOT DATA FD``, with FD an open descriptor that holds ``reaper.lock``."""
    root, data, reaper_fd = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    # A child of a child belongs to nobody's wait(): the process that started it is not left with a zombie.
    if os.fork():
        os._exit(0)
    # What ends the users of a session ends them one by one; the reaper has to be the last to leave.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _reap(root, data, reaper_fd)


if __name__ == "__main__":
    main(sys.argv[1:])
