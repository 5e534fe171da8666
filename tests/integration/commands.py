"""The command `continuum`, run as a user runs it, and what came of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from continuum.config import ENVIRONMENT_VARIABLE
from tests.forks import CHECKOUT as CHECKOUT
from tests.forks import SEARCH_PATH, Fork, fork
from tests.integration.servers import wait_until

COMMAND = [sys.executable, "-m", "continuum_cli"]
PROGRAM = "from continuum_cli.entry import main; main()"
LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def assert_refused(self, code: int, *words: str) -> None:
        """One line that says all of ``words``, on standard error only, and this exit code."""
        assert self.code == code, self
        assert self.out == ""
        assert self.err.startswith("error: ") and self.err.count("\n") == 1, self.err
        for word in words:
            assert word in self.err, self.err


@dataclass(frozen=True)
class Commands:
    """The command, in a folder and on an instance of a database."""

    folder: Path
    database: str | None = None
    instance: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """That of a user in that folder, who has named the database."""
        named = {} if self.database is None else {ENVIRONMENT_VARIABLE: self.database}
        return os.environ | {"PYTHONPATH": SEARCH_PATH, "COLUMNS": "80"} | named

    def __call__(self, *arguments: str, stdin: str = "") -> Outcome:
        with ExitStack() as stack:
            given, out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
            given.write(stdin)
            given.seek(0)
            process = self._fork(arguments, given, out, err)
            try:
                code = process.wait(LIMIT_S)
            finally:
                process.kill()
            out.seek(0)
            err.seek(0)
            return Outcome(code, out.read(), err.read())

    def start(self, *arguments: str, log: Path) -> Fork:
        """Start a command in another terminal, which prints into a file."""
        with log.open("w") as file:
            return self._fork(arguments, None, file, file)

    def _fork(
        self, arguments: Sequence[str], stdin: IO[str] | None, stdout: IO[str], stderr: IO[str]
    ) -> Fork:
        arguments = self.with_instance(*arguments)
        return fork(
            PROGRAM,
            *arguments,
            cwd=self.folder,
            env=self.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def lines(self, *arguments: str, stdin: str = "") -> list[str]:
        """Run a command that succeeds and return what it printed."""
        outcome = self(*arguments, stdin=stdin)
        assert outcome.code == 0, outcome
        return outcome.out.splitlines()

    def with_instance(self, *arguments: str) -> list[str]:
        return [*arguments, *([] if self.instance is None else ["--instance", self.instance])]

    @contextmanager
    def node(self, *arguments: str) -> Iterator[Path]:
        """A node in the foreground of another terminal, ready; gives its log. It must end well."""
        log = self.folder / "node.log"
        process = self.start("node", "start", *arguments, log=log)
        try:
            wait_until(
                lambda: "ready child='dispatcher'" in log.read_text(), f"ready: {log.read_text()}", LIMIT_S
            )
            yield log
            process.terminate()
            assert process.wait(LIMIT_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
