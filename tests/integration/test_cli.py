"""The command line: what it prints, its exit codes, and one line for everything that can be wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from continuum.wire.curve import ClusterKey
from continuum_cli.main import run as run_command
from tests.integration.checkout import APP, CHECKOUT, continuum, count_runs, unmigrated
from tests.integration.commands import COMMAND, Commands
from tests.integration.servers import quick

__all__ = ["continuum", "unmigrated"]  # fixtures


def test_a_database_is_migrated_once_and_says_where_it_stands(unmigrated: Commands) -> None:
    unmigrated("run", "list").assert_refused(1, "continuum db migrate")
    pending = unmigrated("db", "status", "--json")
    assert pending.code == 1 and {each["state"] for each in pending.document} == {"pending"}
    applied = unmigrated.lines("db", "migrate")
    assert applied[0].startswith("applied 0001_")
    assert "nothing was changed" in unmigrated.lines("db", "migrate")[0]
    assert [line.split()[1] for line in unmigrated.lines("db", "status")[1:]] == ["applied"] * len(applied)


def test_a_schema_that_is_newer_than_the_code_is_refused(
    continuum: Commands, database_url: str, fresh_schema: str
) -> None:
    with psycopg.connect(database_url) as connection:
        table = sql.Identifier(fresh_schema, "continuum_migrations")
        statement = sql.SQL("insert into {} (version, name, checksum) values (9999, '9999_future', 'x')")
        connection.execute(statement.format(table))
    for arguments in (CHECKOUT, ("run", "list"), ("db", "migrate"), ("node", "start", "app")):
        outcome = continuum(*arguments)
        last = outcome.err.splitlines()[-1]
        assert outcome.code == 1 and "newer than this code" in last, outcome
    assert continuum("db", "status").code == 1
    assert count_runs(database_url, fresh_schema) == 0


def test_the_url_is_shown_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ann:secret@db.example/shop"
    continuum = Commands(tmp_path, url)
    assert continuum.lines("db", "url") == ["postgresql://ann:***@db.example/shop"]
    assert continuum.lines("db", "url", "--show-password") == [url]
    assert continuum("db", "url", "--json").document["source"] == "CONTINUUM_DATABASE_URL"


@pytest.mark.rule("M3")
def test_a_new_cluster_key_is_printed_and_is_another_each_time(tmp_path: Path) -> None:
    (key,), (other,) = (Commands(tmp_path).lines("cluster", "keygen") for _ in range(2))
    assert key != other
    assert ClusterKey.parse(key, "the command").public != ClusterKey.parse(other, "the command").public


@pytest.mark.rule("M3")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bind", "tcp://0.0.0.0:7433"), ("tcp://0.0.0.0:7433", "`continuum cluster keygen` prints a key")),
        (("--join", "a:b"), ("'a:b' is no address",)),
        (("--cluster-key-file", "nothing"), ("the cluster key file, nothing, cannot be read",)),
        (("--cluster-key-file", "app.py"), ("what stands in app.py is no cluster key",)),
    ],
)
def test_a_node_that_cannot_join_a_cluster_is_usage_and_starts_nothing(
    continuum: Commands, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    continuum("node", "start", "app", *options).assert_refused(2, *words)


@pytest.mark.parametrize(
    "arguments",
    [CHECKOUT, ("run", "list"), ("db", "migrate"), ("db", "status"), ("node", "start", "app")],
    ids=lambda each: " ".join(each[:2]),
)
def test_no_database_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "app.py").write_text(APP)
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"postgresql://ann:secret@127.0.0.1:{port}/shop"
        refused = Commands(tmp_path, url)(*arguments)
    refused.assert_refused(1, "no PostgreSQL listens at 127.0.0.1", "start it, or correct the URL")
    assert "secret" not in refused.err


def test_a_wrong_password_is_one_line(root: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with quick(root, port) as server:
        head, _, tail = server.tcp_url.partition("@")
        url = f"{head.rpartition(':')[0]}:wrong@{tail}"
        for arguments in (("run", "list"), ("db", "migrate"), ("node", "start", "app")):
            refused = Commands(tmp_path, url)(*arguments)
            refused.assert_refused(1, "refused the password of user")
            assert "wrong" not in refused.err


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("nowhere", "no module 'nowhere'"),
        ("broken", "broken cannot be imported: ZeroDivisionError"),
        ("empty", "empty has no workflows and no activities"),
        ("not-a-name", "no module name"),
    ],
)
def test_an_application_that_cannot_be_is_one_line(
    continuum: Commands, tmp_path: Path, app: str, reason: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    continuum("node", "start", app).assert_refused(1, reason)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "strat"], "strat"),
        (["run", "list", "--limit", "0"], "--limit"),
        (["run", "list", "--limit", "1001"], "--limit"),
        (["run", "list", "--state", "gone"], "--state"),
        (["run", "list", "--cursor", "x"], "no cursor"),
        (["run", "list", "--instance", "Bad Name"], "no name for an instance"),
        (["run", "list", "--database", "nonsense"], "no PostgreSQL URL"),
        (["node", "start"], "APP"),
        (["node", "start", "app", "--workers", "-1"], "--workers"),
        (["node", "start", "app", "--name", "a/b"], "no name for a node"),
        (["node", "start", "app", "--queues", ""], "queue"),
        (["--nonsense"], "--nonsense"),
    ],
    ids=" ".join,
)
def test_usage_is_one_line_and_exit_code_2(
    arguments: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONTINUUM_DATABASE_URL", database_url)
    assert run_command(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and reason in printed.err


def test_a_defect_is_one_line_unless_a_developer_asks_for_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr("continuum_cli.db.resolve_database", fail)
    assert run_command(["db", "url"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: unexpected LookupError: a defect; ") and line.count("\n") == 1
    monkeypatch.setenv("CONTINUUM_DEBUG", "1")
    assert run_command(["db", "url"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(continuum: Commands) -> None:
    for _ in range(3):
        continuum.lines(*CHECKOUT)
    process = subprocess.Popen(
        [*COMMAND, *continuum.with_instance("run", "list", "--json")],
        cwd=continuum.folder,
        env=continuum.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")


def test_the_list_of_commands_needs_nothing_but_click(tmp_path: Path) -> None:
    code = (
        "import sys; from continuum_cli.main import run; assert run(['--help']) == 0;"
        "heavy = {'continuum', 'psycopg', 'rich', 'zmq', 'msgpack'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=Commands(tmp_path).environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {"demo", "node", "run", "db"} <= set(done.stdout.split())


def test_a_command_alone_shows_its_help(tmp_path: Path) -> None:
    outcome = Commands(tmp_path)("run")
    assert outcome.code == 2 and "Usage: continuum run" in outcome.err
    assert "history" in outcome.err


@pytest.mark.parametrize("moment", range(8))
def test_ctrl_c_ends_a_command_without_a_traceback_however_early_it_comes(
    tmp_path: Path, moment: int
) -> None:
    """Python's own start is not ours: the earliest signal comes when the command's first line has run."""
    program = (
        "import os, signal, sys, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests may ignore it
        "from continuum_cli.entry import main\n"
        "sys.argv = ['continuum', 'run', 'list', '--database', os.environ['SILENT']]\n"
        f"kill = threading.Timer(0.02 + {moment} * 0.02, os.kill, [os.getpid(), signal.SIGINT])\n"
        "first = signal.getsignal\n"
        "def armed(number):\n"
        "    signal.getsignal = first\n"
        "    handler = first(number)\n"
        "    kill.start()\n"
        "    return handler\n"
        "signal.getsignal = armed\n"
        "main()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=20"
        environment = {**os.environ, "SILENT": url}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stderr.strip()) in [(-2, ""), (130, "interrupted")]


def test_an_application_that_ends_its_process_when_it_is_imported_is_named(
    tmp_path: Path, continuum: Commands
) -> None:
    (tmp_path / "quits.py").write_text("import os\nos._exit(0)\n")
    refused = continuum("node", "start", "quits")
    assert refused.code == 1
    assert "while it imported quits: look there for os._exit" in refused.err.splitlines()[-1]
