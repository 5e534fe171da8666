"""An application with one workflow, the command that starts a run of it, and how many runs there are."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from continuum.postgres import migrate
from tests.integration.commands import Commands

APP = """
from dataclasses import dataclass
from continuum import Signal, activity, workflow

@dataclass(frozen=True)
class Order:
    id: str
    cents: int

approved = Signal("approved", bool)

@activity
def charge(order: Order) -> str:
    return f"paid {order.cents}"

@workflow
async def checkout(order: Order, note: str = "-") -> dict[str, str]:
    payment = await charge(order)
    if not await approved.wait(timeout=3600):
        raise ValueError("declined")
    return {"payment": payment, "note": note}
"""
CHECKOUT = ("run", "start", "app.checkout", "--args", '[{"id": "o1", "cents": 4200}]')


@pytest.fixture
def unmigrated(tmp_path: Path, database_url: str, fresh_schema: str) -> Commands:
    """The command in a folder with an application, on an instance that does not exist yet."""
    (tmp_path / "app.py").write_text(APP)
    return Commands(tmp_path, database_url, fresh_schema.removeprefix("continuum_"))


@pytest.fixture
def continuum(unmigrated: Commands, database_url: str, fresh_schema: str) -> Commands:
    migrate(database_url, fresh_schema)
    return unmigrated


def count_runs(url: str, schema: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            sql.SQL("select count(*) from {}.continuum_runs").format(sql.Identifier(schema))
        ).fetchone()
    assert found is not None
    return int(found[0])
