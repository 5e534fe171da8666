"""One PostgreSQL server on one data directory: make it, start it, ask it, stop it.

The caller holds the lock that makes it the only one who starts or stops this server. Every process of a server holds
``server.lock``, which it has inherited: nothing is started, and no file of it touched, while one of them lives, be it
in another container, where its process id says nothing. A cluster is made
aside and renamed into place, settings are written aside and renamed, so a full disk or a kill at any moment
leaves either nothing or something whole. Durability is PostgreSQL's default: fsync and synchronous_commit on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from continuum.embedded_binaries import OsUser, current_user, find_programs, run_as
from continuum.embedded_failures import explain, wrong_major
from continuum.embedded_reaper import (
    StopMode,
    is_elsewhere,
    postmaster_pid,
    starting_marker,
    stop_postmaster,
    taken,
)
from continuum.errors import EmbeddedPostgresError
from continuum.surroundings import beyond_standard

ROLE = "continuum"
DEFAULT_PORT = 5432  # without TCP it only names the socket file

_SETTINGS: dict[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "update_process_title": "off",  # pg_stat_activity says it, too; a title for every statement costs 4 % of a step
    "jit": "off",  # compiling costs more than statements that touch a few rows
    "log_line_prefix": "%m [%p] %a ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# sun_path holds 108 bytes, of which the file's own name takes up to 17; commas and quotes separate folders.
_SOCKET_FOLDER = re.compile(r"[A-Za-z0-9_./ +-]{1,90}")
_LOG_BYTES_MAX = 16 * 2**20
_ORPHANS_S = 10.0
_READY_S = 600.0  # crash recovery of a large write-ahead log
_PING_S = 5
_open_locks: set[int] = set()  # of servers that are being started
_SILENCE_S = 20.0  # of a live server that is only slow to accept


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running server listens: the folder of its socket, and the port, which is real only with TCP."""

    sockets: str
    port: int
    tcp: bool


