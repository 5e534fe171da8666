"""A migrated schema with clients and an engine by hand: what the tests of clients share."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from continuum import Client
from continuum.postgres import migrate
from tests.integration.client.hand_engine import HandEngine


@pytest.fixture
def schema(database_url: str, fresh_schema: str) -> str:
    migrate(database_url, fresh_schema)
    return fresh_schema


@pytest.fixture
def instance(schema: str) -> str:
    return schema.removeprefix("continuum_")


@pytest.fixture
def client(database_url: str, instance: str) -> Iterator[Client]:
    with Client(database_url, instance=instance) as client:
        yield client


@pytest.fixture
def engine(database_url: str, schema: str) -> Iterator[HandEngine]:
    engine = HandEngine(database_url, schema)
    yield engine
    engine.close()


@pytest.fixture
def silent_engine(database_url: str, schema: str) -> Iterator[HandEngine]:
    """An engine whose notifications are all lost."""
    engine = HandEngine(database_url, schema, announce=False)
    yield engine
    engine.close()


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[psycopg.rows.TupleRow]]:
    """A connection of the program that uses Continuum."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()
