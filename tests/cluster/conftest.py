"""What several tests of nodes ask for: an instance of their own, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from continuum import Client
from continuum.postgres import migrate


@pytest.fixture
def instance(database_url: str, fresh_schema: str) -> str:
    """The name of a migrated instance of this test's own."""
    migrate(database_url, fresh_schema)
    return fresh_schema.removeprefix("continuum_")


@pytest.fixture
def client(database_url: str, instance: str) -> Iterator[Client]:
    with Client(database_url, instance=instance) as client:
        yield client