class Server:
    """The server whose files are in ``place``, run as ``user`` (None: as we are)."""

    def __init__(
        self, place: Path, user: OsUser | None, port: int | None, settings: Mapping[str, str]
    ) -> None:
        self.place = place
        self.data = place / "data"
        self._user = user
        self._port = port
        self._settings = settings
        self._log = place / "postgres.log"

    def endpoint(self) -> Endpoint | None:
        """Where the server listens, as it says itself; None if it has no live postmaster."""
        if postmaster_pid(self.data) is None:
            return None
        try:
            lines = os.fsdecode((self.data / "postmaster.pid").read_bytes()).splitlines()  # one is a path
        except OSError:
            return None
        return Endpoint(lines[4], int(lines[3]), bool(lines[5])) if len(lines) > 5 else None

    def is_answering(self) -> bool:
        """Whether clients can connect; waits for a server that is recovering from a crash of its own."""
        silent_until = time.monotonic() + _SILENCE_S
        while (endpoint := self.endpoint()) is not None:
            target = make_conninfo(host=endpoint.sockets, port=endpoint.port, connect_timeout=_PING_S)
            answer = pq.PGconn.ping(target.encode())
            if answer == pq.Ping.OK:
                return True
            if answer == pq.Ping.REJECT:  # it recovers, or is about to end
                silent_until = time.monotonic() + _SILENCE_S
            elif time.monotonic() > silent_until:
                raise EmbeddedPostgresError(
                    f"the server in {self.place} runs (process {postmaster_pid(self.data)}) but does not answer; "
                    "nothing was changed. End that process, or let it go on if it is stopped, and try again"
                )
            time.sleep(0.05)
        return False

    def start(self) -> None:
        """Start the server, making its cluster and its database first where there is none.

        Raises:
            EmbeddedPostgresError: with one line that says why, and what to do.
        """
        with self._explained():
            programs = find_programs(self._user)
            self._require_same_major(programs)
            with self._server_lock() as lock:
                if lock is None:
                    return  # it was about to run, and does
                if not (self.data / "PG_VERSION").exists():
                    self._make_cluster(programs)
                self._write_settings(programs)
                self._prepare_log()
                marker = starting_marker(self.data)
                marker.touch()
                try:
                    self._launch(programs, lock)
                finally:
                    marker.unlink(missing_ok=True)

    def stop(self, mode: StopMode = "fast") -> bool:
        """Stop the server; False if it was not running.

        Raises:
            EmbeddedPostgresError: it runs in another container, where no signal of this process reaches it.
        """
        if is_elsewhere(self.data):
            raise EmbeddedPostgresError(
                f"the server in {self.place} runs in another container, which alone can stop it; nothing was changed. "
                "Stop that container, or its users of the server"
            )
        return stop_postmaster(self.data, mode)

    def open_to(self, database: str) -> None:
        """Create the database unless it exists, and give the role its password for TCP."""
        endpoint = self.endpoint()
        assert endpoint is not None, "only a running server gets databases"
        try:
            with psycopg.connect(
                host=endpoint.sockets, port=endpoint.port, user=ROLE, dbname="postgres", autocommit=True
            ) as connection:
                if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [database]).rowcount:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
                self._set_password(connection)
        except psycopg.OperationalError as error:
            raise EmbeddedPostgresError(explain(self.place, str(error))) from error

    def password(self) -> str:
        """The password for TCP, which only the owner of the files can read; made on first use."""
        path = self.place / "password"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text()
        self._write(path, secrets.token_urlsafe(24), owned=False)
        return path.read_text()

    def _set_password(self, connection: psycopg.Connection) -> None:
        if self._port is None:
            return
        # Encrypted here: the statement may reach the server's log.
        verifier = connection.pgconn.encrypt_password(
            self.password().encode(), ROLE.encode(), b"scram-sha-256"
        )
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(verifier.decode()))
        )

    def _require_same_major(self, programs: Path) -> None:
        version = self._run(programs / "postgres", "--version")  # "postgres (PostgreSQL) 18.6"
        ours = version.rpartition(" ")[2].partition(".")[0].strip()
        with contextlib.suppress(FileNotFoundError):
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != ours:
                raise EmbeddedPostgresError(wrong_major(self.data, found=found, programs=ours))

    def _make_cluster(self, programs: Path) -> None:
        for leftover in self.place.glob("data.part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        part = self.place / f"data.part-{os.getpid()}"
        try:
            part.mkdir(mode=0o700)
            self._give(part)
            options = (
                "--auth=reject --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C"
            )
            self._run(programs / "initdb", "-D", part, "-U", ROLE, *options.split(), "--no-instructions")
            with (part / "postgresql.conf").open("a") as file:
                file.write("\ninclude_if_exists = 'continuum.conf'\n")
            part.rename(self.data)
            _sync_folder(
                self.place
            )  # else a power cut could undo the renaming, and the next start begins anew
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _write_settings(self, programs: Path) -> None:
        sockets = self._socket_dir()
        settings = {
            **_SETTINGS,
            "listen_addresses": "" if self._port is None else "127.0.0.1",
            "port": str(self._port or DEFAULT_PORT),
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "cluster_name": self._cluster_name(),
        }
        if (programs.parent / "lib/pg_stat_statements.so").exists():
            settings["shared_preload_libraries"] = "pg_stat_statements"
        settings |= self._settings
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        self._write(self.data / "continuum.conf", "".join(lines))
        hba = f"local all all peer map={ROLE}\nhost all all 127.0.0.1/32 scram-sha-256\n"
        self._write(self.data / "pg_hba.conf", hba)
        names = sorted({current_user().name, "root", *([self._user.name] if self._user else [])})
        self._write(self.data / "pg_ident.conf", "".join(f'{ROLE} "{name}" {ROLE}\n' for name in names))

    def _socket_dir(self) -> Path:
        """A folder that only the server's user may enter, with a name short enough for a socket's address."""
        folder = self.place / "run"
        if not _SOCKET_FOLDER.fullmatch(str(folder)):
            folder = Path("/tmp") / f"{self._cluster_name()}-{os.geteuid()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            self._give(folder)
        found = folder.lstat()
        owner = self._user.uid if self._user else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise EmbeddedPostgresError(
                f"{folder} belongs to somebody else; nothing was started. Remove it first"
            )
        folder.chmod(0o700)
        return folder

    def _cluster_name(self) -> str:
        return "continuum-" + hashlib.sha256(os.fsencode(self.place)).hexdigest()[:12]

    def _prepare_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES_MAX:
            self._log.replace(self._log.with_suffix(".log.old"))
        self._log.touch(0o600)
        self._give(self._log)

    @contextlib.contextmanager
    def _server_lock(self) -> Iterator[int | None]:
        """Hold the lock that a server hands on to its processes; None if one runs after all."""
        deadline = time.monotonic() + _ORPHANS_S
        descriptor = beyond_standard(os.open(self.place / "server.lock", os.O_RDWR | os.O_CREAT, 0o600))
        _open_locks.add(descriptor)
        try:
            while not taken(descriptor):
                if postmaster_pid(self.data) is not None:
                    yield None
                    return
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"processes of a server in {self.place} live, which cannot be reached; nothing was started. "
                        "If another container has this folder, stop it, give this one a folder of its own, or name a "
                        "server with CONTINUUM_DATABASE_URL"
                    )
                self._end_orphans()
                time.sleep(0.1)
            yield descriptor
        finally:
            _open_locks.discard(descriptor)
            os.close(descriptor)  # not unlocked: the server has it now

    def _launch(self, programs: Path, lock: int) -> None:
        deadline = time.monotonic() + _ORPHANS_S
        options: list[str | Path] = ["-w", "-s", "-t", str(int(_READY_S)), "-l", self._log]
        while True:
            self._clear_stale_pidfiles()
            log_start = self._log.stat().st_size
            command: list[str | Path] = [programs / "pg_ctl", "-D", self.data, *options, "start"]
            done = run_as(self._user, command, pass_fds=[lock])
            if done.returncode == 0:
                return
            output = done.stdout + self._log.read_bytes()[log_start:].decode(errors="replace")
            if "is still in use" not in output or time.monotonic() > deadline:
                raise EmbeddedPostgresError(self._reason(output))
            # The postmaster was killed, and a busy backend has not noticed yet.
            self._end_orphans()
            time.sleep(0.1)

    def _clear_stale_pidfiles(self) -> None:
        """Remove pid files whose process is no postmaster of ours.

        PostgreSQL refuses to start while that number exists at all: a zombie that nobody reaps (a container
        without an init) or a reused number is enough. We have the server's lock, so none of its processes lives.
        """
        port = self._port or DEFAULT_PORT
        if postmaster_pid(self.data) is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            (self._socket_dir() / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)

    def _end_orphans(self) -> None:
        title = f"postgres: {self._cluster_name()}: ".encode()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if entry.read_bytes().startswith(title):
                    os.kill(int(entry.parent.name), signal.SIGQUIT)

    def _run(self, program: Path, *arguments: str | Path) -> str:
        done = run_as(self._user, [program, *arguments])
        if done.returncode:
            raise EmbeddedPostgresError(self._reason(done.stdout))
        return done.stdout

    def _reason(self, output: str) -> str:
        # A log on a full disk may have lost the very line that says so.
        if shutil.disk_usage(self.place).free < 2**20:
            output += "No space left on device"
        return explain(self.place, output)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise EmbeddedPostgresError(explain(self.place, "No space left on device")) from error
            raise EmbeddedPostgresError(explain(self.place, f"error: {error}")) from error

    def _write(self, path: Path, text: str, *, owned: bool = True) -> None:
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        part.touch(0o600)
        if owned:
            self._give(part)
        part.write_bytes(os.fsencode(text))  # it may name folders
        part.replace(path)

    def _give(self, path: Path) -> None:
        if self._user:
            os.chown(path, self._user.uid, self._user.gid)


def _close_locks() -> None:
    """In a forked child: it is no process of the server, and its life must not look like one's."""
    while _open_locks:
        os.close(_open_locks.pop())


os.register_at_fork(after_in_child=_close_locks)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
