"""The command line on runs: they are started, listed, shown, signalled, cancelled and resumed, or it says why not."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.integration.checkout import CHECKOUT, continuum, count_runs, unmigrated
from tests.integration.commands import Commands
from tests.integration.servers import wait_until

__all__ = ["continuum", "unmigrated"]  # fixtures


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


@pytest.mark.rule("D8")
def test_a_start_attaches_to_a_run_of_its_workflow_only(continuum: Commands) -> None:
    (run_id,) = continuum.lines(*CHECKOUT, "--id", "o1")
    assert continuum.lines(*CHECKOUT, "--id", "o1", "--if-exists", "attach") == [run_id]
    other = ("run", "start", "other.flow", "--allow-unknown", "--id", "o1", "--if-exists", "attach")
    continuum(*other).assert_refused(1, "app.checkout", "other.flow", "o1", "nothing was started")


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
        (["app.checkout", "--delay", "inf"], "--delay"),
        (["app.checkout", "--delay", "nan"], "--delay"),
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


def test_a_cancel_may_leave_time_to_clean_up(
    continuum: Commands, database_url: str, fresh_schema: str
) -> None:
    for key in ("o1", "o2"):
        continuum.lines(*CHECKOUT, "--id", key)
    with psycopg.connect(database_url) as connection:
        runs = sql.Identifier(fresh_schema, "continuum_runs")
        connection.execute(
            sql.SQL("update {} set last_seq = 1 where key = 'o1'").format(runs)
        )  # it has begun
    for key in ("o1", "o2"):
        continuum.lines("run", "cancel", key, "--cleanup", "60", "--reason", "no stock")
    listed = continuum("run", "list", "--json").document["runs"]
    assert {run["key"]: run["state"] for run in listed} == {"o1": "running", "o2": "cancelled"}
    continuum("run", "cancel", "o1", "--cleanup", "-1").assert_refused(2, "--cleanup")


def test_a_signal_that_is_no_json_is_usage(continuum: Commands) -> None:
    continuum("run", "signal", "o1", "approved", "yes").assert_refused(2, "'yes' is not JSON", "needs quotes")


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
