"""The statements of ``queries/`` on one connection: prepared when they are first used, and asked without a cursor.

    parameters ──dump──► execute ──► socket, waits, socket ──► result ──load──► rows

A cursor of psycopg finds out with every query what is known here: its text in PostgreSQL's form, that it is prepared,
that the connection commits by itself. On an idle system this runs cold, and takes longer than PostgreSQL does.

What is sent is answered before the next is sent. A wait that an exception interrupts leaves the connection busy, and
its owner has to close it. Notifications that come meanwhile stay where ``PGconn.notifies`` finds them.

Who does not wait (``posting.py``) sends, and gives back what has come for its rows.

`Unnamed` asks the same behind a connection pooler, where nothing outlives a transaction.
"""

from __future__ import annotations

import re
import select
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]
Parameters = Mapping[str, object]
_QUERIES = Path(__file__).parent / "queries"
_Key = tuple[str, tuple[int, ...] | None]  # a statement's name, and the types of its parameters
# A statement and the values of its parameters, as they are sent.
_Query = tuple[bytes, _Key, Sequence[Buffer | None], list[Format] | None]
_PARAMETER = re.compile(rb"%\((\w+)\)b")
_DISCARD = b"discard plans"
_WAIT_FOR_DISK = b"select set_config('synchronous_commit', current_setting('continuum.commit'), true)"


class Numbered(NamedTuple):
    """A statement with parameters ``$1``, ``$2``; their names in this order, and the formats to send them in."""

    text: bytes
    names: tuple[str, ...]
    formats: tuple[PyFormat, ...]


class Sent(msgspec.Struct, frozen=True, gc=False):
    """What was sent in a pipeline: of each answer whether it has rows, and the statements that were prepared by it."""

    expected: list[bool]
    new: dict[_Key, bytes]


@cache
def statement(name: str) -> bytes:
    """Return the text of ``queries/<name>.sql``."""
    return (_QUERIES / f"{name}.sql").read_bytes()


@cache
def numbered(name: str) -> Numbered:
    """Return ``queries/<name>.sql`` as PostgreSQL takes it."""
    text = statement(name)
    names = list(dict.fromkeys(found.decode() for found in _PARAMETER.findall(text)))
    text = _PARAMETER.sub(lambda found: b"$%d" % (names.index(found[1].decode()) + 1), text)
    return Numbered(text.replace(b"%%", b"%"), tuple(names), (PyFormat.BINARY,) * len(names))


