"""A connection that does not make its thread wait: statements leave, and their rows are taken when they have come.

    post(work) ──► request ──► prepare (once each), execute, sync ──► socket
    take() ◄── rows of each statement, up to the sync ◄── socket is readable

Between the two is a disk that syncs, which takes longer than everything else of a commit. A thread that waits for it
costs two switches, and the interpreter has to be handed to it and back each time.

This is the pipeline mode of libpq without waiting, in the terms of its documentation ("Using Pipeline Mode").
psycopg's own cursors wait, and its asynchronous ones need an event loop, which an engine does not have.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from continuum.errors import JournalError
from continuum.ports.offload import CommitWork, MailWork, Work
from continuum.postgres.arrays import BinaryArray, oid_of
from continuum.postgres.prepared import numbered
from continuum.postgres.request import Request, commit_request, in_lock_order, mail_request
from continuum.postgres.session import REPLAN_S, SLOW_S, Row, Session, reason_of

_DISCARD = b"discard plans"


class _Form(NamedTuple):
    """A statement with numbered parameters: the key that it is prepared under, and the parameters' names in order."""

    key: bytes
    text: bytes
    names: tuple[str, ...]
    formats: list[Format]


class PostgresPoster:
    """A ``Poster`` (``ports/offload.py``). The parameters of what it posts are arrays (``arrays.py``).
    ``plans_discarded``: how often all plans were made anew, as `Session` does it and for its reason."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection: psycopg.Connection[Row] | None = None
        self._prepared: set[str] = set()
        self._request: Request[Any] | None = None
        self._expected: list[bool] = []  # of each command under way: whether its rows are of the request
        self._answers: list[list[Row]] = []
        self._posted_at = self._planned_at = time.monotonic()
        self._stale = False  # plans are to be made anew
        self.plans_discarded = 0

    def open(self) -> None:
        with self._session.guarded("connect") as connection:
            connection.pgconn.enter_pipeline_mode()
            connection.pgconn.nonblocking = 1
        self._prepared.clear()
        self._request = None
        self._connection = connection

    def fileno(self) -> int | None:
        return None if self._connection is None else self._connection.pgconn.socket

    def post(self, work: Work) -> bool:
        try:
            request = _request_of(work)
        except UnicodeError as error:
            raise JournalError("commit", reason_of(error)) from error
        if request is None:
            return False
        self._request, self._expected, self._answers = request, [], []
        self._posted_at = time.monotonic()
        self._guarded(partial(self._send, request))
        return True

    def unsent(self) -> bool:
        return bool(self._guarded(self._pgconn.flush))

    def take(self) -> tuple[object] | None:
        if not self._guarded(self._receive):
            return None
        request, self._request = self._request, None
        assert request is not None, "only what was posted is answered"
        now = time.monotonic()
        if now - self._posted_at >= SLOW_S and now - self._planned_at >= REPLAN_S:
            self._stale, self._planned_at = True, now
        return (request.read(self._answers),)

    def close(self) -> None:
        self._connection = None
        self._session.close()

    @property
    def backend_pid(self) -> int:
        """The process of the server that serves it."""
        return self._pgconn.backend_pid

    @property
    def _pgconn(self) -> PGconn:
        assert self._connection is not None, "opened before it is used"
        return self._connection.pgconn

    def _guarded(self, action: Callable[[], int]) -> int:
        try:
            return action()
        except psycopg.Error as error:
            operation = self._request.steps[0][0] if self._request is not None else "heed"
            self.close()
            raise JournalError(operation.replace("_", " "), reason_of(error)) from error
        except BaseException:
            self.close()  # nobody knows where its answers begin
            raise

    def _send(self, request: Request[Any]) -> int:
        pgconn = self._pgconn
        if self._stale:
            self._stale = False
            self.plans_discarded += 1
            pgconn.send_query_params(_DISCARD, None)
            self._expected.append(False)
        for name, parameters in request.steps:
            form = _form_of(name)
            arrays = [cast("BinaryArray", parameters[given]) for given in form.names]
            if name not in self._prepared:
                self._prepared.add(name)
                pgconn.send_prepare(form.key, form.text, [oid_of(array) for array in arrays])
                self._expected.append(False)
            pgconn.send_query_prepared(
                form.key, [array.data for array in arrays], form.formats, Format.BINARY
            )
            self._expected.append(True)
        pgconn.pipeline_sync()
        return pgconn.flush()

    def _receive(self) -> bool:
        """Read what has come; return True at the end of the request."""
        pgconn = self._pgconn
        pgconn.consume_input()
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if self._request is None:
                    return False  # something that nobody asked for, such as a notice
                continue  # between two commands
            if result.status == ExecStatus.PIPELINE_SYNC:
                return True
            if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
                raise error_from_result(result, self._encoding)
            if self._expected.pop(0):
                self._answers.append(self._rows(result))
        return False

    def _rows(self, result: PGresult) -> list[Row]:
        if not result.ntuples:
            return []
        columns = range(result.nfields)
        loads = [self._loader(result.ftype(column)) for column in columns]
        return [
            tuple(_loaded(loads[column], result.get_value(row, column)) for column in columns)
            for row in range(result.ntuples)
        ]

    def _loader(self, oid: int) -> Callable[[bytes], object]:
        connection = self._connection
        assert connection is not None
        adapters = connection.adapters
        loader = adapters.get_loader(oid, Format.BINARY) or adapters.get_loader(
            0, Format.BINARY
        )  # 0: as it is
        assert loader is not None, "bytes can be read as they are"
        return loader(oid, connection).load

    @property
    def _encoding(self) -> str:
        assert self._connection is not None
        return self._connection.info.encoding


def _request_of(work: Work) -> Request[Any] | None:
    match work:
        case CommitWork(batch, announce) if not any(step.tasks_set for step in batch):
            return commit_request(in_lock_order(batch), announce)
        case MailWork(leases):
            return mail_request(leases)
        case _:
            return None


@cache
def _form_of(name: str) -> _Form:
    text, names, _ = numbered(name)
    return _Form(name.encode(), text, names, [Format.BINARY] * len(names))


def _loaded(load: Callable[[bytes], object], data: bytes | None) -> object:
    return None if data is None else load(data)
