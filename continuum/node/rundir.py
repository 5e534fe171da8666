"""The run directory of a node: its sockets, its lock, and the list of its processes.

::

    <place>/<instance>/<name>/   node.lock   held by the supervisor for as long as the node lives
                                 processes.json   what runs now, for `continuum` and for programs
                                 engine-1, worker-1, ...   sockets

The place is ``nodes`` in the project's ``.continuum``, and the instance has its database behind an ``@`` unless that is
the project's own. Where there is no such folder, or its path is too long for a socket's address, the place is a short
folder of this user in the system's directory for such files, one for each database and instance. So a node has the same
run directory whenever it starts, and nodes of one name on different databases have different ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from continuum.config import EMBEDDED_FOLDER, DatabaseChoice
from continuum.errors import NodeError
from continuum.model.ids import Owner
from continuum.supervisor.supervisor import ProcessInfo
from continuum.wire.sockets import SOCKET_PATH_BYTES_MAX

LOCK, PLACE_LOCK, PROCESSES = "node.lock", ".lock", "processes.json"
_SOCKET_NAME_BYTES_MAX = 16


class ProcessRow(NamedTuple):
    """A live process of a node."""

    name: str
    role: str
    pid: int


@dataclass(frozen=True, slots=True)
class ProcessList:
    """What ``processes.json`` says: the supervisor's own process, those below it, and the names of all there ought to
    be."""

    pid: int
    node: str
    instance: str
    boot: str
    processes: tuple[ProcessInfo, ...] = ()
    wanted: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Names of the processes that do not do their work yet, or not any more."""
        running = {info.child_id for info in self.processes if info.state == "running"}
        return sorted(set(self.wanted) - running)

    def rows(self) -> list[ProcessRow]:
        """All of them, the supervisor first."""
        below = [ProcessRow(info.child_id, info.role, info.pid) for info in self.processes]
        return [ProcessRow("supervisor", "supervisor", self.pid), *below]

    def owners(self) -> list[str]:
        """What its processes may own in the database: runs (engines), tasks (dispatcher), an address (group)."""
        return [
            str(Owner(self.node, self.instance, info.child_id, info.incarnation))
            for info in self.processes
            if info.role in ("engine", "dispatcher", "group")
        ]


class RunDirectory:
    """A run directory that belongs to this process until `close`, with nothing of a former node in it.

    What killed nodes have left in it and beside it is removed; ``former_owners`` are the owners among their
    processes, which are dead: a lock outlives no supervisor, and no child outlives its supervisor.

    Raises:
        NodeError: another node runs there, or the folder cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.former_owners: list[str] = []
        try:
            with _alone_in(path.parent):
                self._lock_fd = _take(path, self.former_owners)
                for other in path.parent.iterdir():
                    if other != path:
                        _remove_dead(other, self.former_owners)
        except OSError as error:
            raise NodeError(
                f"cannot use {path} as run directory: {error.strerror}; nothing was started. "
                "Run as its owner, or start in a folder that you may write to"
            ) from error

    def publish(self, processes: ProcessList) -> None:
        """Replace ``processes.json`` at once."""
        part = self.path / f"{PROCESSES}.part"
        part.write_text(json.dumps(asdict(processes)) + "\n")
        part.replace(self.path / PROCESSES)

    def close(self) -> None:
        """Remove the directory and what was the node's in it; the name is free for another."""
        with suppress(OSError), _alone_in(self.path.parent):  # whoever removed it before us is welcome
            _remove(self.path)
        os.close(self._lock_fd)

    def release(self) -> None:
        """In a forked child: close the copy of the lock, which stays the parent's."""
        os.close(self._lock_fd)