class Prepared:
    """The statements of one connection. Not shared between threads. Its methods raise ``psycopg.Error``."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._known: dict[_Key, bytes] = {}
        self._count = 0  # of names that were given
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(self._pgconn.socket, select.POLLIN)
        self._either.register(self._pgconn.socket, select.POLLIN | select.POLLOUT)

    def rows(self, name: str, parameters: Parameters) -> list[Row]:
        """Run ``queries/<name>.sql`` and return its rows."""
        text, key, values, formats = self._dump(name, parameters)
        known = self._known.get(key)
        if known is None:
            known = self._name(key)
            self._pgconn.send_prepare(known, text, key[1])
            self._check(self._answers())
            self._known[key] = known
        self._pgconn.send_query_prepared(known, values, formats, Format.BINARY)
        answers = self._answers()
        self._check(answers)
        return self._load(answers[0])

    def together(self, steps: Sequence[tuple[str, Parameters]]) -> list[list[Row]]:
        """Run statements in one round trip, and one transaction if none is open; return the rows of each."""
        sent = self.send(steps)
        return self.loaded(sent, self._answers())

    def apart(self, steps: Sequence[tuple[str, Parameters]]) -> list[list[Row]]:
        """Run statements in one round trip, each in a transaction of its own, and return the rows of each. All are
        run, whether one before has failed or not."""
        sent = [self.send([step]) for step in steps]
        self._flush()
        answers = [self._up_to_the_sync() for _ in sent]
        self._pgconn.exit_pipeline_mode()
        return [self.loaded(one, of_one)[0] for one, of_one in zip(sent, answers, strict=True)]

    def send(self, steps: Sequence[tuple[str, Parameters]], *, plan_anew: bool = False) -> Sent:
        """Send statements up to a sync, in pipeline mode, which is entered; what cannot be sent changes nothing. The
        answers to them all are what `loaded` makes rows of. ``plan_anew``: all statements are planned again first."""
        pgconn = self._pgconn
        dumped = [self._dump(name, parameters) for name, parameters in steps]
        sent = Sent([], {})
        if not pgconn.pipeline_status:
            pgconn.enter_pipeline_mode()
        if plan_anew:
            pgconn.send_query_params(_DISCARD, None)
            sent.expected.append(False)
        for text, key, values, formats in dumped:
            known = self._known.get(key) or sent.new.get(key)
            if known is None:
                sent.new[key] = known = self._name(key)
                pgconn.send_prepare(known, text, key[1])
                sent.expected.append(False)
            pgconn.send_query_prepared(known, values, formats, Format.BINARY)
            sent.expected.append(True)
        pgconn.pipeline_sync()
        return sent

    def loaded(self, sent: Sent, answers: Sequence[PGresult]) -> list[list[Row]]:
        """Return the rows of each statement. Raises what one of them failed of."""
        self._check(answers)
        self._known.update(sent.new)
        return [self._load(answer) for answer, rows in zip(answers, sent.expected, strict=True) if rows]

    def heard(self) -> bool:
        """Whether something came that nobody asked for: the end of the connection, a notification, or a notice."""
        return bool(self._readable.poll(0))

    def discard_plans(self) -> None:
        """Let every statement be planned again when it is used next; it stays prepared."""
        self._pgconn.send_query_params(_DISCARD, None)
        self._check(self._answers())

    def _dump(self, name: str, parameters: Parameters) -> _Query:
        text, names, formats = numbered(name)
        transformer = self._transformer
        values = transformer.dump_sequence(list(map(parameters.__getitem__, names)), formats)
        return text, (name, transformer.types), values, transformer.formats

    def _load(self, result: PGresult) -> list[Row]:
        if not result.ntuples:
            return []
        self._transformer.set_pgresult(result)
        rows = self._transformer.load_rows(0, result.ntuples, tuple)
        self._transformer.set_pgresult(None)
        return rows

    def _name(self, key: _Key) -> bytes:
        """Return a name that no statement of this connection had: a failure does not say which ones were prepared."""
        self._count += 1
        return b"%s_%d" % (key[0].encode(), self._count)

    def _answers(self) -> list[PGresult]:
        """Wait for the answers to what was sent, and for the end of its transaction, if that is its own."""
        pgconn = self._pgconn
        self._flush()
        if pgconn.pipeline_status:
            answers = self._up_to_the_sync()
            pgconn.exit_pipeline_mode()
        else:
            answers = list(iter(self._next, None))
        return answers

    def _flush(self) -> None:
        while self._pgconn.flush():
            self._either.poll()
            self._pgconn.consume_input()

    def _check(self, answers: Sequence[PGresult]) -> None:
        for answer in answers:
            if answer.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(answer, self._connection.info.encoding)

    def _up_to_the_sync(self) -> list[PGresult]:
        answers: list[PGresult] = []
        while True:
            answer = self._next()
            if answer is None:  # between two statements
                if self._pgconn.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection was lost")
            elif answer.status == ExecStatus.PIPELINE_SYNC:
                return answers
            else:
                answers.append(answer)

    def _next(self) -> PGresult | None:
        while self._pgconn.is_busy():
            self._readable.poll()
            self._pgconn.consume_input()
        return self._pgconn.get_result()


class Unnamed(Prepared):
    """The statements of a connection behind a pooler that deals out sessions by the transaction.

    The next transaction may meet another session: one that does not know what was prepared, and has the settings of
    somebody else. So no statement has a name, and what begins a round trip without a transaction is ``settings``, a
    statement whose effect ends with the transaction.

    What ends it takes back that a statement would not wait for the disk, as claims do. A pooler's connection outlives a
    crash of the server, and nobody would skip the numbers that the crash forgot (``queries/skip_numbers.sql``).
    """

    def __init__(self, connection: psycopg.Connection[Row], settings: bytes) -> None:
        super().__init__(connection)
        self._settings = settings

    def rows(self, name: str, parameters: Parameters) -> list[Row]:
        return self.together([(name, parameters)])[0]

    def send(self, steps: Sequence[tuple[str, Parameters]], *, plan_anew: bool = False) -> Sent:
        pgconn = self._pgconn
        dumped = [self._dump(name, parameters) for name, parameters in steps]
        sent = Sent([], {})
        within = pgconn.transaction_status == TransactionStatus.INTRANS  # which has the settings already
        if not pgconn.pipeline_status:
            pgconn.enter_pipeline_mode()
        if not within:
            pgconn.send_query_params(self._settings, None)
            sent.expected.append(False)
        for text, key, values, formats in dumped:
            pgconn.send_query_params(text, values, key[1], formats, Format.BINARY)
            sent.expected.append(True)
        if not within:
            pgconn.send_query_params(_WAIT_FOR_DISK, None)
            sent.expected.append(False)
        pgconn.pipeline_sync()
        return sent

    def discard_plans(self) -> None:
        """Nothing to do: a statement without a name is planned each time."""
