"""What every test may ask for: one PostgreSQL for the whole run, a database per worker, a schema per test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from continuum.config import ENVIRONMENT_VARIABLE
from continuum.embedded import EmbeddedPostgres

_ROOT_VARIABLE = "CONTINUUM_TEST_POSTGRES"
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES_MIN = 4 * 2**30


def new_folder() -> Path:
    """A new folder that every user can enter (started by root, a server runs as another), in memory if there is room.

    Its name is short, for sockets. Who makes it removes it.
    """
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_FREE_BYTES_MIN
    folder = Path(tempfile.mkdtemp(prefix="continuum-test-", dir=_MEMORY if roomy else None))
    folder.chmod(0o755)
    return folder


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder of the run's server once, in the process that the xdist workers come from."""
    os.environ.pop(ENVIRONMENT_VARIABLE, None)  # tests run on their own server, never on a developer's
    if not hasattr(config, "workerinput"):
        os.environ[_ROOT_VARIABLE] = str(new_folder())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the run's server once all workers are gone, and remove its files."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(_ROOT_VARIABLE))
        EmbeddedPostgres(folder / "postgres").stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The server that all workers of this run share. Do not stop it; a test that kills servers makes its own."""
    # These tests kill processes, never the machine: the kernel keeps what was written.
    settings = {"fsync": "off", "full_page_writes": "off"}
    with EmbeddedPostgres(Path(os.environ[_ROOT_VARIABLE]) / "postgres", settings=settings) as server:
        yield server


@pytest.fixture(scope="session")
def database_url(postgres_server: EmbeddedPostgres, worker_id: str) -> str:
    """The URL of a database that belongs to this worker alone, empty at its start."""
    name = sql.Identifier(f"test_{worker_id}")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return postgres_server.url_of(f"test_{worker_id}")


@pytest.fixture
def fresh_schema(database_url: str) -> Iterator[str]:
    """The name of a schema that no other test uses, dropped afterwards; the test creates it.

    It is that of an instance (`schema_of`): without ``continuum_``, it is the instance's name.
    """
    name = f"continuum_t{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that every user can enter, unlike ``tmp_path``: for servers that a test makes."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)
