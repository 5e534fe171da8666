"""The measuring stick: a bare model of the hot path, run as a program of its own on the same server.

The one that the bars are meant for is no part of the project and stands beside its checkout. Where it is missing,
`bench.stick` takes its place: a model of the same path, of the same shape.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg

from bench.cpu import tree_s
from bench.errors import BenchError
from bench.flows import STEPS

OWN = Path(__file__).with_name("stick.py")
BESIDE = Path(__file__).parents[2] / "shared/limits/hotpath.py"
_LIMIT_S = 120.0
_STARTS = 3
_DROP = "drop table if exists limit_events, limit_runs"


@dataclass(frozen=True, slots=True)
class Reached:
    """``cpu_us_per_step``: of the program and PostgreSQL, without what their start costs; None if not to be seen."""

    steps_per_s: float
    cpu_us_per_step: float | None


def default() -> Path:
    """The program that is used where none is named."""
    return BESIDE if BESIDE.is_file() else OWN


class Stick:
    """``postmaster`` is the server's process, None if it cannot be seen."""

    def __init__(self, program: Path, url: str, postmaster: int | None) -> None:
        self._program, self._url, self._postmaster = program, url, postmaster
        starts = [self._run(1, 1) for _ in range(_STARTS)]
        self._start_s = median(cpu_s for _, cpu_s in starts)

    def measure(self, runs: int, in_flight: int) -> Reached:
        """Return what the program reaches.

        Raises:
            BenchError: it failed, or took too long.
        """
        steps_per_s, cpu_s = self._run(runs, in_flight)
        if self._postmaster is None:
            return Reached(steps_per_s, None)
        return Reached(steps_per_s, (cpu_s - self._start_s) / ((runs - 1) * STEPS) * 1e6)

    def _run(self, runs: int, in_flight: int) -> tuple[float, float]:
        sizes = {"database": self._url, "runs": runs, "steps": STEPS, "inflight": in_flight}
        arguments = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
        before = self._cpu_s()
        with tempfile.TemporaryDirectory(prefix="limit-") as folder:  # for what it leaves behind
            environment = {**os.environ, "TMPDIR": folder}
            code, output, errors = _run(self._program, arguments, environment, self._url)
        if code is None:
            raise BenchError(f"{self._program} was not done after {_LIMIT_S:.0f} s; it was ended")
        if code != 0:
            last = (errors.strip().splitlines() or ["it said nothing"])[-1]
            raise BenchError(f"{self._program} ended with exit code {code}: {last}")
        return float(json.loads(output)["steps_per_s"]), self._cpu_s() - before

    def _cpu_s(self) -> float:
        """Processor seconds of the programs that this one has waited for, and of the server."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        database_s = 0.0 if self._postmaster is None else tree_s(self._postmaster, deep=True)
        return ended.ru_utime + ended.ru_stime + database_s


def _run(
    program: Path, arguments: Sequence[str], environment: Mapping[str, str], url: str
) -> tuple[int | None, str, str]:
    """Exit code (None: it took too long), output and errors; nothing of the program is left, however this ends."""
    process = subprocess.Popen(
        [sys.executable, program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # it has a worker, which ends with its group
    )
    try:
        output, errors = process.communicate(timeout=_LIMIT_S)
        return process.returncode, output, errors
    except subprocess.TimeoutExpired:
        return None, "", ""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() != 0:  # it drops its tables only at its good end
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_DROP)
