"""The measuring stick: a bare model of the hot path, run as a program of its own on the same server.

It is no part of the project and stands beside its checkout; where it is missing, the chain has no ratio.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from bench.errors import BenchError
from bench.flows import STEPS

DEFAULT = Path(__file__).parents[2] / "shared/limits/hotpath.py"
_LIMIT_S = 120.0
_DROP = "drop table if exists limit_events, limit_runs"


def measure(program: Path, url: str, runs: int, in_flight: int) -> float:
    """Return the steps per second that the program reaches.

    Raises:
        BenchError: it failed, or took too long.
    """
    sizes = {"database": url, "runs": runs, "steps": STEPS, "inflight": in_flight}
    arguments = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory(prefix="limit-") as folder:  # for what it leaves behind
        code, output, errors = _run(program, arguments, {**os.environ, "TMPDIR": folder}, url)
    if code is None:
        raise BenchError(f"{program} was not done after {_LIMIT_S:.0f} s; it was ended")
    if code != 0:
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"{program} ended with exit code {code}: {last}")
    return float(json.loads(output)["steps_per_s"])


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
