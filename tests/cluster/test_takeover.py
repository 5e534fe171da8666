"""Two nodes and one database: one of them dies, is frozen, loses its session or leaves, and the other takes over.

The owners of the one that is lost are given an hour to live first: what happens is not the work of an expiry.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from continuum import Client, Node, RunHandle
from continuum.model.ids import Owner
from continuum.postgres import migrate
from continuum.runtime.shell import SystemClock
from continuum.wire.messages import Message, NodeDied
from continuum.wire.post import Post
from continuum.wire.sockets import ZmqTransport
from tests.cluster import journeys
from tests.cluster.journeys import check_payments, check_runs, go, journey, read_ledger
from tests.cluster.nodes import wait_until

RUNS, RUNS_MAX, EACH, LEGS = 60, 600, 10, 4
LIMIT_S = 90.0
OPEN = "select pid from pg_stat_activity where datname = current_database() and xact_start < %s"
FLOWS = "tests.cluster.journeys"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture
def ledger(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = open_folder / "ledger"
    monkeypatch.setenv(journeys.LEDGER_VARIABLE, str(path))
    return path


class Pair:
    """Nodes ``lost`` and ``left``, and a client. The database is seen by ``ask``."""

    def __init__(self, database_url: str, schema: str, stack: ExitStack) -> None:
        instance = schema.removeprefix("continuum_")
        self._schema = sql.Identifier(schema)
        self._database = stack.enter_context(psycopg.connect(database_url, autocommit=True))
        self._database.execute(sql.SQL("set search_path = {}").format(self._schema))
        self.lost, self.left = (
            Node(FLOWS, database=database_url, instance=instance, name=name, drain_s=5.0)
            for name in ("lost", "left")
        )
        for node in (self.lost, self.left):
            stack.enter_context(node).wait_ready(LIMIT_S)
        self.client = stack.enter_context(Client(database_url, instance=instance))

    def ask(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        return self._database.execute(query.encode(), parameters).fetchall()

    def start(self) -> list[RunHandle[list[object]]]:
        """Start journeys one by one, until each node has some of them."""
        runs: list[RunHandle[list[object]]] = []
        while len(runs) < RUNS or min(self.owned_by(node.name) for node in (self.lost, self.left)) < EACH:
            assert len(runs) < RUNS_MAX, "one of the nodes takes them all"
            runs.append(self.client.start(journey(len(runs), LEGS)))
        return runs

    def owned_by(self, name: str) -> int:
        query = "select count(*) from continuum_runs where split_part(lease_owner, '/', 1) = %s"
        return int(str(self.ask(query, name)[0][0]))

    def owners(self, name: str) -> list[Owner]:
        """The live owners of a node."""
        rows = self.ask("select owner from continuum_owners where node = %s and expires_at > now()", name)
        return [Owner.parse(str(owner)) for (owner,) in rows]

    def postpone_expiry(self, name: str) -> None:
        """Let no owner of this node expire by itself."""
        self._database.execute(
            "update continuum_owners set expires_at = now() + interval '1 hour'"
            " where node = %s and expires_at > now()",
            [name],
        )

    def is_at_rest(self) -> bool:
        """True once all transactions of this moment are over; False if one is still open after a second."""
        ((now,),) = self.ask("select clock_timestamp()")
        deadline = time.monotonic() + 1.0
        while self.ask(OPEN, now):
            if time.monotonic() > deadline:
                return False
        return True

    def finish(self, runs: list[RunHandle[list[object]]]) -> dict[UUID, list[object]]:
        for run in runs:
            run.signal(go, 7, id="go")
        return {run.id: run.result(timeout=LIMIT_S) for run in runs}


@pytest.fixture
def pair(database_url: str, fresh_schema: str, ledger: Path) -> Iterator[Pair]:
    migrate(database_url, fresh_schema)
    with ExitStack() as stack:
        yield Pair(database_url, fresh_schema, stack)


def pids_of(node: Node) -> list[int]:
    return [row.pid for row in node.processes()]


def until_growth(ledger: Path, more: int = 20) -> None:
    before = len(read_ledger(ledger))
    wait_until(lambda: len(read_ledger(ledger)) >= before + more, "work goes on")


@pytest.mark.rule("L4", "B3", "A5", "A8", "R6")
def test_what_a_killed_node_had_ends_right_on_the_other_without_waiting_for_an_expiry(
    pair: Pair, ledger: Path
) -> None:
    runs = pair.start()
    until_growth(ledger)
    for pid in pids_of(pair.lost):
        os.kill(pid, signal.SIGKILL)
    pair.postpone_expiry("lost")
    results = pair.finish(runs)
    lines = read_ledger(ledger)
    check_runs(results, [run.history() for run in runs], lines)
    check_payments(lines, len(runs) * LEGS)


@contextmanager
def frozen(pair: Pair, node: Node) -> Iterator[None]:
    """Between two transactions: one that is open keeps its rows from everybody until the server gives it up."""
    pids = pids_of(node)
    try:
        freeze(pids)
        while not pair.is_at_rest():
            thaw(pids)
            freeze(pids)
        yield
    finally:
        thaw(pids)


def freeze(pids: list[int]) -> None:
    """The supervisor comes first, so that it does not see its children stand still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def thaw(pids: list[int]) -> None:
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def tell_dispatcher(node: Node, folder: Path, message: Message) -> None:
    """Say something to a node's dispatcher as another process of its node would."""
    sockets = ZmqTransport(folder, "test")
    try:
        sockets.connect("dispatcher")
        post = Post("test", "t-1", SystemClock(), sockets)
        post.hint("dispatcher", message)
        post.flush()
    finally:
        sockets.close()


