"""The module-level functions: one default client, made late, reset by configure()."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

import continuum
from continuum.client import default
from continuum.postgres import migrate
from tests.integration.client.hand_engine import HandEngine
from tests.integration.client.shop import ORDER, Receipt, archive, checkout


def drop_default_schema(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop schema if exists continuum cascade")


@pytest.fixture
def configured(database_url: str) -> Iterator[str]:
    """The database of the default instance, empty."""
    drop_default_schema(database_url)
    migrate(database_url, "continuum")
    continuum.configure(database=database_url)
    yield database_url
    continuum.configure()
    drop_default_schema(database_url)


def test_the_functions_do_what_the_client_does(configured: str) -> None:
    engine = HandEngine(configured, "continuum")
    handle = continuum.start(checkout(ORDER), id="order-o1")
    continuum.signal("order-o1", "approved", True)
    continuum.set_attributes("order-o1", {"plan": "pro"})
    assert continuum.get_run(handle.id).attributes == {"plan": "pro"}
    engine.complete(handle.id, {"order": "o1", "paid": True})
    assert continuum.result("order-o1", timeout=20) == Receipt("o1", paid=True)
    assert continuum.handle("order-o1").result() == Receipt("o1", paid=True)
    assert continuum.history("order-o1").run_id == handle.id
    (other,) = continuum.start_many([archive(ORDER)])
    continuum.cancel(other.id, reason="enough")
    assert {run.state for run in continuum.query().runs} == {"completed", "cancelled"}
    engine.close()


def test_all_functions_share_one_client_until_configure(configured: str) -> None:
    first = default._default("query")
    assert default._default("start") is first
    continuum.configure(database=configured)
    assert default._default("query") is not first
    with pytest.raises(continuum.ContinuumError, match="closed"):
        first.query()
    assert continuum.query().runs == []


def test_a_bad_url_changes_nothing(configured: str) -> None:
    client = default._default("query")
    with pytest.raises(continuum.ConfigurationError):
        continuum.configure(database="not a url")
    assert default._default("query") is client
    assert continuum.query().runs == []


def test_a_forked_child_makes_a_client_of_its_own(configured: str) -> None:
    continuum.query()
    program = (
        "import continuum, os, sys\n"
        f"continuum.configure(database={configured!r})\n"
        "continuum.query()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    continuum.query()\n"
        "    os._exit(0)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "continuum.query()\n"
        "sys.exit(status)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
