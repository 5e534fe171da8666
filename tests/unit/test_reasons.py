"""What the database refuses is one line, that says what to do where only people can do it."""

from __future__ import annotations

import psycopg
import pytest

from continuum.postgres.session import reason_of


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (psycopg.errors.DiskFull("could not extend file\n"), "free space on the database's disk"),
        (psycopg.errors.InsufficientPrivilege("permission denied for schema x\nLINE 1"), "owns the schema"),
    ],
)
def test_a_reason_that_people_must_remove_says_how(error: psycopg.Error, remedy: str) -> None:
    reason = reason_of(error)
    assert "\n" not in reason
    assert reason.endswith(remedy) or remedy in reason
    assert "nothing was changed" in reason


def test_other_reasons_are_the_words_of_the_database() -> None:
    assert reason_of(psycopg.OperationalError("the connection\nis lost")) == "the connection is lost"
