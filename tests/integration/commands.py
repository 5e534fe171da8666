"""The command `continuum`, run as a user runs it, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from continuum.config import ENVIRONMENT_VARIABLE
from tests.integration.servers import wait_until

CHECKOUT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "continuum_cli"]
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
        paths = f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'cli'}"
        named = {} if self.database is None else {ENVIRONMENT_VARIABLE: self.database}
        return os.environ | {"PYTHONPATH": paths, "COLUMNS": "80"} | named

    def __call__(self, *arguments: str, stdin: str = "") -> Outcome:
        done = subprocess.run(
            [*COMMAND, *self.with_instance(*arguments)],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

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
        with log.open("w") as file:
            process = subprocess.Popen(
                [*COMMAND, *self.with_instance("node", "start", *arguments)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
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
