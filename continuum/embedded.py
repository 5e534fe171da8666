"""The embedded PostgreSQL: started on first use, shared by every process that asks, stopped with the last.

Who uses a server holds a shared lock that the kernel gives back however the process ends; the reaper
(`embedded_reaper`) stops the server once it can have that lock for itself. No counter, nothing to repair.

Files below ``root``::

    users.lock   shared: a user; exclusive: the reaper, while it stops the server
    start.lock   exclusive: who starts, stops or restarts the server
    reaper.lock  exclusive: the reaper, while it waits (`reaper-N.lock`: that of another container)
    server.lock  exclusive: every process of the server, which inherits it
    data/        the cluster          run/   its socket          postgres.log

Started by root from a place that no ordinary user can enter, the last three are in a folder below
`SYSTEM_PLACE`, and ``root/server`` is a link to it.

A lock belongs to the process that attached. A program that is started later does not inherit it (descriptors
are close-on-exec), nor does a forked child: a child that wants the server to stay attaches by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from continuum import embedded_binaries, embedded_reaper
from continuum.embedded_binaries import reachable, server_user
from continuum.embedded_reaper import StopMode
from continuum.embedded_server import ROLE, Endpoint, Server
from continuum.errors import EmbeddedPostgresError
from continuum.surroundings import beyond_standard, interpreter

DATABASE = "continuum"

_SHELL = re.compile(r"[\"$`\\\n]")  # what a shell expands between double quotes, where pg_ctl puts the path

# What this process is a user of, for a forked child to let go of.
_attached: set[EmbeddedPostgres] = set()


class EmbeddedPostgres:
    """A PostgreSQL server on ``root``, running for as long as any process is attached to it.

    ``port`` also opens it to programs on this machine over TCP, with a password (`tcp_url`). ``settings`` are
    lines for ``postgresql.conf``. Both take effect when this process is the one that starts the server.
    Every method may be called from any thread. An object that is dropped stays attached: its URL is in use.
    """

    def __init__(
        self, root: Path, *, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.root = Path(root).absolute()
        if _SHELL.search(str(self.root)):
            raise EmbeddedPostgresError(
                f"PostgreSQL cannot be started in {str(self.root)!r}: its pg_ctl does not take such a name. "
                "Choose a path without quotes, dollars, backslashes and line breaks"
            )
        self._port = port
        self._settings = dict(settings)
        self._lock = threading.RLock()
        self._users_fd: int | None = None
        self._endpoint: Endpoint | None = None
        self._known_server: Server | None = None

    def attach(self) -> str:
        """Become a user of the server, starting it if needed, and return its `url`. Again: `ensure_running`.

        Waits while the server is being started, or stopped after its last user, by another process.

        Raises:
            EmbeddedPostgresError: it cannot be started; one line says why. This process is no user then.
        """
        with self._lock:
            if self._users_fd is None:
                self._take_users_lock()
                try:
                    self.ensure_running()
                except BaseException:
                    self.detach()
                    raise
            else:
                self.ensure_running()
            return self.url

    def detach(self) -> None:
        """Stop being a user. The server stops a moment later, unless somebody else uses it."""
        with self._lock:
            if self._users_fd is not None:
                fcntl.flock(self._users_fd, fcntl.LOCK_UN)
                self._forget()

    def ensure_running(self) -> bool:
        """Start the server again if it was killed; True if it had to be started.

        Raises:
            EmbeddedPostgresError: it cannot be started, or this process is not attached.
        """
        with self._lock, self._start_lock():
            server = self._server()
            started = not server.is_answering()
            self._ensure_reaper(server)  # first: a start that is interrupted has somebody to end it
            if started:
                server.start()
            server.open_to(DATABASE)
            self._note_endpoint(server)
            return started

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server for all its users and start it again. ``immediate`` is a crash with recovery."""
        with self._lock, self._start_lock():
            server = self._server()
            server.stop(mode)
            server.start()
            self._note_endpoint(server)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server now, for all its users, and detach. Needs no `attach` before."""
        with self._lock:
            if self.root.exists():
                with self._mutex():
                    self._server().stop(mode)
            self.detach()
            self._known_server = None

    @property
    def url(self) -> str:
        """The URL of the database ``continuum`` for this process and every other of the same user."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of another database on this server."""
        endpoint = self._require_endpoint()
        host = quote(endpoint.sockets, safe="/")
        return f"postgresql://{ROLE}@/{quote(database, safe='')}?host={host}&port={endpoint.port}"

    @property
    def tcp_url(self) -> str:
        """The URL over TCP, password included, for programs that run as other users or cannot use the socket."""
        endpoint = self._require_endpoint()
        if not endpoint.tcp:
            raise EmbeddedPostgresError(f"the server in {self.root} was started without TCP; give it a port")
        password = quote(self._server().password(), safe="")
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{endpoint.port}/{DATABASE}"

    @property
    def postmaster_pid(self) -> int | None:
        """The process id of the running server, or None."""
        return embedded_reaper.postmaster_pid(self._server().data)

    def __enter__(self) -> Self:
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def _take_users_lock(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # The unprivileged server of a root user only has to pass through.
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n")
            descriptor = beyond_standard(os.open(self.root / "users.lock", os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise EmbeddedPostgresError(
                f"cannot use {self.root} for the embedded PostgreSQL: {error.strerror}; nothing was started. "
                "Run as its owner, make room, or name a server with CONTINUUM_DATABASE_URL"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
        self._users_fd = descriptor
        _attached.add(self)

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        if self._users_fd is None:
            raise EmbeddedPostgresError(f"not attached to the server in {self.root}; call attach() first")
        with self._mutex():
            yield

    @contextlib.contextmanager
    def _mutex(self) -> Iterator[None]:
        descriptor = os.open(self.root / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            # Said, not left to close(): a child that a thread forked meanwhile has the same descriptor open.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _server(self) -> Server:
        if self._known_server is None:
            try:
                self._known_server = self._find_server()
            except OSError as error:
                raise EmbeddedPostgresError(
                    f"cannot use {error.filename} for the embedded PostgreSQL: {error.strerror}; nothing was started. "
                    "Run as an ordinary user, or name a server with CONTINUUM_DATABASE_URL"
                ) from error
        return self._known_server

    def _find_server(self) -> Server:
        link = self.root / "server"
        home = link.resolve() if link.is_symlink() else self.root
        user = server_user(home / "data")
        if user is not None and home == self.root and self.root.exists() and not reachable(self.root, user):
            home = embedded_binaries.SYSTEM_PLACE / "clusters" / uuid.uuid4().hex[:12]
            link.symlink_to(home)
        if home != self.root:
            home.mkdir(parents=True, exist_ok=True)
            for folder in (home, home.parent, embedded_binaries.SYSTEM_PLACE):
                folder.chmod(0o755)
        return Server(home, user, self._port, self._settings)

    def _note_endpoint(self, server: Server) -> None:
        endpoint = server.endpoint()
        if endpoint is None:
            raise EmbeddedPostgresError(
                f"the server in {self.root} ended at once; see {server.place}/postgres.log"
            )
        if self._port is not None and (endpoint.port, endpoint.tcp) != (self._port, True):
            raise EmbeddedPostgresError(
                f"the server in {self.root} is running already, without port {self._port}; nothing was changed. "
                "Stop its users first, or leave the port out"
            )
        self._endpoint = endpoint

    def _require_endpoint(self) -> Endpoint:
        if self._endpoint is None:
            raise EmbeddedPostgresError(f"not attached to the server in {self.root}; call attach() first")
        return self._endpoint

    def _ensure_reaper(self, server: Server) -> None:
        here = embedded_reaper.namespace()
        descriptor = beyond_standard(os.open(self.root / "reaper.lock", os.O_RDWR | os.O_CREAT, 0o600))
        try:
            if not embedded_reaper.taken(descriptor) and os.pread(descriptor, 64, 0) not in (
                b"",
                here.encode(),
            ):
                os.close(descriptor)  # it is of another container: what this one starts needs one of its own
                descriptor = os.open(self.root / f"reaper-{here}.lock", os.O_RDWR | os.O_CREAT, 0o600)
                descriptor = beyond_standard(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, here.encode(), 0)
            # The lock goes with the descriptor: the reaper has it before anybody else can ask.
            subprocess.run(
                [
                    interpreter(),
                    "-I",
                    "-S",
                    embedded_reaper.__file__,
                    self.root,
                    server.data,
                    str(descriptor),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                pass_fds=[descriptor],
                check=True,
            )
        except BlockingIOError:
            pass  # there is one
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedPostgresError(
                f"could not start the process that stops the server with its last user: {error}; "
                "name a server with CONTINUUM_DATABASE_URL"
            ) from error
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        if self._users_fd is not None:
            os.close(self._users_fd)
        self._users_fd = self._endpoint = self._known_server = None
        _attached.discard(self)


def _forget_all() -> None:
    """In a forked child: let go of the parent's locks, without giving them back for the parent."""
    for server in list(_attached):
        server._lock = threading.RLock()  # the parent's may be held by a thread that does not exist here
        server._forget()


os.register_at_fork(after_in_child=_forget_all)
