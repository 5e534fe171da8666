"""The pytest plugin: a database, a client and a node for the tests that want the real thing.

The database is the project's embedded PostgreSQL, never one that the environment names: tests empty it. Every test
worker has a database of its own there, with one schema, made at its first use, emptied before each test, dropped in
the end. What runs in memory (:func:`continuum.testing.run_sync`) needs none of this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from continuum.client import Client
    from continuum.runtime.inprocess import InProcessNode


@pytest.fixture(scope="session")
def _continuum_worker_database(request: pytest.FixtureRequest) -> Iterator[str]:
    from continuum.testing.database import worker_database

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with worker_database(request.config.rootpath, worker) as url:
        yield url


@pytest.fixture
def continuum_database(_continuum_worker_database: str) -> Iterator[str]:
    """The URL of an empty, migrated database, and the default of this process while the test runs: module-level
    functions and ``Client()`` use it."""
    from continuum.testing.database import default_database, empty

    empty(_continuum_worker_database)
    with default_database(_continuum_worker_database):
        yield _continuum_worker_database


@pytest.fixture
def continuum_client(continuum_database: str) -> Iterator[Client]:
    """A client of `continuum_database`."""
    from continuum.client import Client

    with Client(continuum_database) as client:
        yield client


@pytest.fixture
def continuum_node(continuum_database: str) -> Iterator[InProcessNode]:
    """A node on `continuum_database`, in threads of this process: it runs whatever the test's modules define."""
    from continuum.testing.database import node_on

    with node_on(continuum_database) as node:
        yield node