@contextmanager
def _alone_in(place: Path) -> Iterator[None]:
    """Nobody else makes or removes run directories there meanwhile."""
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place / PLACE_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, former_owners: list[str]) -> int:
    """Make the folder empty, note who was there, and return the descriptor of its lock."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    lock_fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip()
        os.close(lock_fd)
        raise NodeError(
            f"a node runs in {path} already (process {holder or 'unknown'}); nothing was started. "
            "Stop it, or give this one another --name"
        ) from None
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
    former_owners += _owners_in(path)
    _empty(path)
    return lock_fd


def _remove_dead(path: Path, former_owners: list[str]) -> None:
    """Remove a run directory that no node holds, and note who was there."""
    try:
        lock_fd = os.open(path / LOCK, os.O_RDWR)
    except OSError:
        return  # no run directory, or not ours
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        former_owners += _owners_in(path)
        _remove(path)
    except OSError:
        pass  # it is in use, or somebody put something there
    finally:
        os.close(lock_fd)


def _owners_in(path: Path) -> list[str]:
    processes = read_processes(path)
    return [] if processes is None else processes.owners()


def _remove(path: Path) -> None:
    _empty(path)
    (path / LOCK).unlink(missing_ok=True)
    path.rmdir()


def _empty(path: Path) -> None:
    for leftover in path.iterdir():
        if leftover.name != LOCK and not leftover.is_dir():
            leftover.unlink(missing_ok=True)


def read_processes(path: Path) -> ProcessList | None:
    """Return what runs in a run directory; None if nothing does, or nothing that this version can read."""
    try:
        found = json.loads((path / PROCESSES).read_text())
        processes = tuple(ProcessInfo(**_known(ProcessInfo, info)) for info in found["processes"])
        wanted = tuple(found.get("wanted", ()))  # older nodes did not write it
        return ProcessList(**{**_known(ProcessList, found), "wanted": wanted, "processes": processes})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _known(kind: type[ProcessInfo | ProcessList], found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what another version of Continuum has written besides."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in found.items() if name in names}


def is_held(path: Path) -> bool:
    """True if a supervisor lives in this run directory: the kernel gives back the lock of one that died."""
    try:
        lock_fd = os.open(path / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock_fd)
    return False


def choose_run_directory(choice: DatabaseChoice, instance: str, name: str, start: Path) -> Path:
    """Return where a node of this name has its run directory. ``start`` is where the search for the project begins."""
    project: Path | None
    if choice.embedded_root is not None:
        project, group = choice.embedded_root, instance
    else:
        project = _project_folder(start.resolve())
        group = f"{instance}@{_digest(_database_of(choice.url or ''))[:8]}"
    if project is not None and _fits(project / "nodes" / group / name):
        return project / "nodes" / group / name
    return _short_directory(Path(_digest(f"{project}/{group}")[:8], _digest(name)[:8]))


def _database_of(url: str) -> str:
    """Which database a URL means, however it is written: not who asks for it, nor how."""
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    parts = {**defaults, **{name: str(value) for name, value in conninfo_to_dict(url).items()}}
    host = parts.get("hostaddr") or parts.get("host") or "local"
    return f"{host}:{parts.get('port')}/{parts.get('dbname') or parts.get('user')}"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _project_folder(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / EMBEDDED_FOLDER).is_dir() and os.access(folder / EMBEDDED_FOLDER, os.W_OK):
            return folder / EMBEDDED_FOLDER
    return None


def _short_directory(name: Path) -> Path:
    """A folder below one that only this user may enter.

    Raises:
        NodeError: somebody else has put something in its place.
    """
    for base in _system_places():
        home = base / f"continuum-{os.geteuid()}"
        if not _fits(home / name):
            continue
        with suppress(FileExistsError):
            home.mkdir(mode=0o700)
        found = home.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise NodeError(
                f"{home} is not a folder of this user alone; nothing was started. Remove it, or set XDG_RUNTIME_DIR"
            )
        return home / name
    raise NodeError("no folder for sockets has a path that is short enough; set XDG_RUNTIME_DIR to one")


def _system_places() -> Sequence[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [Path(runtime)] if runtime else []
    places += [Path(tempfile.gettempdir()), Path("/tmp")]
    return [place for place in places if place.is_dir() and os.access(place, os.W_OK)]


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) + 1 + _SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX
