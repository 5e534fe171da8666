"""Which database, which schema: settings become one choice, and a failure to connect becomes one line.

The database is the first of: the argument, `configure`, ``CONTINUUM_DATABASE_URL``, ``[tool.continuum] database``
in ``pyproject.toml``, else the embedded PostgreSQL in ``.continuum/`` of the project. `resolve_database` only
reads; nothing is started or connected to before `open_database`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from continuum.connecting import describe_connection_failure as describe_connection_failure
from continuum.core.determinism.settings import UntrustedCalls, trust
from continuum.embedded import EmbeddedPostgres
from continuum.errors import ConfigurationError

if TYPE_CHECKING:
    from continuum.wire.curve import ClusterKey

ENVIRONMENT_VARIABLE: Final = "CONTINUUM_DATABASE_URL"
KEY_VARIABLE: Final = "CONTINUUM_CLUSTER_KEY"
EMBEDDED_FOLDER = ".continuum"


class Keep(Enum):
    """A setting that is left as it is, where None says something else."""

    KEEP = "keep"


Source = Literal["argument", "configure()", "CONTINUUM_DATABASE_URL", "pyproject.toml", "embedded"]

_INSTANCE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):(\S*)(?=@)")
_KEY_PASSWORD = re.compile(r"((?:^|[\s?&])(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)", re.IGNORECASE)

_configured: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """A database and where its name came from: a URL, or the folder of the embedded server, never both."""

    source: Source
    url: str | None = field(default=None, repr=False)
    embedded_root: Path | None = None


class Database:
    """An open choice: a URL that works until `close`. The embedded server runs for at least that long."""

    def __init__(self, url: str, server: EmbeddedPostgres | None = None) -> None:
        self.url = url
        self._server = server

    @property
    def embedded(self) -> bool:
        """Whether this is the embedded server, which migrates itself."""
        return self._server is not None

    def ensure_running(self) -> bool:
        """Start the embedded server again if it was killed; True if so. Any other server is its owner's care.

        Raises:
            EmbeddedPostgresError: it cannot be started.
        """
        return self._server.ensure_running() if self._server else False

    def close(self) -> None:
        """Give the embedded server back, which stops with its last user. May be called twice."""
        if self._server:
            self._server.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def configure(
    *,
    database: str | Keep | None = Keep.KEEP,
    trusted_modules: Sequence[str] | None = None,
    untrusted_calls: UntrustedCalls | None = None,
) -> None:
    """Set the database that this process uses where no other is passed; None goes back to the environment.

    ``trusted_modules`` and ``untrusted_calls`` are for the scan of workflows that are defined later, see
    :func:`continuum.core.determinism.settings.trust`. What is not passed beside another setting stays as it is;
    nothing at all is ``database=None``.
    """
    global _configured
    if database is Keep.KEEP and trusted_modules is None and untrusted_calls is None:
        database = None
    checked = (
        None if database is None or database is Keep.KEEP else _checked(database, "configure(database=...)")
    )
    trust(trusted_modules, untrusted_calls)
    if database is not Keep.KEEP:
        _configured = checked


def resolve_database(
    database: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> DatabaseChoice:
    """The database to use, without touching it. ``directory`` is where the search for the project begins.

    Raises:
        ConfigurationError: a setting is no PostgreSQL URL, or a ``pyproject.toml`` cannot be read.
    """
    if database is not None:
        return DatabaseChoice("argument", _checked(database, "the database argument"))
    if _configured is not None:
        return DatabaseChoice("configure()", _configured)
    if url := (os.environ if environment is None else environment).get(ENVIRONMENT_VARIABLE):
        return DatabaseChoice(ENVIRONMENT_VARIABLE, _checked(url, ENVIRONMENT_VARIABLE))
    start = (directory or Path.cwd()).resolve()
    if found := _project_database(start):
        return DatabaseChoice("pyproject.toml", found)
    return DatabaseChoice("embedded", embedded_root=_project_root(start) / EMBEDDED_FOLDER)


def open_database(choice: DatabaseChoice) -> Database:
    """Make the choice usable: attaches to the embedded server, or only passes the URL on.

    Raises:
        EmbeddedPostgresError: the embedded server cannot be started.
    """
    if choice.embedded_root is None:
        assert choice.url is not None, "a choice is a URL or a folder"
        return Database(choice.url)
    server = EmbeddedPostgres(choice.embedded_root)
    return Database(server.attach(), server)


def schema_of(instance: str) -> str:
    """The schema that holds an instance: ``continuum`` for ``default``, else ``continuum_<instance>``.

    Raises:
        ConfigurationError: not 1 to 40 of ``a-z``, ``0-9`` and ``_``, beginning with a letter.
    """
    if not _INSTANCE.fullmatch(instance):
        raise ConfigurationError(
            f"{instance!r} is no name for an instance; nothing was changed. "
            "Use 1 to 40 of a-z, 0-9 and _, beginning with a letter"
        )
    return "continuum" if instance == "default" else f"continuum_{instance}"


def resolve_cluster_key(
    key_file: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ClusterKey | None:
    """The key of the cluster: in ``key_file``, else in ``CONTINUUM_CLUSTER_KEY``, else ``cluster_key`` or
    ``cluster_key_file`` (beside it) in ``[tool.continuum]`` of the project's ``pyproject.toml``; None without any.

    Raises:
        ConfigurationError: what is there is no key, or cannot be read.
    """
    from continuum.wire.curve import ClusterKey  # clients have no use for ZeroMQ

    if key_file is not None:
        return _key_in(Path(key_file), "the cluster key file")
    if text := (os.environ if environment is None else environment).get(KEY_VARIABLE):
        return ClusterKey.parse(text, KEY_VARIABLE)
    start = (directory or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        table = _tool_table(folder / "pyproject.toml")
        if table is None:
            continue
        text_in, file_in = table.get("cluster_key"), table.get("cluster_key_file")
        where = f"in [tool.continuum] of {folder}/pyproject.toml"
        if text_in:
            return ClusterKey.parse(str(text_in), f"cluster_key {where}")
        return _key_in(folder / str(file_in), f"cluster_key_file {where}") if file_in else None
    return None


def _key_in(path: Path, what: str) -> ClusterKey:
    from continuum.wire.curve import ClusterKey

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"{what}, {path}, cannot be read: {error.strerror}; nothing was started. "
            "`continuum cluster keygen > FILE` makes one"
        ) from None
    return ClusterKey.parse(text, f"what stands in {path}")


def mask_password(url: str) -> str:
    """The URL, or ``key=value`` string, with ``***`` for its passwords: safe to print and to log."""
    return _KEY_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***", url))


def _checked(url: str, source: str) -> str:
    """The URL itself.

    Raises:
        ConfigurationError: libpq could not read it, or would read it otherwise than its author does. What it says is
            not repeated, because who knows which part of it is the password.
    """
    if not url.strip():
        raise ConfigurationError(f"{source} is empty; give it a URL such as postgresql://user@host/database")
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.Error, ValueError):  # the latter for text that no C string can hold
        raise ConfigurationError(
            f"{source} is no PostgreSQL URL; nothing was started. It looks like postgresql://user:password@host:5432/"
            "database, its password with %XX for signs such as @ : / and blanks"
        ) from None
    ports = str(parts.get("port") or "").split(",")
    misread = any("@" in str(parts.get(name) or "") for name in ("host", "dbname"))
    if misread or not all(port.isdigit() or not port for port in ports):
        raise ConfigurationError(
            f"{source} has a password, or another part, with signs that end it too early; nothing was started. Write "
            "them as %XX: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23"
        )
    return url


def _project_database(start: Path) -> str | None:
    for folder in (start, *start.parents):
        table = _tool_table(folder / "pyproject.toml")
        if table is not None:
            setting = table.get("database")
            if setting is not None and not isinstance(setting, str):
                raise ConfigurationError(
                    f"database in [tool.continuum] of {folder}/pyproject.toml must be a string"
                )
            return _checked(setting, f"database in {folder}/pyproject.toml") if setting else None
    return None


def _project_root(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / EMBEDDED_FOLDER).is_dir() or _tool_table(folder / "pyproject.toml") is not None:
            return folder
    return start


def _tool_table(path: Path) -> Mapping[str, object] | None:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}; mend it, or set {ENVIRONMENT_VARIABLE}"
        ) from None
    tool = document.get("tool")
    table = tool.get("continuum") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None
