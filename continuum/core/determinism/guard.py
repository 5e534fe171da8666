"""Stops, while workflow code runs, what the scan could not see: files, sockets, processes, sleeping (X7).

The interpreter tells an audit hook of every such operation, in whatever library. The hook refuses it if the thread is
inside a workflow loop, which it asks asyncio: nothing is set and nothing is reset for it on the way of a run. Other
threads (activities of the same process) have another loop or none; so has what ``side_effect`` runs.

Let pass is what reads code and constants of the installation rather than the world: imports, with all that a module
does while it is imported; source lines for tracebacks and warnings; time zones. And finalizers, which may be those of
foreign objects that the collector has found just now.
"""

from __future__ import annotations

import functools
import sys
import time
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from types import FrameType
from typing import Any

from continuum.core.determinism.table import rule_named
from continuum.errors import DeterminismError, Finding

_EVENTS: dict[str, str] = {
    **dict.fromkeys(("time.sleep",), "blocking-sleep"),
    **dict.fromkeys(
        (
            *("open", "builtins.input", "mmap.__new__", "shutil.rmtree", "sqlite3.connect", "glob.glob"),
            *("os.chdir", "os.chflags", "os.chmod", "os.chown", "os.getxattr", "os.link", "os.listdir"),
            *("os.listxattr", "os.lockf", "os.mkdir", "os.remove", "os.removexattr", "os.rename", "os.rmdir"),
            *("os.scandir", "os.setxattr", "os.symlink", "os.truncate", "os.utime", "os.walk", "os.fwalk"),
            *("os.putenv", "os.unsetenv", "fcntl.fcntl", "fcntl.flock", "fcntl.ioctl", "fcntl.lockf"),
            *("pathlib.Path.glob", "pathlib.Path.rglob", "tempfile.mkdtemp", "tempfile.mkstemp"),
        ),
        "io",
    ),
    **dict.fromkeys(
        (
            *(
                "socket.__new__",
                "socket.bind",
                "socket.connect",
                "socket.getaddrinfo",
                "socket.gethostbyaddr",
            ),
            *("socket.gethostbyname", "socket.gethostname", "socket.getnameinfo", "socket.getservbyname"),
            *(
                "socket.getservbyport",
                "socket.sendmsg",
                "socket.sendto",
                "urllib.Request",
                "http.client.connect",
            ),
            *("ftplib.connect", "imaplib.open", "poplib.connect", "smtplib.connect"),
        ),
        "network",
    ),
    **dict.fromkeys(
        (
            *(
                "subprocess.Popen",
                "os.exec",
                "os.fork",
                "os.forkpty",
                "os.kill",
                "os.killpg",
                "os.posix_spawn",
            ),
            *("os.spawn", "os.startfile", "os.system", "pty.spawn", "signal.pthread_kill", "webbrowser.open"),
        ),
        "process",
    ),
    **dict.fromkeys(("_thread.start_new_thread", "_thread.start_joinable_thread"), "threads"),
}
_READ_THEMSELVES = ("linecache", "tokenize", "zoneinfo", "importlib")
_installed_for: type[AbstractEventLoop] | None = None


def install(loop_type: type[AbstractEventLoop]) -> None:
    """Guard the loops of this type in this process, from now on. A hook cannot be taken back; once is enough."""
    global _installed_for
    if _installed_for is None:
        _installed_for = loop_type
        sys.addaudithook(_hook)
        if sys.version_info < (3, 13):  # before, sleeping was no audit event
            time.sleep = _audited(time.sleep)


def refuse(what: str, rule: str) -> DeterminismError:
    """The error of an operation that workflow code has just tried, at the line that tried it."""
    file, line = _user_line(sys._getframe(1))
    return DeterminismError([Finding(file, line, rule, what, rule_named(rule).remedy)])


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if (
        event in _EVENTS
        and type(_get_running_loop()) is _installed_for
        and not _passes(sys._getframe(1), args)
    ):
        detail = f"({args[0]!r})" if args and isinstance(args[0], str | int | float) else ""
        raise refuse(f"{event}{detail}", _EVENTS[event])


def _passes(innermost: FrameType, args: tuple[Any, ...]) -> bool:
    """Whether an operation only reads the installation, or belongs to an object that is on its way out."""
    zones = getattr(sys.modules.get("zoneinfo"), "TZPATH", ())
    if args and any(
        str(args[0]).startswith(folder) for folder in zones
    ):  # it is opened without a frame of Python
        return True
    frame: FrameType | None = innermost
    while frame is not None and not _is_loop(frame):
        module = str(frame.f_globals.get("__name__", ""))
        if frame.f_code.co_name == "__del__" or module.partition(".")[0] in _READ_THEMSELVES:
            return True
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _user_line(innermost: FrameType) -> tuple[str, int]:
    """The innermost line that is neither ours nor the standard library's."""
    frame: FrameType | None = innermost
    while frame is not None and not _is_loop(frame):
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root != "continuum" and root not in sys.stdlib_module_names:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return innermost.f_code.co_filename, innermost.f_lineno


def _is_loop(frame: FrameType) -> bool:
    return frame.f_code.co_name == "drain" and isinstance(frame.f_locals.get("self"), _installed_for or ())


def _audited(sleep: Any) -> Any:
    """``time.sleep`` as later Pythons have it: an event, then the sleep. Who has bound the old one keeps it."""

    @functools.wraps(sleep)
    def audited(seconds: float, /) -> None:
        _hook("time.sleep", (seconds,))
        sleep(seconds)

    return audited
