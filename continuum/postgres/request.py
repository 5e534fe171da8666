"""What a port asks of the database in one transaction and one round trip: statements, and what their rows mean.

The same request is made by who waits for the answer (`Session.together`) and by who does not (``posting.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from continuum.model.run import LIVE_STATES
from continuum.ports.journal import Lease, Mail, RunCommit
from continuum.postgres.arrays import bigints, texts, uuids
from continuum.postgres.batch import events_of, fits_one, is_familial, is_plain, one_of, rows_of
from continuum.postgres.mail import bare_mail_of, mail_of, mails_of
from continuum.postgres.notices import ended_payloads, outcome_payload
from continuum.postgres.session import Parameters, Row

_NO_READS = bigints(())

T = TypeVar("T")
Step = tuple[str, Parameters]


class Request(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """``read`` makes the answer of the rows of each statement."""

    steps: list[Step]
    read: Callable[[list[list[Row]]], T]


class Written(Set[UUID]):
    """The runs of a batch but for the ``refused`` ones. That there are none of these is seen without a set of all
    ids: to hash one is a call of Python."""

    def __init__(self, steps: Sequence[RunCommit], refused: Set[UUID]) -> None:
        self._steps, self._refused = steps, refused

    @classmethod
    def _from_iterable(cls, run_ids: Iterable[UUID]) -> Set[UUID]:  # type: ignore[override]
        return frozenset(run_ids)

    def __len__(self) -> int:
        return len(self._steps) - len(self._refused)

    def __iter__(self) -> Iterator[UUID]:
        return (step.run_id for step in self._steps if step.run_id not in self._refused)

    def __contains__(self, run_id: object) -> bool:
        return run_id not in self._refused and any(step.run_id == run_id for step in self._steps)


def commit_request(steps: Sequence[RunCommit], announce: bool) -> Request[Set[UUID]] | None:
    """Return how to write these steps, which are in the order of their run ids; None if they concern other runs."""
    if len(steps) == 1 and fits_one(steps[0]):
        return _one_request(steps, announce)
    assert len({step.run_id.int for step in steps}) == len(steps), "a batch has one step per run"
    plain = all(map(is_plain, steps))
    ended = [step.run_id for step in steps if step.state not in LIVE_STATES]
    if (ended or not plain) and any(map(is_familial, steps)):
        return None
    work: list[Step] = [("commit_events", events_of(steps)) if plain else ("commit", rows_of(steps))]
    if ended:
        work.append(("clear_ended", {"runs": uuids(ended)}))
        if announce:
            work.append(("notify_ended", {"payloads": texts(ended_payloads(ended))}))
    return Request(work, lambda answers: Written(steps, {row[0] for row in answers[0]}))


def _one_request(steps: Sequence[RunCommit], announce: bool) -> Request[Set[UUID]]:
    (step,) = steps
    parameters = one_of(step)
    if step.state in LIVE_STATES:
        work: list[Step] = [("commit_one", parameters)]
    else:
        outcome = step.result if step.state == "completed" else step.error
        notice = outcome_payload(step.run_id, step.state, outcome) if announce else ""
        reads = bigints(step.signals_consumed) if step.signals_consumed else _NO_READS
        parameters |= {"result": step.result, "error": step.error, "notice": notice, "reads": reads}
        bare: Step = ("clear_bare", {"run": step.run_id})
        work = [
            ("end_one", parameters),
            bare if step.is_bare else ("clear_ended", {"runs": uuids([step.run_id])}),
        ]
    return Request(work, lambda answers: Written(steps, {row[0] for row in answers[0]}))


def in_lock_order(steps: Sequence[RunCommit]) -> list[RunCommit]:
    """Return the steps in the order of ids in the database, in which their runs are locked."""
    return sorted(steps, key=_id_of) if len(steps) > 1 else list(steps)


def _id_of(step: RunCommit) -> int:
    return step.run_id.int  # integers compare several times faster than UUIDs


def mail_request(leases: Sequence[Lease], after: Sequence[int] = ()) -> Request[list[Mail]]:
    """Return how to read the mail of the leases that hold."""

    def read(answers: list[list[Row]]) -> list[Mail]:
        mails, _ = mails_of(answers[0])
        return [mails[lease] for lease in leases if lease in mails]

    return Request([("mail", mail_of(leases, after))], read)


def bare_mail_request(lease: Lease) -> Request[list[Mail]]:
    """Return how to read the mail of one bare run (`MailWork.is_bare`), if its lease holds."""
    parameters = {"run": lease.run_id, "token": lease.token}
    return Request([("mail_bare", parameters)], lambda answers: bare_mail_of(lease.run_id, answers[0]))
