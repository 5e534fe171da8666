"""What waits for runs in the database: the rows of ``mail.sql``, of several kinds, as one ``Mail`` for each lease; and
those of ``mail_bare.sql``, which are of one kind, and of one lease."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from continuum.ports.journal import READ_BYTES_MAX, CancelNote, ChildEnd, Lease, Mail, SignalRow, TaskOutcome
from continuum.postgres.arrays import bigints, uuids
from continuum.postgres.session import Parameters, Row

_by_number, _by_moment_and_id = itemgetter(2), itemgetter(10, 4)
BARE_SIGNALS_MAX = 16  # in one answer of mail_bare.sql, which says it, too
_NOBODY = 1 << 128
_ORDERS = {"signal": _by_number, "task": _by_number, "timer": _by_number, "child": _by_moment_and_id}


def held_by(leases: Sequence[Lease]) -> Parameters:
    """Return the parameters that say which runs, under which tokens."""
    return {
        "runs": uuids([lease.run_id for lease in leases]),
        "tokens": bigints([lease.token for lease in leases]),
    }


def mail_of(leases: Sequence[Lease], after: Sequence[int] = ()) -> Parameters:
    """Return the parameters of ``mail``."""
    bounds = {"after": bigints(after or [0] * len(leases)), "bytes_max": READ_BYTES_MAX}
    return {**held_by(leases), **bounds}


def mails_of(rows: Sequence[Row]) -> tuple[dict[Lease, Mail], dict[UUID, list[int]]]:
    """Return the mail of the leases that hold, and the open tasks of their runs."""
    leases: list[Row] = []
    found: dict[str, list[Row]] = {kind: [] for kind in _ORDERS}
    for row in rows:
        (leases if row[0] == "lease" else found[row[0]]).append(row)
    things: dict[str, dict[UUID, list[Any]]] = {kind: defaultdict(list) for kind in (*_ORDERS, "open")}
    cut = _NOBODY  # of the runs from this on there is more
    left: set[UUID] = set()  # and of these
    for kind, order in _ORDERS.items():
        found[kind].sort(key=order)
        for _, run_id, number, attempt, child, word, flag, late, payload, details, _, _ in found[kind]:
            match kind:
                case "signal":
                    cut = min(cut, run_id.int) if flag else cut
                    things[kind][run_id].append(SignalRow(number, word, payload))
                case "task" if word == "done":
                    outcome = TaskOutcome(run_id, number, attempt, flag, payload, late, details or b"")
                    things[kind][run_id].append(outcome)
                case "task":
                    things["open"][run_id].append(number)
                    if word == "left":
                        left.add(run_id)
                case "timer":
                    things[kind][run_id].append(number)
                case "child":
                    cut = min(cut, run_id.int) if flag else cut
                    things[kind][run_id].append(ChildEnd(child, number, word, payload or b""))
    mails = {Lease(row[1], row[2]): _mail(row, things, row[1].int >= cut or row[1] in left) for row in leases}
    return mails, things["open"]


def bare_mail_of(run_id: UUID, rows: Sequence[Row]) -> list[Mail]:
    """Return the mail that ``mail_bare.sql`` has found: that of one lease, or none."""
    if not rows:
        return []
    moment, span, word, is_cancelled = rows[0][:4]
    cancel = CancelNote(moment, span, word) if is_cancelled else None
    signals = tuple([SignalRow(*row[4:]) for row in rows if row[4] is not None])
    return [Mail(run_id, signals, (), (), (), cancel, len(signals) >= BARE_SIGNALS_MAX)]


def _mail(row: Row, things: dict[str, dict[UUID, list[Any]]], more: bool) -> Mail:
    run_id, word, is_cancelled, moment, span = row[1], row[5], row[6], row[10], row[11]
    signals, outcomes, timers, children = [tuple(things[kind].get(run_id, ())) for kind in _ORDERS]
    cancel = CancelNote(moment, span, word) if is_cancelled else None
    return Mail(run_id, signals, outcomes, timers, children, cancel, more)
