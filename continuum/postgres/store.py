"""The store on PostgreSQL: the four ports over one session."""

from __future__ import annotations

from continuum.postgres.catalog import PostgresCatalog
from continuum.postgres.dispatch import PostgresDispatch
from continuum.postgres.journal import PostgresJournal
from continuum.postgres.mailbox import PostgresMailbox
from continuum.postgres.posting import PostgresPoster
from continuum.postgres.session import Session


class PostgresStore:
    """Belongs to one thread, as the session that its ports share. The schema must be migrated."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.journal = PostgresJournal(session)
        self.dispatch = PostgresDispatch(session)
        self.mailbox = PostgresMailbox(session)
        self.catalog = PostgresCatalog(session)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self.session.close()


def open_store(url: str, schema: str, application_name: str = "continuum") -> PostgresStore:
    """Return a store of the instance that ``schema`` is; it connects with its first call."""
    return PostgresStore(Session(url, schema, application_name))


def open_poster(url: str, schema: str, application_name: str = "continuum") -> PostgresPoster:
    """Return a poster of the instance that ``schema`` is; it has yet to be opened."""
    return PostgresPoster(Session(url, schema, application_name))
