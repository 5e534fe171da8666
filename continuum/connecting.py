"""Why PostgreSQL did not let us in, in one line that says what to do next. Pure: an error in, text out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: str
    database: str
    user: str

    def __str__(self) -> str:
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"


_SOLVED_BY: tuple[tuple[str, str, str], ...] = (
    # (SQLSTATE, pattern of the message, what to say); libpq has no code for what fails before a session.
    (
        "28P01",
        r"password authentication failed|no password supplied|fe_sendauth",
        "{at} refused the password of user {user!r}; correct it in the URL (postgresql://{user}:PASSWORD@...)",
    ),
    (
        "28000",
        r"no pg_hba\.conf entry|[Pp]eer authentication failed|role \S+ does not exist",
        "{at} does not accept user {user!r} from here; check the user in the URL, or allow it in pg_hba.conf",
    ),
    (
        "3D000",
        r"database .* does not exist",
        "there is no database {database!r} on {at}; create it (`createdb {database}`) or correct the URL",
    ),
    (
        "53300",
        r"too many (clients|connections)|remaining connection slots",
        "{at} has no connection left; stop some of its clients, or raise max_connections",
    ),
    (
        "53100",
        r"No space left on device|Disk quota exceeded|Check free disk space",
        "the disk of {at} is full; what is committed is safe. Free some space and try again",
    ),
    (
        "",
        r"statement pooling mode",
        "{at} is a pooler that deals out sessions by the statement; set its pool_mode to transaction or session",
    ),
    (
        "57P03",
        r"the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting)",
        "{at} is starting or stopping; try again in a moment",
    ),
    (
        "",
        r"could not translate host name|failed to resolve host|[Nn]ame or service not known|getaddrinfo",
        "the host {host} is unknown; correct its name in the URL, or check this machine's DNS",
    ),
    (
        "",
        r"timeout expired|[Tt]imed out|ETIMEDOUT|No route to host|Network is unreachable",
        "{at} did not answer in time; check its address, the firewall between, and that it runs",
    ),
    (
        "",
        r"Connection refused|No such file or directory|Is the server running",
        "no PostgreSQL listens at {at}; start it, or correct the URL",
    ),
)


def describe_connection_failure(url: str, error: psycopg.OperationalError) -> str:
    """One line without any password: what is wrong at the other end of ``url``, and what to do about it."""
    target = _target(url)
    facts = {"at": str(target), "host": target.host, "database": target.database, "user": target.user}
    message = str(error)
    for sqlstate, pattern, text in _SOLVED_BY:
        if (sqlstate and error.sqlstate == sqlstate) or re.search(pattern, message):
            return f"cannot connect to PostgreSQL: {text.format(**facts)}"
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return f"cannot connect to PostgreSQL: {target} did not answer in time; check its address and that it runs"
    reason = " ".join(message.split()) or type(error).__name__
    return f"cannot connect to PostgreSQL: {target}: {reason}; check the URL with `continuum db url`"


def _target(url: str) -> _Target:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        parts = {}
    return _Target(
        host=str(parts.get("host") or parts.get("hostaddr") or "the local socket"),
        port=str(parts.get("port") or 5432),
        database=str(parts.get("dbname") or parts.get("user") or ""),
        user=str(parts.get("user") or ""),
    )
