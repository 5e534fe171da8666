"""A node that cannot start says why in one line, and starts nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from continuum.config import schema_of
from continuum.embedded import EmbeddedPostgres
from continuum.errors import NodeError
from continuum.node import Node, NodeConfig
from tests.cluster.nodes import config_of, embedding_program, foreground_node

pytestmark = pytest.mark.cluster


def run_to_end(config: NodeConfig, folder: Path) -> tuple[int, list[str]]:
    """The exit code, and what was printed after the program was imported."""
    with foreground_node(config, folder) as node:
        code = node.end()
        return code, node.log.splitlines()[1:]


def test_a_second_node_on_the_same_run_directory_is_refused(
    database_url: str, instance: str, open_folder: Path
) -> None:
    config = config_of(database_url, instance)
    with foreground_node(config, open_folder) as first:
        first.wait_log("run directory")
        code, lines = run_to_end(config, open_folder)
    assert (code, len(lines)) == (1, 1)
    assert f"already (process {first.process.pid}); nothing was started" in lines[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("x = 1 / 0", "bad_app cannot be imported: ZeroDivisionError", id="raises"),
        pytest.param("x = 1", "bad_app has no workflows and no activities", id="empty"),
    ],
)
def test_a_bad_application_is_one_line_and_starts_nothing(
    text: str, reason: str, database_url: str, instance: str, open_folder: Path
) -> None:
    (open_folder / "bad_app.py").write_text(text)
    code, lines = run_to_end(config_of(database_url, instance, modules=("bad_app",)), open_folder)
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"continuum: {reason}")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("postgresql://u@127.0.0.1:1/db", "no PostgreSQL listens at 127.0.0.1:1", id="nobody"),
        pytest.param("postgresql://u@nowhere.invalid/db", "the host nowhere.invalid is unknown", id="host"),
    ],
)
def test_no_database_is_one_line(url: str, reason: str, open_folder: Path) -> None:
    code, lines = run_to_end(config_of(url, "default"), open_folder)
    assert code == 1
    assert len(lines) == 1
    assert reason in lines[0]


def test_a_wrong_database_name_is_one_line(database_url: str, open_folder: Path) -> None:
    url = database_url.replace("/test_", "/missing_")
    code, lines = run_to_end(config_of(url, "default"), open_folder)
    assert (code, len(lines)) == (1, 1)
    assert "there is no database 'missing_" in lines[0]


def test_a_schema_that_was_not_migrated_is_refused_unless_it_may_be(
    database_url: str, fresh_schema: str, open_folder: Path
) -> None:
    config = config_of(database_url, fresh_schema.removeprefix("continuum_"))
    code, lines = run_to_end(config, open_folder)
    assert (code, len(lines)) == (1, 1)
    assert "continuum db migrate" in lines[0]


def test_a_schema_newer_than_the_code_is_refused(database_url: str, instance: str, open_folder: Path) -> None:
    records = sql.Identifier(schema_of(instance), "continuum_migrations")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("INSERT INTO {} (version, name, checksum) VALUES (9999, '9999_later', 'x')").format(
                records
            )
        )
    code, lines = run_to_end(config_of(database_url, instance, migrate=True), open_folder)
    assert (code, len(lines)) == (1, 1)
    assert "newer than this code" in lines[0]


def test_settings_that_cannot_work_are_usage_errors(open_folder: Path) -> None:
    code, lines = run_to_end(config_of("nonsense://", "default"), open_folder)
    assert (code, len(lines)) == (2, 1)


def test_an_embedding_program_gets_the_line_as_an_error(database_url: str, instance: str) -> None:
    node = Node("no_such_app", database=database_url, instance=instance)
    with pytest.raises(NodeError, match="there is no module 'no_such_app'"):
        node.start()
    assert node.processes() == []


@pytest.fixture
def server_with_password(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own that asks for a password."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = open_folder / "server"
    with EmbeddedPostgres(root, port=port, settings={"fsync": "off"}) as server:
        yield server
        server.stop("immediate")


def test_a_wrong_password_is_one_line_and_the_right_one_is_shown_nowhere(
    server_with_password: EmbeddedPostgres, open_folder: Path
) -> None:
    url = server_with_password.tcp_url
    password = str(conninfo_to_dict(url)["password"])
    code, lines = run_to_end(config_of(url.replace(password, "wrong"), "default", migrate=True), open_folder)
    assert (code, len(lines)) == (1, 1)
    assert "refused the password of user 'continuum'" in lines[0]

    (open_folder / ".continuum").mkdir()
    config = config_of(url, "default", migrate=True, log_level="debug")
    with embedding_program(open_folder, **asdict(config)) as program:
        assert program.stdout is not None
        pids = json.loads(program.stdout.readline())
        shown = [" ".join(psutil.Process(pid).cmdline()) for pid in pids]
        shown += [path.read_text() for path in open_folder.rglob("processes.json")]
        os.kill(pids[-1], signal.SIGKILL)
        output, log = program.communicate()
    assert len(shown) == len(pids) + 1
    assert "killed by SIGKILL" in log
    assert not [text for text in (*shown, output, log) if password in text]
