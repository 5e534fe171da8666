"""The embedded PostgreSQL: shared by processes, gone with the last of them, back after every accident."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

from continuum import embedded_binaries
from continuum.embedded import EmbeddedPostgres
from continuum.embedded_binaries import OsUser, reachable
from continuum.errors import EmbeddedPostgresError
from tests.integration.servers import (
    CHECKOUT,
    as_root,
    free_port,
    linux,
    processes_of,
    quick,
    user_process,
    value,
    wait_until,
    write,
)

NOBODY = OsUser("nobody", 65534, 65534)


def test_attach_gives_a_durable_server_that_others_can_use_by_its_url(empty_root: Path) -> None:
    with EmbeddedPostgres(empty_root) as server:
        durable = "SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit')"
        assert value(server.url, durable) == "on on"
        assert value(server.url, "SELECT current_database()") == "continuum"
        assert value(server.url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        assert value(server.url, "SHOW shared_preload_libraries") == "pg_stat_statements"
        assert value(server.url, "SHOW listen_addresses") == "", "nobody is let in without being asked"
        assert (empty_root / ".gitignore").read_text() == "*\n"


@linux
def test_the_server_ends_with_its_last_user_even_one_that_was_killed(root: Path) -> None:
    with quick(root) as server, user_process(root) as (other, url, pid):
        assert (url, pid) == (server.url, server.postmaster_pid), "both use one server"
        server.detach()
        assert value(url, "SELECT 1") == 1
        other.kill()
        other.wait()
        wait_until(lambda: not processes_of(root), "server and reaper are gone")


def test_what_was_committed_is_there_for_the_next_user(root: Path) -> None:
    with quick(root) as server:
        write(server.url, "CREATE TABLE orders AS SELECT 4200 AS cents")
    with quick(root) as again:  # waits for the reaper that may be stopping the server
        assert value(again.url, "SELECT cents FROM orders") == 4200


def test_many_processes_and_threads_that_come_at_once_share_one_server(root: Path) -> None:
    servers = [quick(root) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool, user_process(root) as (_, url, pid):
        assert set(pool.map(EmbeddedPostgres.attach, servers)) == {url}
        assert {server.postmaster_pid for server in servers} == {pid}
    for server in servers:
        server.detach()


@linux
def test_a_forked_child_is_no_user_and_does_not_detach_its_parent(root: Path) -> None:
    with quick(root) as server:
        url, (reading, writing) = server.url, os.pipe()
        child = os.fork()
        if child == 0:
            _child_that_detaches_and_lives_on(server, reading, writing)
        os.close(reading)
        assert value(url, "SELECT 1") == 1
        server.detach()
        wait_until(lambda: not processes_of(root), "the child does not hold the server")
        os.close(writing)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _child_that_detaches_and_lives_on(server: EmbeddedPostgres, reading: int, writing: int) -> NoReturn:
    os.close(writing)
    server.detach()
    os.read(reading, 1)
    os._exit(0)


def test_a_port_opens_the_server_to_tcp_with_a_password(root: Path) -> None:
    port = free_port()
    with quick(root, port=port) as server:
        assert f"@127.0.0.1:{port}/" in server.tcp_url
        assert value(server.tcp_url, "SELECT inet_server_port()") == port
        without = f"postgresql://continuum@127.0.0.1:{port}/continuum"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(without, passfile=str(root / "no such file"))
        with EmbeddedPostgres(root) as other:
            assert other.url == server.url, "the port is known to those who did not ask for it"


@pytest.mark.parametrize("name", ["deep/" * 20 + ".continuum", "it's, jörg/.continuum"])
def test_a_path_that_no_socket_can_have_is_no_obstacle(open_folder: Path, name: str) -> None:
    root = open_folder / name
    server = quick(root)
    try:
        assert value(server.attach(), "SELECT 1") == 1
        sockets = Path(str(value(server.url, "SHOW unix_socket_directories")))
    finally:
        server.stop("immediate")
        wait_until(lambda: not processes_of(root), "the reaper has ended")
    sockets.rmdir()  # empty, and nowhere near the root


def test_without_attach_there_is_no_url(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder / ".continuum")
    with pytest.raises(EmbeddedPostgresError, match=r"call attach\(\) first"):
        _ = server.url
    with pytest.raises(EmbeddedPostgresError, match=r"call attach\(\) first"):
        server.ensure_running()
    server.stop()
    assert not server.root.exists()


def test_a_busy_caller_with_threads_can_attach(root: Path) -> None:
    over = threading.Event()
    spinning = [threading.Thread(target=over.wait) for _ in range(8)]
    for thread in spinning:
        thread.start()
    try:
        with quick(root) as server:
            assert value(server.url, "SELECT 1") == 1
    finally:
        over.set()
        for thread in spinning:
            thread.join()


@as_root
def test_an_ordinary_user_has_a_server_of_its_own(open_folder: Path) -> None:
    pythons = [sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"]
    python = next((path for path in pythons if reachable(Path(path), NOBODY)), None)
    if python is None or not reachable(CHECKOUT / "continuum", NOBODY):
        pytest.skip("this Python, or this checkout, is in a place that only root can enter")
    root = open_folder / ".continuum"
    root.mkdir()
    os.chown(root, NOBODY.uid, NOBODY.gid)
    with user_process(root, NOBODY, python) as (_, url, pid):
        assert Path(f"/proc/{pid}").stat().st_uid == NOBODY.uid
        assert url.startswith("postgresql://continuum@/continuum?host=")
        with quick(root) as server:  # and root may look into it
            assert server.postmaster_pid == pid
            assert value(server.url, "SELECT 1") == 1
    wait_until(lambda: not processes_of(root), "it is gone with its users")


@as_root
def test_root_may_keep_its_project_where_only_root_can_enter(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_binaries, "SYSTEM_PLACE", open_folder / "system")
    private = open_folder / "private"
    private.mkdir(mode=0o700)
    root = private / ".continuum"
    with quick(root) as server:
        write(server.url, "CREATE TABLE orders AS SELECT 4200 AS cents")
        server.stop()
    with quick(root) as again:
        assert value(again.url, "SELECT cents FROM orders") == 4200
        home = (root / "server").resolve()
        assert home.parent == open_folder / "system/clusters"
        again.stop("immediate")
    wait_until(lambda: not processes_of(home), "the reaper has ended")


@as_root
def test_root_copies_programs_that_only_root_can_reach(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_binaries, "SYSTEM_PLACE", open_folder / "system")
    source = embedded_binaries.find_programs(None).parent
    copy = embedded_binaries._copied(source)
    assert copy.is_relative_to(open_folder / "system")
    assert reachable(copy / "bin/postgres", NOBODY)
    shown = embedded_binaries.run_as(NOBODY, [copy / "bin/initdb", "--version"])
    assert shown.stdout.startswith("initdb (PostgreSQL) 18"), "it finds its libraries beside it"
    assert embedded_binaries._copied(source) == copy
