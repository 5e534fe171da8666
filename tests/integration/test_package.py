"""The wheel, installed alone: it has all it needs, and nothing is taken from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from continuum.config import ENVIRONMENT_VARIABLE
from continuum.embedded import EmbeddedPostgres

CHECKOUT = Path(__file__).parents[2]
OFFLINE = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=OFFLINE | environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with only the wheel, which sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--isolated",
        "--disable-pip-version-check",
    ]
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder)
    # A folder named in a .pth file is searched, but its own .pth files, the checkout's among them, are not read.
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def empty_database(postgres_server: EmbeddedPostgres, worker_id: str) -> Iterator[str]:
    name = sql.Identifier(f"test_package_{worker_id}")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield postgres_server.url_of(f"test_package_{worker_id}")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_the_wheel_holds_every_migration_query_and_example(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {f"continuum/migrations/{path.name}" for path in (CHECKOUT / "migrations").glob("*.sql")}
    assert expected, "there are migrations"
    for path in (CHECKOUT / "continuum").rglob("*.sql"):
        expected.add(str(path.relative_to(CHECKOUT)))
    for path in (CHECKOUT / "examples/shop").glob("*.py"):
        expected.add(f"continuum_cli/examples/shop/{path.name}")
    expected |= {"continuum/py.typed", "continuum/embedded_reaper.py", "continuum_cli/__init__.py"}
    assert expected <= inside
    assert not [name for name in inside if name.startswith(("tests/", "bench/")) or name.endswith(".pyc")]


def test_an_installed_package_does_not_need_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import continuum, continuum_cli; print(continuum.__file__, continuum_cli.__file__)"
    for file in run(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent)


def test_the_installed_command_says_what_it_can_do(installed: Path, tmp_path: Path) -> None:
    shown = run(installed / "continuum", "--help", cwd=tmp_path)
    assert {"demo", "node", "run", "db"} <= set(shown.split())


def test_the_installed_command_migrates_a_database(
    installed: Path, tmp_path: Path, empty_database: str
) -> None:
    run(installed / "continuum", "db", "migrate", cwd=tmp_path, **{ENVIRONMENT_VARIABLE: empty_database})
    with psycopg.connect(empty_database) as connection:
        row = connection.execute("SELECT to_regclass('continuum.continuum_runs') IS NOT NULL").fetchone()
    assert row == (True,)
