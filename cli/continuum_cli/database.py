"""The database behind the options, reached: for commands that speak with the schema itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg

from continuum.config import describe_connection_failure, open_database, resolve_database, schema_of
from continuum.postgres import open_store
from continuum_cli.failing import Refusal

_CONNECT_S = 10


@dataclass(frozen=True, slots=True)
class Place:
    """An instance in a database that answers. ``embedded``: it is the project's own server."""

    url: str = field(repr=False)
    schema: str
    embedded: bool


@contextmanager
def reached(database: str | None, instance: str) -> Iterator[Place]:
    """Make sure that the database answers, and keep the embedded one running for the body.

    Raises:
        Refusal: it does not let us in; one line says why.
    """
    schema = schema_of(instance)
    with open_database(resolve_database(database)) as opened:
        try:
            psycopg.connect(opened.url, connect_timeout=_CONNECT_S).close()
        except psycopg.OperationalError as error:
            raise Refusal(describe_connection_failure(opened.url, error)) from error
        yield Place(opened.url, schema, opened.embedded)


def registered_workflows(database: str | None, instance: str) -> list[str]:
    """Names of the workflows that some node has registered; the schema must be there."""
    with reached(database, instance) as place, closing(open_store(place.url, place.schema)) as store:
        return store.catalog.workflows()