@pytest.mark.rule("L1", "L4", "L6", "A8", "M4")
def test_a_node_that_was_given_up_while_frozen_changes_nothing_when_it_wakes_and_begins_anew(
    pair: Pair, ledger: Path
) -> None:
    runs = pair.start()
    until_growth(ledger)
    before = pair.owners("lost")
    with frozen(pair, pair.lost):
        pair.postpone_expiry("lost")
        verdict = NodeDied("lost", before[0].boot)
        tell_dispatcher(pair.left, Path(pair.left._report.run_directory), verdict)
        wait_until(lambda: not pair.owned_by("lost"), "its runs were taken over")
        until_growth(ledger, 10)
    engines = [owner for owner in before if owner.engine.startswith("engine")]
    wait_until(
        lambda: any(
            owner.engine.startswith("engine") and owner not in engines for owner in pair.owners("lost")
        ),
        "its engine has begun anew",
    )
    results = pair.finish(runs)
    # A payment that was cut in two by the freeze is made twice: no database can see that.
    check_runs(results, [run.history() for run in runs], read_ledger(ledger))


HOLDER = """
    select pid from pg_locks
    where locktype = 'advisory' and objsubid = 1 and granted
      and ((classid::bigint << 32) | objid::bigint) = hashtextextended(current_schema() || '/' || %s, 0)
"""


@pytest.mark.rule("L4", "R6", "O4")
def test_an_engine_whose_session_is_ended_from_outside_goes_on_and_is_held_again(
    pair: Pair, ledger: Path
) -> None:
    runs = pair.start()
    incarnations = set()
    for _ in range(5):
        wait_until(lambda: engine_of(pair), "there is an engine")
        engine = engine_of(pair)
        assert engine is not None
        incarnations.add(engine)
        wait_until(lambda engine=engine: pair.ask(HOLDER, str(engine)), "it is held")  # type: ignore[misc]
        ((pid,),) = pair.ask(HOLDER, str(engine))
        pair.ask("select pg_terminate_backend(%s)", pid)
        wait_until(
            lambda engine=engine, pid=pid: (
                engine_of(pair) != engine  # type: ignore[misc]
                or [holder for holder in pair.ask(HOLDER, str(engine)) if holder != (pid,)]
            ),
            "it is held by another session, or was replaced",
        )
    results = pair.finish(runs)
    lines = read_ledger(ledger)
    check_runs(results, [run.history() for run in runs], lines)
    check_payments(lines, len(runs) * LEGS)
    assert len(incarnations) < 5, "it was taken for dead each time"


def engine_of(pair: Pair) -> Owner | None:
    engines = [owner for owner in pair.owners("lost") if owner.engine == "engine-1"]
    return engines[0] if engines else None


@pytest.mark.rule("L7")
def test_a_node_that_stops_leaves_no_lease_behind_and_the_other_goes_on_at_once(
    pair: Pair, ledger: Path
) -> None:
    runs = pair.start()
    until_growth(ledger)
    pair.lost.stop()
    assert pair.owned_by("lost") == 0
    assert pair.owners("lost") == []
    results = pair.finish(runs)
    lines = read_ledger(ledger)
    check_runs(results, [run.history() for run in runs], lines)
    check_payments(lines, len(runs) * LEGS)
    assert journeys.LOST not in [value for result in results.values() for value in result]
