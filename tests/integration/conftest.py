"""Folders for servers that a test makes and kills, and a store in a schema of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from continuum.embedded import EmbeddedPostgres
from continuum.postgres import PostgresStore, migrate, open_store
from tests.conftest import new_folder
from tests.integration.conformance.scene import Scene
from tests.integration.servers import processes_of, quick, wait_until


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A cluster that was made and stopped once, to begin with a copy of it."""
    folder = new_folder()
    server = quick(folder / ".continuum")
    server.attach()
    server.stop()
    yield folder / ".continuum"
    shutil.rmtree(folder)


@pytest.fixture
def empty_root(open_folder: Path) -> Iterator[Path]:
    """Where no server has been yet."""
    folder = open_folder / ".continuum"
    yield folder
    EmbeddedPostgres(folder).stop("immediate")
    wait_until(lambda: not processes_of(folder), "the reaper has ended")


@pytest.fixture
def root(empty_root: Path, cluster: Path) -> Path:
    """Where a server has been before."""
    subprocess.run(["cp", "-a", cluster, empty_root], check=True)
    return empty_root


@pytest.fixture
def store(database_url: str, fresh_schema: str) -> Iterator[PostgresStore]:
    migrate(database_url, fresh_schema)
    with closing(open_store(database_url, fresh_schema)) as store:
        yield store


@pytest.fixture
def scene(store: PostgresStore) -> Scene:
    return Scene(store)
