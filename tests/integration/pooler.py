"""A PgBouncer between a test and its database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.integration.servers import free_port, wait_until

POOL_SIZE = 3  # fewer than the sessions of any test, so that they meet each other's

needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None,
    reason="there is no pgbouncer; install it (Debian: apt install pgbouncer)",
)


@contextmanager
def pooler_before(url: str, folder: Path, mode: str = "transaction") -> Iterator[str]:
    """The URL of the same database through a pooler, which deals out sessions by ``mode``."""
    target, port = conninfo_to_dict(url), free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={target['host']} port={target['port']} user={target['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\nmax_client_conn = 100\ndefault_pool_size = {POOL_SIZE}\n"
        f"logfile = {folder}/pgbouncer.log\npidfile =\n"
    )
    owner = Path(str(target["host"])).stat()
    folder.chmod(0o777)
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen(
        ["pgbouncer", "-q", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **identity
    )  # type: ignore[call-overload]
    through = f"postgresql://{target['user']}@127.0.0.1:{port}/{target['dbname']}"
    try:
        wait_until(lambda: process.poll() is None and _answers(through), "the pooler answers")
        yield through
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
