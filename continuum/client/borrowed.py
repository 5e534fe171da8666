"""What a caller may give as ``connection=``: an open psycopg connection; what is wrong with anything else, in words."""

from __future__ import annotations

import psycopg
from psycopg.pq import TransactionStatus

from continuum.errors import ConfigurationError

_WHOLE = "connection= takes an open psycopg connection"
_INSIDE: dict[str, str] = {  # by the first word of a type's module
    "sqlalchemy": "SQLAlchemy's own: `connection.connection.driver_connection` of a Connection, "
    "`session.connection().connection.driver_connection` of a Session, of an engine with postgresql+psycopg",
    "django": "Django's own: `connection.connection` after `connection.ensure_connection()`, in `transaction.atomic()`",
    "psycopg_pool": "from the pool: `with pool.connection() as connection:`",
    "psycopg2": "made by psycopg 3 (`import psycopg`)",
    "asyncpg": "made by psycopg 3 (`import psycopg`)",
}


def refuse_unusable(connection: object, *, asynchronous: bool = False) -> None:
    """Return if runs can be inserted by this connection, or if there is none.

    Raises:
        ConfigurationError: it is something else, closed, or in a transaction that failed. Nothing was started.
    """
    if connection is None:
        return
    reason = _reason(connection, asynchronous)
    if reason is not None:
        raise ConfigurationError(f"{reason}; nothing was started")


def _reason(connection: object, asynchronous: bool) -> str | None:
    match connection:
        case psycopg.AsyncConnection() if not asynchronous:
            return f"{_WHOLE}, and this one is asynchronous: start with an AsyncClient, or give a psycopg.Connection"
        case psycopg.Connection() | psycopg.AsyncConnection():
            return _unready(connection)
        case str() | bytes():
            return f"{_WHOLE}, not a text: open one (`psycopg.connect(URL)`), or give the URL to Client(database=...)"
        case _:
            return _foreign(type(connection))


def _unready(connection: psycopg.Connection[object] | psycopg.AsyncConnection[object]) -> str | None:
    if connection.closed:
        return f"{_WHOLE}, and this one is {'broken' if connection.broken else 'closed'}: open another"
    if connection.info.transaction_status == TransactionStatus.INERROR:
        return "the transaction of connection= has failed before: roll it back, or to a savepoint, and start again"
    return None


def _foreign(kind: type) -> str:
    hint = _INSIDE.get(kind.__module__.partition(".")[0])
    return f"{_WHOLE}, {hint}" if hint else f"{_WHOLE}, not {kind.__name__}"
