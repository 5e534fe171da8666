"""Commits of steps that concern other runs: children, successors, the ends of children (C1, C2, C6, N1).

One transaction: lock the runs and the parents of those that end, refuse what the fence refuses, write what is left::

    lock_steps ──► commit, start_children, consume_ends
                     ──► (cancel of children, generation by generation)
                           ──► continue_runs, move_children, wake_parents, clear_ended

A step that changes runs below its own has a transaction for itself: in one with others, the locks of its children
would come after those of runs that are farther down. Nothing is notified inside; see ``docs/sql.md``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from continuum.errors import JournalError
from continuum.model.run import LIVE_STATES
from continuum.ports.dispatch import Told, Woken
from continuum.ports.journal import RunCommit
from continuum.postgres import families
from continuum.postgres.arrays import bigints, byteas, doubles, texts, uuids
from continuum.postgres.batch import rows_of, signals_of
from continuum.postgres.families import Locked
from continuum.postgres.notices import ended_payloads, mail_payloads
from continuum.postgres.session import Parameters, Session


def commit(
    session: Session, steps: Sequence[RunCommit], announce: bool, told: Told | None = None
) -> set[UUID]:
    """Write the steps, which are in the order of their run ids; return the runs for which it was done."""
    written: set[UUID] = set()
    groups = deque([list(steps)])
    for _ in range(len(steps) + families.TRIES_MAX):
        if not groups:
            return written
        done, later = _Group(session, announce, told).write(groups.popleft())
        written |= done
        groups.extend([step] for step in later)
    raise JournalError("commit", "the chains of parents grow faster than they can be followed; try again")


class _Group:
    """One transaction."""

    def __init__(self, session: Session, announce: bool, told: Told | None) -> None:
        self._session, self._announce, self._by_message = session, announce, told
        self._woken: list[Woken] = []  # parents
        self._told: list[Woken] = []  # what was cancelled
        self._cancelled: list[UUID] = []

    def write(self, steps: Sequence[RunCommit]) -> tuple[set[UUID], list[RunCommit]]:
        """Return what was written, and the steps that need a transaction for themselves, or another try."""
        with self._session.transaction("commit"):
            ends = [step.state not in LIVE_STATES for step in steps]
            locks = families.lock(self._session, [step.run_id for step in steps], ends)
            forgotten = self._forgotten(steps)
            passing = [step for step in steps if _passes(step, locks.get(step.run_id), forgotten)]
            moving = self._moving(passing)
            now, later = list[RunCommit](), list[RunCommit]()
            for step in passing:
                alone = bool(step.children_cancelled) or step.run_id in moving
                ready = locks[step.run_id].parent_held and not (alone and len(steps) > 1)
                (now if ready else later).append(step)
            if now:
                self._write(now, locks, moving)
        self._tell(now, locks)
        return {step.run_id for step in now}, later

    def _forgotten(self, steps: Sequence[RunCommit]) -> set[UUID]:
        """Return the runs that consume signals which a crash has taken back."""
        if not any(step.signals_consumed for step in steps):
            return set()
        return {run_id for (run_id,) in self._session.rows("forgotten_signals", signals_of(steps))}

    def _moving(self, steps: Sequence[RunCommit]) -> set[UUID]:
        """Return the runs that are continued and have children, which move to the successor."""
        continued = [step.run_id for step in steps if step.successor is not None]
        if not continued:
            return set()
        return {run_id for (run_id,) in self._session.rows("have_children", {"runs": uuids(continued)})}

    def _write(self, steps: Sequence[RunCommit], locks: Mapping[UUID, Locked], moving: set[UUID]) -> None:
        begin: list[tuple[str, Parameters]] = [("commit", rows_of(steps))]
        if any(step.children_started for step in steps):
            begin.append(("start_children", _children(steps)))
        if any(step.children_consumed for step in steps):
            begin.append(("consume_ends", _consumed(steps)))
        finish = _endings(steps, locks, moving)
        cancelling = [step for step in steps if step.children_cancelled]
        if cancelling:
            self._session.together(*begin)
            for step in cancelling:
                self._cancel_children(step)
            begin = []
        if begin or finish:
            work = [*begin, *finish]
            answers = dict(zip([name for name, _ in work], self._session.together(*work), strict=True))
            self._woken = [Woken(*row) for row in answers.get("wake_parents", ())]
        ended = [step.run_id for step in steps if step.state not in LIVE_STATES]
        if self._announce and ended:
            self._session.rows("notify_ended", {"payloads": texts(ended_payloads(ended))})

    def _cancel_children(self, step: RunCommit) -> None:
        parameters = {"parent": step.run_id, "commands": bigints(step.children_cancelled)}
        children = [(run_id, live) for run_id, live in self._session.rows("disown_children", parameters)]
        cascade = families.end_family(self._session, children, None)
        self._cancelled += cascade.ended
        self._told += cascade.woken

    def _tell(self, steps: Sequence[RunCommit], locks: Mapping[UUID, Locked]) -> None:
        """Notify what the transaction did, in one of its own: a lost notice costs latency only. Owners that can be
        reached by message are told so."""
        own = {locks[step.run_id].owner for step in steps}
        news = [run for run in self._woken if run.owner is None or run.owner not in own] + self._told
        if self._by_message is not None:
            news = self._by_message.take(news)
        payloads = mail_payloads(news)
        if any(step.children_started for step in steps) and "due" not in payloads:
            payloads.append("due")
        if any(step.tasks_set for step in steps):
            payloads.append("task")
        with suppress(JournalError):
            if payloads:
                self._session.rows("announce_mail", {"payloads": texts(payloads)})
            if self._cancelled:
                self._session.rows("announce_ended", {"payloads": texts(ended_payloads(self._cancelled))})


def _passes(step: RunCommit, run: Locked | None, forgotten: set[UUID]) -> bool:
    """The fence of every write (L1), on a row whose lock is held."""
    if run is None or step.run_id in forgotten:
        return False
    return run.live and (run.token, run.last_seq) == (step.token, step.base_seq)


def _endings(
    steps: Sequence[RunCommit], locks: Mapping[UUID, Locked], moving: set[UUID]
) -> list[tuple[str, Parameters]]:
    """Return the statements after those that end runs: what goes to a successor, who is told, what is removed."""
    continued = [step for step in steps if step.successor is not None]
    movers = [step for step in continued if step.run_id in moving or step.children_started]
    ended = [step for step in steps if step.state not in LIVE_STATES]
    final = [step for step in ended if step.successor is None]
    work: list[tuple[str, Parameters]] = []
    if continued:
        work.append(("continue_runs", _successors(continued, locks)))
    if movers:
        work.append(("move_children", _links(movers)))
    if final:
        work.append(("wake_parents", {"runs": uuids([step.run_id for step in final])}))
    if ended:
        work.append(("clear_ended", {"runs": uuids([step.run_id for step in ended])}))
    return work


def _children(steps: Sequence[RunCommit]) -> Parameters:
    pairs = [(step, seed) for step in steps for seed in step.children_started]
    for step, seed in pairs:
        assert seed.parent_run_id == step.run_id, f"{seed.id} is the seed of another run's child"
    commands = [seed.parent_command for _, seed in pairs if seed.parent_command is not None]
    assert len(commands) == len(pairs), "a child's seed names the command that started it"
    seeds = [seed for _, seed in pairs]
    return {
        "ids": uuids([seed.id for seed in seeds]),
        "keys": texts([seed.key for seed in seeds]),
        "workflows": texts([seed.workflow for seed in seeds]),
        "version_hashes": texts([seed.version_hash for seed in seeds]),
        "args": byteas([seed.args for seed in seeds]),
        "delays": doubles([seed.delay_s for seed in seeds]),
        "parents": uuids([step.run_id for step, _ in pairs]),
        "commands": bigints(commands),
        "correlations": uuids([seed.correlation_id or seed.id for seed in seeds]),
    }


def _consumed(steps: Sequence[RunCommit]) -> Parameters:
    return {
        "parents": uuids([step.run_id for step in steps for _ in step.children_consumed]),
        "children": uuids([child for step in steps for child in step.children_consumed]),
    }


def _successors(steps: Sequence[RunCommit], locks: Mapping[UUID, Locked]) -> Parameters:
    seeds = [step.successor for step in steps if step.successor is not None]
    assert all(step.state == "continued" for step in steps), "a successor of a run that goes on"
    return {
        **_links(steps),
        "owners": texts([locks[step.run_id].owner for step in steps]),
        "tokens": bigints([step.token for step in steps]),
        "keys": texts([seed.key for seed in seeds]),
        "workflows": texts([seed.workflow for seed in seeds]),
        "version_hashes": texts([seed.version_hash for seed in seeds]),
        "args": byteas([seed.args for seed in seeds]),
    }


def _links(steps: Sequence[RunCommit]) -> Parameters:
    return {
        "predecessors": uuids([step.run_id for step in steps]),
        "ids": uuids([step.successor.id for step in steps if step.successor is not None]),
    }
