"""The command line: what it prints, its exit codes, and one line for everything that can be wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum.postgres import migrate
from continuum.wire.curve import ClusterKey
from continuum_cli.main import run as run_command
from tests.integration.commands import COMMAND, Commands
from tests.integration.servers import quick, wait_until

APP = """
from dataclasses import dataclass
from continuum import Signal, activity, workflow

@dataclass(frozen=True)
class Order:
    id: str
    cents: int

approved = Signal("approved", bool)

@activity
def charge(order: Order) -> str:
    return f"paid {order.cents}"

@workflow
async def checkout(order: Order, note: str = "-") -> dict[str, str]:
    payment = await charge(order)
    if not await approved.wait(timeout=3600):
        raise ValueError("declined")
    return {"payment": payment, "note": note}
"""
CHECKOUT = ("run", "start", "app.checkout", "--args", '[{"id": "o1", "cents": 4200}]')


@pytest.fixture
def unmigrated(tmp_path: Path, database_url: str, fresh_schema: str) -> Commands:
    """The command in a folder with an application, on an instance that does not exist yet."""
    (tmp_path / "app.py").write_text(APP)
    return Commands(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))


@pytest.fixture
def continuum(unmigrated: Commands, database_url: str, fresh_schema: str) -> Commands:
    migrate(database_url, fresh_schema)
    return unmigrated


def count_runs(url: str, schema: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            sql.SQL("select count(*) from {}.continuum_runs").format(sql.Identifier(schema))
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_a_run_is_started_seen_signalled_and_its_result_printed(continuum: Commands) -> None:
    with continuum.node("app", "--workers", "1"):
        (run_id,) = continuum.lines(*CHECKOUT, "--id", "o1", "--attributes", '{"plan": "pro"}')
        wait_until(lambda: "waits for" in continuum("run", "show", "o1").out, "it waits for the signal")
        shown = continuum("run", "show", "o1", "--json").document
        assert shown["id"] == run_id and shown["attributes"] == {"plan": "pro"}
        assert shown["waits_for"][0].startswith("signal approved, until ")
        assert continuum.lines("run", "signal", "o1", "approved", "true", "--id", "once") == []
        assert continuum("run", "result", run_id).document == {"payment": "paid 4200", "note": "-"}
    assert [line.split()[2] for line in continuum.lines("run", "history", "o1")[1:]] == [
        "activity_scheduled",
        "activity_completed",
        "signal_awaited",
        "signal_received",
    ]
    assert continuum("run", "history", "o1", "--json").document["workflow"] == "app.checkout"
    facts = dict(line.split(maxsplit=1) for line in continuum.lines("run", "show", run_id))
    assert facts["state"] == "completed" and facts["key"] == "o1" and "waits" not in facts


def test_a_failed_run_is_exit_code_1_and_its_error(continuum: Commands) -> None:
    with continuum.node("app", "--workers", "1"):
        continuum.lines(*CHECKOUT, "--id", "o1")
        continuum.lines("run", "signal", "o1", "approved", "false")
        continuum("run", "result", "o1").assert_refused(1, "failed: ValueError: declined")
    assert "ValueError: declined" in continuum("run", "show", "o1").out


def test_a_run_that_no_node_knows_says_what_it_waits_for(continuum: Commands) -> None:
    with continuum.node("app", "--workers", "1"):
        continuum.lines("run", "start", "other.flow", "--allow-unknown", "--id", "x")
        wait_until(
            lambda: "attention" in continuum("run", "show", "x").out, "the run says why it stands still"
        )
        assert "other.flow" in continuum("run", "show", "x", "--json").document["attention"]


def test_runs_are_listed_by_namespace_state_and_workflow_in_pages(continuum: Commands) -> None:
    for number in range(3):
        continuum.lines(*CHECKOUT, "--id", f"o{number}", "--namespace", "billing")
    continuum.lines("run", "cancel", "o1", "--reason", "a test")

    def keys(*options: str) -> list[str]:
        return [run["key"] for run in continuum("run", "list", "--json", *options).document["runs"]]

    assert keys() == []
    assert sorted(keys("--namespace", "billing")) == sorted(keys("--namespace", "all")) == ["o0", "o1", "o2"]
    assert keys("--namespace", "all", "--state", "cancelled") == ["o1"]
    assert keys("--namespace", "all", "--workflow", "app.other") == []
    first = continuum("run", "list", "--namespace", "all", "--limit", "2", "--json").document
    rest = keys("--namespace", "all", "--limit", "2", "--cursor", first["next_cursor"])
    assert sorted([run["key"] for run in first["runs"]] + rest) == ["o0", "o1", "o2"]


def test_a_listing_without_a_terminal_is_plain_lines_of_any_length(continuum: Commands) -> None:
    key = "k" * 300
    (run_id,) = continuum.lines(*CHECKOUT, "--id", key)
    header, row = continuum.lines("run", "list")
    assert header.split() == ["ID", "STATE", "STARTED", "WORKFLOW", "KEY"]
    assert row.split()[0] == run_id and row.split()[-1] == key
    assert row == row.rstrip() and "\x1b" not in header + row


def test_what_users_wrote_cannot_steer_a_terminal(continuum: Commands) -> None:
    continuum.lines(*CHECKOUT, "--id", "\x1b[2J[red]o1")
    shown = continuum("run", "list").out
    assert "\x1b" not in shown and "[red]o1" in shown
    refused = continuum("run", "show", "\x1b[2J")
    refused.assert_refused(1, "\\x1b[2J")
    assert "\x1b" not in refused.err


def test_a_delayed_run_waits(continuum: Commands) -> None:
    (run_id,) = continuum.lines(*CHECKOUT, "--delay", "3600")
    assert continuum("run", "show", run_id, "--json").document["started_at"] is None
    continuum("run", "result", run_id, "--timeout", "0").assert_refused(1, "is not over after 0 s", run_id)


def test_a_run_can_be_started_with_named_arguments_from_standard_input(continuum: Commands) -> None:
    arguments = {"order": {"id": "o1", "cents": 1}, "note": "gift"}
    (run_id,) = continuum.lines("run", "start", "app.checkout", "--kwargs", "-", stdin=json.dumps(arguments))
    assert continuum("run", "show", run_id, "--json").document["args"] == [[], arguments]
    assert UUID(run_id).version == 7


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["app.checkout"], "missing a required argument: 'order'"),
        (["app.checkout", "--args", "[1]"], "args[0]: expected Order, got int 1"),
        (["app.checkout", "--args", '[{"id": "o1"}]'], "args[0]"),
        (["app.checkout", "--args", '[{"id": "o1", "cents": 1}, "a", 3]'], "too many positional arguments"),
        (["app.checkout", "--kwargs", '{"oder": 1}'], "missing a required argument: 'order'"),
        (["app.checkout", "--args", "o1"], "'o1' is not JSON"),
        (["app.checkout", "--args", "{}"], "it must look like"),
        (["app.checkout", "--args", '[{"id": "\\ud800", "cents": 1}]'], "args[0].id"),
        (["app.checkout", "--args", '[{"id": "o1", "cents": 1}]', "--attributes", "[]"], "--attributes"),
        (["app.charge", "--args", '[{"id": "o1", "cents": 1}]'], "is an activity"),
        (["app.chekout"], "did you mean app.checkout?"),
        (["ap.checkout"], "unknown workflow ap.checkout"),
        (["checkout"], "unknown workflow checkout"),
        (["app.checkout", "--delay", "soon"], "--delay"),
        ([], "NAME"),
    ],
)
def test_a_start_that_cannot_work_is_one_line_and_starts_nothing(
    continuum: Commands, database_url: str, fresh_schema: str, arguments: list[str], reason: str
) -> None:
    continuum("run", "start", *arguments).assert_refused(2, reason)
    assert count_runs(database_url, fresh_schema) == 0


def test_a_payload_that_is_too_large_is_refused(
    continuum: Commands, database_url: str, fresh_schema: str
) -> None:
    large = json.dumps([{"id": "x" * 2_000_000, "cents": 1}])
    continuum("run", "start", "app.checkout", "--args", "-", stdin=large).assert_refused(
        2, "limit", "1,048,576"
    )
    assert count_runs(database_url, fresh_schema) == 0
    continuum.lines(*CHECKOUT, "--id", "o1")
    signal = ("run", "signal", "o1", "approved", "-")
    continuum(*signal, stdin=json.dumps("x" * 2_000_000)).assert_refused(2, "limit", "nothing was sent")


def test_a_workflow_that_cannot_be_imported_here_is_found_by_its_registered_name(
    continuum: Commands, tmp_path: Path
) -> None:
    with continuum.node("app", "--workers", "1"):
        (tmp_path / "elsewhere").mkdir()
        elsewhere = Commands(tmp_path / "elsewhere", continuum.database, continuum.instance)
        (run_id,) = elsewhere.lines(*CHECKOUT)
        elsewhere("run", "start", "app.check").assert_refused(2, "did you mean app.checkout?")
        elsewhere.lines("run", "signal", run_id, "approved", "true")
        assert elsewhere("run", "result", run_id).document["payment"] == "paid 4200"


def test_a_module_that_fails_to_import_is_a_warning_and_its_registered_names_still_work(
    continuum: Commands, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    outcome = continuum("run", "start", "broken.flow", "--allow-unknown")
    assert outcome.code == 0 and UUID(outcome.out.strip()).version == 7
    assert outcome.err.startswith("warning: broken cannot be imported here (ModuleNotFoundError")


def test_an_id_can_be_used_once(continuum: Commands) -> None:
    continuum.lines(*CHECKOUT, "--id", "o1")
    continuum(*CHECKOUT, "--id", "o1").assert_refused(1, "'o1'", "exists already")


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["history"], ["result"], ["cancel"], ["resume"], ["signal"]],
    ids=lambda each: each[0],
)
def test_a_run_that_does_not_exist_is_named_as_the_user_did(
    continuum: Commands, arguments: list[str]
) -> None:
    rest = ["approved", "true"] if arguments == ["signal"] else []
    continuum("run", *arguments, "order-77", *rest).assert_refused(1, "no run order-77 ")


def test_a_run_that_has_ended_is_not_signalled_or_cancelled(continuum: Commands) -> None:
    continuum.lines(*CHECKOUT, "--id", "o1")
    continuum.lines("run", "cancel", "o1", "--reason", "no stock")
    continuum("run", "result", "o1").assert_refused(1, "was cancelled: no stock")
    continuum("run", "cancel", "o1").assert_refused(1, "already cancelled")
    continuum("run", "signal", "o1", "approved", "true").assert_refused(1, "already cancelled")


def test_a_cancel_may_leave_time_to_clean_up(continuum: Commands) -> None:
    continuum.lines(*CHECKOUT, "--id", "o1")
    continuum.lines("run", "cancel", "o1", "--cleanup", "60", "--reason", "no stock")
    assert [run["state"] for run in continuum("run", "list", "--json").document["runs"]] == ["running"]
    continuum("run", "cancel", "o1", "--cleanup", "-1").assert_refused(2, "--cleanup")


def test_a_signal_that_is_no_json_is_usage(continuum: Commands) -> None:
    continuum("run", "signal", "o1", "approved", "yes").assert_refused(2, "'yes' is not JSON", "needs quotes")


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


def test_only_a_run_that_was_set_aside_is_resumed(
    continuum: Commands, database_url: str, fresh_schema: str
) -> None:
    continuum.lines(*CHECKOUT, "--id", "o1")
    continuum("run", "resume", "o1").assert_refused(1, "was not set aside", "continuum run show")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "update {}.continuum_runs set state = 'suspended', parked_for = '!stopped', parked_until = 'infinity',"
                " engine_deaths = 5, attention = 'engine deaths: 5 of 5; mend the cause'"
            ).format(sql.Identifier(fresh_schema))
        )
    assert "engine deaths: 5 of 5" in continuum("run", "show", "o1").out
    with continuum.node("app", "--workers", "1"):
        assert continuum.lines("run", "resume", "o1") == []
        continuum.lines("run", "signal", "o1", "approved", "true")
        assert continuum("run", "result", "o1").document["payment"] == "paid 4200"
    continuum("run", "resume", "o1").assert_refused(1, "already completed")
