"""What the measurements lie on: an instance of its own on a server, a node of real processes, and a client.

The node is started with two engines and one worker: an engine is one thread of Python, and two cores have room for a
second one beside the worker and PostgreSQL; a second worker gave nothing. Whatever ends the bench, everything here is
stopped and removed; the node is not drained, because nobody wants the rest of its runs.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from bench.errors import BenchError
from bench.server import open_server
from continuum import Client, Node
from continuum.config import schema_of

ENGINES, WORKERS = 2, 1
INSTANCE = "bench"
READY_S = 60.0

Parameters = Sequence[object] | Mapping[str, object]
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Undisturbed(ExitStack):
    """Closes without being interrupted: a second Ctrl-C leaves nothing behind."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS}
        try:
            return bool(super().__exit__(kind, error, trace))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Bed:
    """``url``, ``facts`` of the server, and ``schema`` as quoted SQL (``schema_name`` as it is); valid inside ``with``.

    The node and the client are started when they are first asked for.
    """

    def __init__(
        self,
        url: str,
        facts: Mapping[str, str],
        instance: str,
        engines: int = ENGINES,
        workers: int = WORKERS,
    ) -> None:
        self.url, self.facts, self.instance = url, facts, instance
        self.engines, self.workers = engines, workers
        self.schema_name = schema_of(instance)
        self.schema = sql.Identifier(self.schema_name)
        self._stack = Undisturbed()
        self._node: Node | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        self._database = self._stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self._database.prepare_threshold = 0
        self._stack.callback(self._drop_schema)
        self._stack.callback(self.stop, graceful=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def node(self) -> Node:
        """The node, ready for work."""
        if self._node is None:
            self._node = Node(
                "bench.flows",
                database=self.url,
                instance=self.instance,
                engines=self.engines,
                workers=self.workers,
                migrate=True,
            )
            self._node.start()
            self._node.wait_ready(READY_S)
        return self._node

    @property
    def client(self) -> Client:
        """A client in this process, of the instance whose node is ready."""
        if self._client is None:
            _ = self.node
            self._client = Client(self.url, instance=self.instance)
        return self._client

    def stop(self, *, graceful: bool) -> None:
        """Stop node and client; the next use starts others."""
        client, self._client = self._client, None
        node, self._node = self._node, None
        if client is not None:
            client.close()
        if node is not None:
            node.stop(graceful=graceful)

    @contextmanager
    def aside(self, name: str, engines: int = ENGINES, workers: int = WORKERS) -> Iterator[Bed]:
        """Give another bed on the same server, with empty tables; the node of this one rests meanwhile."""
        self.stop(graceful=False)
        with Bed(self.url, self.facts, f"{self.instance}_{name}", engines, workers) as bed:
            yield bed

    def processes(self, *roles: str) -> list[int]:
        """The process ids of these roles of the node, of all without any."""
        return [row.pid for row in self.node.processes() if row.role in roles or not roles]

    def rows(self, query: sql.SQL, namespace: str) -> list[tuple[int, ...]]:
        """Rows of a query about the runs of a namespace; ``{schema}`` in it is that of the instance."""
        return self.ask(query, [namespace])

    def ask(self, query: sql.SQL | sql.Composed, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Rows of any query; ``{schema}`` in it is that of the instance."""
        ready = query.format(schema=self.schema) if isinstance(query, sql.SQL) else query
        cursor = self._database.execute(ready, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def number(self, query: sql.SQL, parameters: Parameters = ()) -> float:
        """The one number that a query gives."""
        ((value,),) = self.ask(query, parameters)
        return float(value)

    def _drop_schema(self) -> None:
        self._database.execute(sql.SQL("drop schema if exists {} cascade").format(self.schema))


@contextmanager
def open_bed(database: str | None, instance: str) -> Iterator[Bed]:
    """Give a bed on the server that was named, or on a new one.

    Raises:
        BenchError: the server cannot be reached, or does not sync.
    """
    with Undisturbed() as stack:
        url, facts = stack.enter_context(open_server(database))
        try:
            bed = stack.enter_context(Bed(url, facts, instance))
        except psycopg.Error as error:
            raise BenchError(f"the server of the bench does not answer: {error}") from error
        yield bed
