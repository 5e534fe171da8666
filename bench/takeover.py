"""A node is killed, and another takes over its runs: from the kill to the end of each run, by the database's clock.

Every run has an activity under way at the node that dies, so that going on elsewhere takes all there is to it: the
death is found, the run claimed and replayed, the lost attempt judged, the next one let out and its result committed.

And timers: those that the dead node set just before its end, due when all that is over. Only its own processes were
told of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from statistics import median

from psycopg import sql

from bench.bed import READY_S, Bed
from bench.errors import BenchError
from bench.figures import Section, median_of
from bench.flows import holds_once, rests, until
from bench.plan import BARS, Plan, Say
from continuum import Client, Node

STALL_S = 60.0
LOOK_S = 0.02
SLOTS = 2000
TIMERS = 100
TIMER_S = 3.0  # from the kill, as good as it gets, to the moment that the timers are set for

_UNDER_WAY = sql.SQL(
    "select count(*) from {schema}.continuum_runs where lease_owner like 'dies/%' and last_seq > 0"
)
_LEFT = sql.SQL("select count(*) from {schema}.continuum_runs where completed_at is null")
_NOW = sql.SQL("select clock_timestamp()")
_TAKEN_S = sql.SQL(
    "select extract(epoch from completed_at - %s)::float8 from {schema}.continuum_runs where state = 'completed'"
)
_IN_S = sql.SQL("select clock_timestamp() + %s * interval '1 second'")
_TIMERS = sql.SQL("select count(*) from {schema}.continuum_timers")


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """Seconds from the kill until half of the runs, and all of them, have ended on the other node."""
    half: list[float] = []
    whole: list[float] = []
    late: list[float] = []
    for number in range(1, plan.takeover_rounds + 1):
        with bed.aside("takeover") as aside:
            # Others look once a second: the kills fall on different moments of it.
            settle_s = 1.0 + number / plan.takeover_rounds
            taken_s = _once(aside, plan.takeover_runs, settle_s)
        half.append(median(taken_s))
        whole.append(max(taken_s))
        with bed.aside("takeover") as aside:
            late.append(max(_timers_once(aside, settle_s)))
        say(
            f"takeover {number}/{plan.takeover_rounds}: p50 {half[-1]:.2f} s, all after {whole[-1]:.2f} s,"
            f" a timer {late[-1]:.2f} s late"
        )
    how = (
        f"{plan.takeover_rounds} times: two nodes, {plan.takeover_runs:,} runs with an activity under way on one of"
        f" them, kill -9 of its whole tree; and again with {TIMERS} timers that it set just before, due about"
        f" {TIMER_S:g} s after"
    )
    figures = (
        median_of("p50_s", half, BARS["takeover.p50_s"]),
        median_of("all_s", whole, BARS["takeover.all_s"]),
        median_of("timer_late_s", late, BARS["takeover.timer_late_s"]),
    )
    return Section("takeover", how, figures)


def _once(bed: Bed, runs: int, settle_s: float) -> list[float]:
    with _two_nodes(bed) as (dies, lives, client):
        client.start_many([holds_once() for _ in range(runs)])
        _until(lambda: bed.number(_UNDER_WAY) == runs, "every run has its activity under way")
        _beside(lives, settle_s)
        killed_at = bed.ask(_NOW)[0]
        dies.stop(graceful=False)
        return _taken_s(bed, runs, killed_at)


def _timers_once(bed: Bed, settle_s: float) -> list[float]:
    """Return how late each of the timers is that a node has set just before it is killed."""
    with _two_nodes(bed) as (dies, lives, client):
        handles = client.start_many([rests(number % 2 == 0) for number in range(TIMERS)])
        _until(lambda: bed.number(_UNDER_WAY) == TIMERS, "every run waits to be told")
        _beside(lives, settle_s)
        ((moment,),) = bed.ask(_IN_S, [TIMER_S])
        assert isinstance(moment, datetime), "a timestamptz is a datetime"
        for handle in handles:
            handle.signal(until, moment)
        _until(lambda: bed.number(_TIMERS) == TIMERS, "every timer is set")
        dies.stop(graceful=False)
        return _taken_s(bed, TIMERS, (moment,))


@contextmanager
def _two_nodes(bed: Bed) -> Iterator[tuple[Node, Node, Client]]:
    """Yield a node that runs, one that is not started yet, and a client."""
    with ExitStack() as stack:
        dies, lives = (_node(bed, name) for name in ("dies", "lives"))
        for node in (dies, lives):
            stack.callback(node.stop, graceful=False)
        dies.start()
        dies.wait_ready(READY_S)
        yield dies, lives, stack.enter_context(Client(bed.url, instance=bed.instance))


def _beside(lives: Node, settle_s: float) -> None:
    lives.start()
    lives.wait_ready(READY_S)
    time.sleep(settle_s)


def _taken_s(bed: Bed, runs: int, since: tuple[object, ...]) -> list[float]:
    """Wait for the ends of all runs on the other node; return how long after a moment each came."""
    _until(lambda: bed.number(_LEFT) == 0, "every run has ended on the other node")
    taken_s: list[float] = [taken for (taken,) in bed.ask(_TAKEN_S, since)]
    if len(taken_s) != runs:
        raise BenchError(f"{len(taken_s)} of {runs} runs completed; this is a bug")
    return taken_s


def _node(bed: Bed, name: str) -> Node:
    return Node(
        "bench.flows",
        database=bed.url,
        instance=bed.instance,
        name=name,
        workers=1,
        slots=SLOTS,
        migrate=True,
    )


def _until(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + STALL_S
    while not condition():
        if time.monotonic() > give_up_at:
            raise BenchError(f"still not after {STALL_S:.0f} s: {what}")
        time.sleep(LOOK_S)
