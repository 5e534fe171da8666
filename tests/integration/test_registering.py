"""A node notes its versions at its start, also when the database is away for a moment."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from continuum.core.definitions import registry, workflow
from continuum.errors import JournalError
from continuum.node import checks
from continuum.node.config import NodeConfig
from continuum.postgres import migrate, open_store


@workflow(logical="registering.flow")
async def before() -> int:
    return 1


@workflow(name="registering.flow")
async def today() -> int:
    return 2


def rename(url: str, schema: str, old: str, new: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("alter table {} rename to {}").format(sql.Identifier(schema, old), sql.Identifier(new))
        )


@pytest.mark.rule("D6")
def test_registering_the_versions_is_tried_again_and_includes_the_older_ones(
    database_url: str, fresh_schema: str
) -> None:
    migrate(database_url, fresh_schema)
    config = NodeConfig(modules=("app",), instance=fresh_schema.removeprefix("continuum_"))
    rename(database_url, fresh_schema, "continuum_workflow_versions", "away")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            rename(database_url, fresh_schema, "away", "continuum_workflow_versions")

    checks._register(config, database_url, (), pause=pause)
    assert len(pauses) == 2 and pauses == sorted(pauses)
    store = open_store(database_url, fresh_schema)
    found = {(row.workflow, row.version_hash) for row in store.catalog.versions()}
    store.close()
    assert found == set(registry.versions())
    assert {(today.name, today.version_hash), (today.name, before.version_hash)} <= found


@pytest.mark.rule("D6")
def test_a_database_that_stays_away_ends_the_start(database_url: str, fresh_schema: str) -> None:
    migrate(database_url, fresh_schema)
    config = NodeConfig(modules=("app",), instance=fresh_schema.removeprefix("continuum_"))
    rename(database_url, fresh_schema, "continuum_workflow_versions", "away")
    pauses: list[float] = []
    with pytest.raises(JournalError):
        checks._register(config, database_url, (), pause=pauses.append)
    assert 0 < len(pauses) < 20
