"""Which database a process uses, and how settings and failures to connect read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from continuum.config import (
    ENVIRONMENT_VARIABLE,
    DatabaseChoice,
    configure,
    describe_connection_failure,
    mask_password,
    open_database,
    resolve_database,
    schema_of,
)
from continuum.errors import ConfigurationError

URL = "postgresql://ada@db.example/shop"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    yield
    configure(database=None)


def project(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_the_order_is_argument_configure_environment_pyproject_embedded(tmp_path: Path) -> None:
    project(tmp_path, '[tool.continuum]\ndatabase = "postgresql:///from_pyproject"\n')
    environment = {ENVIRONMENT_VARIABLE: "postgresql:///from_environment"}
    configure(database="postgresql:///from_configure")

    def choose(argument: str | None = None) -> tuple[str, str | None]:
        choice = resolve_database(argument, environment=environment, directory=tmp_path)
        return choice.source, choice.url

    assert choose("postgresql:///from_argument") == ("argument", "postgresql:///from_argument")
    assert choose() == ("configure()", "postgresql:///from_configure")
    configure(database=None)
    assert choose() == ("CONTINUUM_DATABASE_URL", "postgresql:///from_environment")
    environment.clear()
    assert choose() == ("pyproject.toml", "postgresql:///from_pyproject")
    project(tmp_path, "[tool.continuum]\n")
    assert choose() == ("embedded", None)


def test_the_nearest_pyproject_with_our_table_decides(tmp_path: Path) -> None:
    project(tmp_path, f'[tool.continuum]\ndatabase = "{URL}"\n')
    package = project(tmp_path / "packages/shop", "[project]\nname = 'shop'\n")
    assert resolve_database(environment={}, directory=package).url == URL
    project(package, '[tool.continuum]\ndatabase = "postgresql:///nearer"\n')
    assert resolve_database(environment={}, directory=package).url == "postgresql:///nearer"


@pytest.mark.parametrize("mark", ["pyproject", "folder"])
def test_the_embedded_database_is_in_the_project_wherever_in_it_one_stands(tmp_path: Path, mark: str) -> None:
    if mark == "pyproject":
        project(tmp_path, "[tool.continuum]\n")
    else:
        (tmp_path / ".continuum").mkdir()
    below = tmp_path / "src/shop"
    below.mkdir(parents=True)
    choice = resolve_database(environment={}, directory=below)
    assert choice == DatabaseChoice("embedded", embedded_root=tmp_path.resolve() / ".continuum")


def test_without_a_project_the_embedded_database_is_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_database(environment={}).embedded_root == tmp_path.resolve() / ".continuum"


def test_an_empty_environment_variable_is_no_choice(tmp_path: Path) -> None:
    assert resolve_database(environment={ENVIRONMENT_VARIABLE: ""}, directory=tmp_path).source == "embedded"


@pytest.mark.parametrize(
    "url", ["", "mysql://ada:secret@db/shop", "shop", "postgresql://ada:secret@db:port?x"]
)
def test_what_is_no_postgres_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user") as caught:
        resolve_database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[tool.continuum\n", "cannot be read", id="no TOML"),
        pytest.param("[tool.continuum]\ndatabase = 5432\n", "must be a string", id="a number"),
        pytest.param('[tool.continuum]\ndatabase = "shop"\n', "no PostgreSQL URL", id="no URL"),
    ],
)
def test_a_broken_pyproject_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    project(tmp_path, text)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        resolve_database(environment={}, directory=tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


def test_an_own_database_is_used_as_it_is_and_is_not_ours_to_start() -> None:
    with open_database(DatabaseChoice("argument", URL)) as database:
        assert (database.url, database.embedded, database.ensure_running()) == (URL, False, False)


def test_instances_have_schemas_of_their_own() -> None:
    assert schema_of("default") == "continuum"
    assert schema_of("billing_2") == "continuum_billing_2"
    assert len(schema_of("a" * 40)) <= 63, "PostgreSQL cuts longer names"


@pytest.mark.parametrize("name", ["", "Billing", "2nd", "a-b", "a" * 41, 'x"; DROP SCHEMA y', "shop\n"])
def test_a_name_that_is_no_instance_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name for an instance"):
        schema_of(name)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (URL, URL),
        ("postgresql://ada:secret@db/shop", "postgresql://ada:***@db/shop"),
        ("postgresql://ada:sec@ret/a?b@db/shop", "postgresql://ada:***@db/shop"),
        (
            "postgresql://db/shop?user=ada&password=secret&port=1",
            "postgresql://db/shop?user=ada&password=***&port=1",
        ),
        ("host=db password='sec ret' user=ada", "host=db password=*** user=ada"),
        ("host=db sslpassword = secret", "host=db sslpassword = ***"),
    ],
)
def test_a_printed_url_has_no_password(url: str, masked: str) -> None:
    assert mask_password(url) == masked


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            'connection to server at "10.0.0.1", port 5432 failed: Connection refused',
            "no PostgreSQL listens at db.example:5432; start it, or correct the URL",
            id="no server",
        ),
        pytest.param(
            'connection to server at "db" failed: FATAL:  password authentication failed for user "ada"',
            "db.example:5432 refused the password of user 'ada'",
            id="wrong password",
        ),
        pytest.param(
            "connection failed: fe_sendauth: no password supplied", "refused the password", id="no password"
        ),
        pytest.param('FATAL:  database "shop" does not exist', "createdb shop", id="no such database"),
        pytest.param(
            "failed to resolve host 'db.example': [Errno -2] Name or service not known",
            "the host db.example is unknown",
            id="unknown host",
        ),
        pytest.param("connection timeout expired", "db.example:5432 did not answer in time", id="silence"),
        pytest.param("FATAL:  sorry, too many clients already", "has no connection left", id="crowded"),
        pytest.param('could not extend file "base/1": No space left on device', "is full", id="full disk"),
        pytest.param("FATAL:  the database system is starting up", "try again in a moment", id="starting"),
        pytest.param(
            "something\n  else", "db.example:5432: something else; check the URL", id="anything else"
        ),
    ],
)
def test_a_failure_to_connect_is_one_line_that_says_what_to_do(message: str, expected: str) -> None:
    url = "postgresql://ada:secret@db.example/shop"
    line = describe_connection_failure(url, psycopg.OperationalError(message))
    assert expected in line
    assert "\n" not in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ada@127.0.0.1:1/shop", "no PostgreSQL listens at 127.0.0.1:1"),
        ("postgresql://ada@host.invalid/shop", "the host host.invalid is unknown"),
        ("postgresql://ada@/shop?host=/nowhere", "no PostgreSQL listens at /nowhere"),
    ],
)
def test_what_libpq_really_says_is_understood(url: str, expected: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(url, connect_timeout=5)
    assert expected in describe_connection_failure(url, caught.value)
