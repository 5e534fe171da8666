"""The PostgreSQL that is measured on: a new one in a temporary folder, or the one that was named.

Either has to sync what it commits. Figures of a server that does not say nothing about a durable step, so such a
server is refused.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from bench.errors import BenchError
from continuum.config import describe_connection_failure
from continuum.embedded import EmbeddedPostgres

DURABLE = ("fsync", "synchronous_commit")
NOTED = (*DURABLE, "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size")
_DOES_NOT_SYNC = (
    "off",
    "local",
)  # local: this server does sync, but not the standby that it was given for that


@contextmanager
def open_server(url: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the server's URL and what is to be noted of it; a server of our own is removed afterwards.

    Raises:
        BenchError: it cannot be reached, or does not sync.
    """
    if url is not None:
        yield url, _facts(url)
        return
    folder = Path(tempfile.mkdtemp(prefix="continuum-bench-"))
    folder.chmod(0o755)  # started by root, the server runs as another user
    server = EmbeddedPostgres(folder / "postgres", settings=dict.fromkeys(DURABLE, "on"))
    try:
        server.attach()
        yield server.url, {**_facts(server.url), "filesystem": _filesystem(folder)}
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


def _facts(url: str) -> dict[str, str]:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            names = ["server_version", *NOTED]
            found = {name: str(_setting(connection, name)) for name in names}
    except psycopg.OperationalError as error:
        raise BenchError(describe_connection_failure(url, error)) from error
    for name in DURABLE:
        if found[name] in _DOES_NOT_SYNC:
            raise BenchError(
                f"this PostgreSQL runs with {name} = {found[name]}, so its commits are not durable; nothing was "
                f"measured. Set {name} to on, or leave --database out for a server of the bench's own"
            )
    return {"postgres": found.pop("server_version"), **found}


def _setting(connection: psycopg.Connection[tuple[object, ...]], name: str) -> object:
    row = connection.execute("select current_setting(%s)", [name]).fetchone()
    assert row is not None, "a select without a table gives one row"
    return row[0]


def _filesystem(folder: Path) -> str:
    """The type of the file system below the folder: on a tmpfs, a sync costs nothing."""
    parents = {str(place) for place in (folder, *folder.parents)}
    mounts = [mount for mount in psutil.disk_partitions(all=True) if mount.mountpoint in parents]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"
