"""The ports on PostgreSQL: sessions, schema, adapters. Tables, indexes and locks: docs/sql.md."""

from continuum.postgres.listener import Listener
from continuum.postgres.partitions import ensure_partitions
from continuum.postgres.schema import MigrationStatus, check, migrate, status
from continuum.postgres.session import Session
from continuum.postgres.store import PostgresStore, open_poster, open_store

__all__ = [
    "Listener",
    "MigrationStatus",
    "PostgresStore",
    "Session",
    "check",
    "ensure_partitions",
    "migrate",
    "open_poster",
    "open_store",
    "status",
]
