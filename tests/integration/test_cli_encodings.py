"""The command line where the terminal knows ASCII or Latin-1 only, and where nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from continuum import Client, call
from continuum.config import ENVIRONMENT_VARIABLE
from continuum.postgres import migrate
from tests.forks import SEARCH_PATH
from tests.integration.commands import COMMAND

NAME = "flüge.世界"


def environment(url: str, encoding: str) -> dict[str, str]:
    strict = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    return os.environ | strict | {"PYTHONPATH": SEARCH_PATH, ENVIRONMENT_VARIABLE: url, "COLUMNS": "80"}


@pytest.fixture
def instance(database_url: str, fresh_schema: str) -> str:
    migrate(database_url, fresh_schema)
    instance = fresh_schema.removeprefix("continuum_")
    with Client(database_url, instance=instance) as client:
        client.start(call(NAME, "grüße – 世界 \U0001f600"), id="schlüssel", attributes={"plan": "größe"})
    return instance


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_character_is_printed_or_replaced(
    database_url: str, instance: str, encoding: str, tmp_path: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments, "--instance", instance],
            env=environment(database_url, encoding), cwd=tmp_path, capture_output=True, timeout=60,
        )  # fmt: skip

    listed = run("run", "list")
    assert listed.returncode == 0, listed.stderr
    assert ("flüge" if encoding == "latin-1" else "fl\\xfcge") in listed.stdout.decode(encoding)
    shown = run("run", "show", "schlüssel")
    assert shown.returncode == 0, shown.stderr
    assert b"\\u4e16" in shown.stdout
    document = json.loads(run("run", "show", "schlüssel", "--json").stdout)
    assert document["args"] == [["grüße – 世界 \U0001f600"], {}]
    assert document["key"] == "schlüssel"
    missing = run("run", "show", "世")
    assert missing.returncode == 1
    assert missing.stderr.startswith(b"error: ")
    assert missing.stderr.count(b"\n") == 1


@pytest.mark.parametrize("streams", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads_any_more_is_no_traceback(
    database_url: str, instance: str, streams: str, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    other = "stderr" if streams == "stdout" else "stdout"
    command = ["run", "list", "--json"] if streams == "stdout" else ["run", "show", "nobody"]
    try:
        done = subprocess.run(
            [*COMMAND, *command, "--instance", instance],
            env=environment(database_url, "utf-8"), cwd=tmp_path, timeout=60,
            **{streams: writer, other: subprocess.PIPE},
        )  # type: ignore[call-overload]  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode in (0, 1)
    said = done.stderr if streams == "stdout" else done.stdout
    assert said == b""
