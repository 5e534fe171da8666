"""The claims of runs are several statements for the same rows, which are read by the places of their columns."""

from __future__ import annotations

import re

import pytest

from continuum.postgres.prepared import statement


def columns_of(name: str) -> list[str]:
    """What a statement's update returns, in order."""
    returned = statement(name).decode().split("    returning\n" if name == "claim" else "\nreturning\n")[1]
    listed = returned.split("\n)\n")[0]
    return [re.sub(r"\s+", " ", line).strip(" ,") for line in listed.splitlines()]


@pytest.mark.parametrize("name", ["claim_due", "claim_suspect"])
def test_every_claim_returns_the_same_columns(name: str) -> None:
    whole, other = columns_of("claim"), columns_of(name)
    assert whole[-1] == "chosen.due_at"
    assert other[: len(whole) - 1] == whole[:-1]
    assert other[len(whole) - 1 : len(whole)] in ([], ["run.due_at"])
