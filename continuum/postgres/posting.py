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
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from continuum.ports.offload import CommitWork, MailWork, Work
from continuum.postgres.prepared import Sent
from continuum.postgres.request import Request, bare_mail_request, commit_request, in_lock_order, mail_request
from continuum.postgres.session import REPLAN_S, SLOW_S, Session, failure_of

T = TypeVar("T")


class _Posted(msgspec.Struct, frozen=True, gc=False):
    """What is under way; ``answers`` as far as they have come."""

    request: Request[Any]
    sent: Sent
    at: float
    answers: list[PGresult]


class PostgresPoster:
    """A ``Poster`` (``ports/offload.py``). ``plans_discarded``: how often all plans were made anew, as `Session` does
    it and for its reason."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._posted: _Posted | None = None
        self._planned_at = time.monotonic()
        self._stale = False  # plans are to be made anew
        self.plans_discarded = 0

    def open(self) -> None:
        with self._session.guarded("connect"):
            pass  # what it does at its end, it does while the connection still waits for its answers
        self._posted, self._stale = None, False
        self._guarded("connect", lambda: setattr(self._pgconn, "nonblocking", 1))

    def fileno(self) -> int | None:
        return self._session.fileno()

    def post(self, work: Work) -> bool:
        try:
            request = _request_of(work)
        except UnicodeError as error:
            raise failure_of("commit", error) from error
        if request is not None:
            self._guarded(request.steps[0][0], lambda: self._send(request))
        return request is not None

    def unsent(self) -> bool:
        return bool(self._guarded("send", self._flush))

    def take(self) -> tuple[object] | None:
        operation = self._posted.request.steps[0][0] if self._posted is not None else "heed"
        return self._guarded(operation, self._take)

    def close(self) -> None:
        self._session.close()

    @property
    def backend_pid(self) -> int:
        """The process of the server that serves it."""
        return self._pgconn.backend_pid

    @property
    def _pgconn(self) -> PGconn:
        connection = self._session.connection
        if connection is None:
            raise psycopg.OperationalError("the connection is lost")
        return connection.pgconn

    def _guarded(self, operation: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except psycopg.Error as error:
            self.close()
            raise failure_of(operation, error) from error
        except BaseException:
            self.close()  # nobody knows where its answers begin
            raise

    def _send(self, request: Request[Any]) -> None:
        assert self._posted is None, "one work at a time"
        pgconn = self._pgconn  # raises before anything would connect, and wait for it
        self.plans_discarded += self._stale
        sent = self._session.statements().send(request.steps, plan_anew=self._stale)
        self._stale = False
        pgconn.flush()
        self._posted = _Posted(request, sent, time.monotonic(), [])

    def _flush(self) -> int:
        return self._pgconn.flush()

    def _take(self) -> tuple[object] | None:
        posted = self._receive()
        if posted is None:
            return None
        rows = self._session.statements().loaded(posted.sent, posted.answers)
        now = time.monotonic()
        if now - posted.at >= SLOW_S and now - self._planned_at >= REPLAN_S:
            self._stale, self._planned_at = True, now
        return (posted.request.read(rows),)

    def _receive(self) -> _Posted | None:
        """Read what has come; return what was posted when all of its answers are there."""
        pgconn, posted = self._pgconn, self._posted
        pgconn.consume_input()
        while posted is not None and not pgconn.is_busy():
            result = pgconn.get_result()  # None between two commands
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                self._posted = None
                return posted
            if result is not None:
                posted.answers.append(result)
        return None


def _request_of(work: Work) -> Request[Any] | None:
    match work:
        case CommitWork(batch, announce) if not any(step.tasks_set for step in batch):
            return commit_request(in_lock_order(batch), announce)
        case MailWork(leases, is_bare, after):
            if is_bare and len(leases) == 1 and not after:
                return bare_mail_request(leases[0])
            return mail_request(leases, after)
        case _:
            return None
