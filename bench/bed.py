"""What the measurements lie on: a server, an instance of its own, a node of real processes, and a client.

The node is started with one engine and one worker: two cores are full with these two and PostgreSQL, and a second
worker gave nothing. Whatever ends the bench, everything here is stopped and removed; the node is not drained,
because nobody wants the rest of its runs.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from bench.server import open_server
from continuum import Client, Node
from continuum.config import schema_of

ENGINES, WORKERS = 1, 1
INSTANCE = "bench"
READY_S = 60.0

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Bed:
    """``url``, ``facts`` of the server, ``client``, ``node``, and ``schema`` as quoted SQL; valid inside ``with``."""

    def __init__(self, database: str | None, instance: str) -> None:
        self._database, self._instance = database, instance
        self._stack = ExitStack()
        self.schema = sql.Identifier(schema_of(instance))

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self) -> None:
        self.url, self.facts = self._stack.enter_context(open_server(self._database))
        self._sql = self._stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self._sql.prepare_threshold = 0
        self._stack.callback(self._drop_schema)
        self.node = Node(
            "bench.flows",
            database=self.url,
            instance=self._instance,
            engines=ENGINES,
            workers=WORKERS,
            migrate=True,
        )
        self._stack.callback(self.node.stop, graceful=False)
        self.node.start()
        self.node.wait_ready(READY_S)
        self.client = self._stack.enter_context(Client(self.url, instance=self._instance))

    def _close(self) -> None:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS}
        try:
            self._stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drop_schema(self) -> None:
        self._sql.execute(sql.SQL("drop schema if exists {} cascade").format(self.schema))

    def rows(self, query: sql.SQL, namespace: str) -> list[tuple[int, ...]]:
        """Rows of a query about the runs of a namespace; ``{schema}`` in it is that of the instance."""
        return self._sql.execute(query.format(schema=self.schema), [namespace]).fetchall()
