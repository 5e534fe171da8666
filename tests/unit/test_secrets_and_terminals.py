"""What is printed or logged: no password, no line that only looks like ours, nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from continuum.config import DatabaseChoice, configure, mask_password, resolve_database
from continuum.errors import ConfigurationError
from continuum.model.visible import visible
from continuum.node import NodeConfig
from continuum.node.logs import start_logging
from continuum_cli.output import print_json
from continuum_cli.streams import as_typed
from continuum_cli.title import hide_secrets

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql//u:{SECRET}@h/d",
        f"postgres:u:{SECRET}@h/d",
        f"postgresql://u:my {SECRET}@h/d",
        f"postgresql://u:{SECRET} more@h/d",
        f"postgresql://u:{SECRET}%zz@h/d",
        f"postgresql://u:a@{SECRET}@h/d",
        f"postgresql://u:a/{SECRET}@h/d",
        f"postgresql://u:{SECRET}/a@h/d",
        f"postgresql://h/d?passwort={SECRET}",
        f"host=h passwd={SECRET}",
        f"host=h password='{SECRET}",
        f"host=h port={SECRET}",
        f"postgresql://u:{SECRET}\0@h/d",
        SECRET,
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_any_part_of_it(url: str, tmp_path: Path) -> None:
    sources: list[Callable[[], object]] = [
        lambda: resolve_database(url),
        lambda: configure(database=url),
        lambda: resolve_database(environment={"CONTINUUM_DATABASE_URL": url}),
    ]
    if "\0" not in url:
        (tmp_path / "pyproject.toml").write_text(f"[tool.continuum]\ndatabase = {json.dumps(url)}\n")
        sources.append(lambda: resolve_database(environment={}, directory=tmp_path))
    for resolve in sources:
        with pytest.raises(ConfigurationError, match="nothing was started") as refused:
            resolve()
        assert SECRET not in str(refused.value)
        assert "%" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:a%40b@h:5432,g:5433/d",
        "postgresql:///d?host=/tmp",
        "host=h,g dbname=d",
        "service=x",
        "dbname=d",
    ],
)
def test_urls_that_can_be_read_are_taken(url: str) -> None:
    assert resolve_database(url).url == url


def test_a_choice_and_the_settings_of_a_node_can_be_printed() -> None:
    assert SECRET not in repr(DatabaseChoice("argument", f"postgresql://u:{SECRET}@h/d"))
    assert SECRET not in repr(NodeConfig(("flows",), database=f"postgresql://u:{SECRET}@h/d"))
    assert SECRET not in mask_password(
        f"x postgresql://u:{SECRET}@h/d?sslpassword={SECRET} password='{SECRET} 2'"
    )


def test_the_process_is_shown_without_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("setproctitle.setproctitle", shown.append)
    url = f"postgresql://u:{SECRET}@h/d"
    hide_secrets(["node", "start", "app", "--database", url])
    hide_secrets(["run", "list", f"--database={url}", "--json"])
    hide_secrets(["run", "list", "--database", f"host=h password={SECRET}"])
    hide_secrets(["run", "list"])
    assert shown == [
        "continuum node start app --database ***",
        "continuum run list --database=*** --json",
        "continuum run list --database ***",
    ]


def test_ps_does_not_show_the_url_of_a_command_that_runs() -> None:
    program = (
        "import sys; sys.argv[1:] = sys.argv[2:]\n"
        "import continuum_cli.main as main\n"
        "main.main = lambda: print(open('/proc/self/cmdline').read())\n"
        "from continuum_cli.entry import main; main()"
    )
    url = f"postgresql://u:{SECRET}@h/d"
    command = [sys.executable, "-c", program, "--", "run", "list", "--database", url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "continuum run list --database ***" in shown
    assert SECRET not in shown


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a node's process logs."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    start_logging("engine-1", "info")
    yield written
    root.handlers[:] = before[0]
    root.setLevel(before[1])


def test_a_name_forges_no_line_of_the_log_and_steers_no_terminal(log: io.StringIO) -> None:
    forged = "2026-12-01T00:00:00.000Z ERROR   engine-1: all is lost"
    logging.getLogger("continuum").warning("run %s\x1b[2J\u202e\r\u2028 failed", f"a\n{forged}")
    try:
        raise ValueError(f"b\n{forged}\x1b]0;title\x07")
    except ValueError:
        logging.getLogger("continuum").exception("it failed")
    lines = log.getvalue().splitlines()
    assert [line for line in lines if not line.startswith("  | ")] == [lines[0], lines[2]]
    assert all(line.isprintable() for line in lines)
    assert "\\x1b[2J\\u202e\\r\\u2028 failed" in log.getvalue()
    assert any("Traceback" in line for line in lines)


def test_what_cannot_be_seen_is_escaped_and_all_else_stays() -> None:
    assert visible("Grüße, 世界 – ok") == "Grüße, 世界 – ok"
    assert visible("a\nb\x1b\x9b\u202e\ud800") == "a\\nb\\x1b\\x9b\\u202e\\ud800"


def test_json_keeps_every_character_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name\u202e": "ü世\x1b[2J\x9b\x7f\u2028\ufeff"}
    print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert out.replace("\n", "").isprintable()
    assert "ü世" in out


def test_arguments_that_the_locale_could_not_read_are_taken_for_utf_8() -> None:
    typed = "é世".encode().decode("ascii", "surrogateescape")
    assert as_typed(["run", typed, "é"]) == ["run", "é世", "é"]
    broken = b"\xff".decode("ascii", "surrogateescape")
    assert as_typed([broken]) == [broken]
