"""The least that a step from another process can take on this machine: its transactions and processes, no product.

    client ── insert, notify ──► engine: lease ─► commit ─► worker, and back ─► commit, notify the result ──► client
    client ── signal, notify ──► engine: read ─────────────────────────────► commit, notify the result ──► client

Two of these commits wait for the disk, one of a signal's; the client waits for its own while the engine works. Every
process waits where its next thing comes from, so nothing is handed on; there is no dispatcher, no second engine, no
fence, and nothing is ever checked. The product is measured in turn with it, so that a slow minute is one for both.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

_TABLES = """
drop table if exists floor_events, floor_runs, floor_signals;
create table floor_runs (id uuid primary key, owner text, result bytea) with (fillfactor = 70);
create index on floor_runs (id) where owner is null;
create table floor_events (run_id uuid, seq bigint, payload bytea, primary key (run_id, seq));
create table floor_signals (run_id uuid, id bigint generated always as identity primary key, payload bytea);
create index on floor_signals (run_id);
"""
_DROP = "drop table if exists floor_events, floor_runs, floor_signals"
_INSERT = """
with new as (insert into floor_runs (id) values (%s))
select pg_notify('floor_wake', 'run'), set_config('synchronous_commit', 'off', true)
"""
_SIGNAL = """
with new as (insert into floor_signals (run_id, payload) values (%s, %s))
select pg_notify('floor_wake', %s), set_config('synchronous_commit', 'off', true)
"""
_FLUSH = "select pg_logical_emit_message(true, 'floor', '')"
_CLAIM = """
with due as (select id from floor_runs where owner is null limit 1 for no key update skip locked),
leased as (update floor_runs as run set owner = 'engine' from due where run.id = due.id returning run.id)
select id, set_config('synchronous_commit', 'off', true) from leased
"""
_STEP = """
with run as (update floor_runs set result = %s where id = %s returning id)
insert into floor_events (run_id, seq, payload) select id, %s, %s from run
"""
_READ = "select id, payload from floor_signals where run_id = %s"
_CONSUME = "delete from floor_signals where run_id = %s"
_TELL = "select pg_notify('floor_done', %s)"
_WAIT_S = 30.0
_PAYLOAD = b"\x93\xa4echo\x91\x00"


class Floor:
    """The client's side, in this process."""

    def __init__(self, url: str) -> None:
        self._work, self._ends = _connect(url), _connect(url, "floor_done")

    def step(self) -> float:
        """Start a run of one step and wait for its result; return the time in ms."""
        run_id = uuid.uuid4()
        began = time.perf_counter()
        self._work.execute(_INSERT, [run_id])
        self._work.execute(_FLUSH)
        self._result(run_id)
        return (time.perf_counter() - began) * 1000

    def signal(self) -> float:
        """Signal a run and wait for its result; return the time in ms."""
        run_id = uuid.uuid4()
        self._work.execute("insert into floor_runs (id, owner) values (%s, 'engine')", [run_id])
        began = time.perf_counter()
        self._work.execute(_SIGNAL, [run_id, _PAYLOAD, str(run_id)])
        self._work.execute(_FLUSH)
        self._result(run_id)
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        self._work.close()
        self._ends.close()

    def _result(self, run_id: uuid.UUID) -> None:
        give_up_at = time.monotonic() + _WAIT_S
        while str(run_id) not in _notified(self._ends):
            if time.monotonic() > give_up_at:
                raise TimeoutError("the engine of the floor does not answer")


def in_turn(
    url: str,
    once: Callable[[int], float],
    way: Callable[[Floor], float],
    rounds: int,
    runs: int,
    warm_up: int,
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the times in ms of the product (``once``) and of the floor's ``way``, round by round in turn. The floor is
    up only while it is measured: its sessions would listen to the product's notifications, too."""
    for number in range(warm_up):
        once(number)
    taken, least = list[list[float]](), list[list[float]]()
    for _ in range(rounds):
        with _open(url) as floor:
            for _ in range(warm_up):
                way(floor)
            least.append([way(floor) for _ in range(runs)])
        taken.append([once(number) for number in range(runs)])
    return taken, least


@contextmanager
def _open(url: str) -> Iterator[Floor]:
    """Start the engine and its worker beside this process; end them and drop their tables afterwards."""
    spawn = multiprocessing.get_context("spawn")
    with _connect(url) as connection:
        connection.execute(_TABLES, prepare=False)
        here, there = spawn.Pipe()
        engine = spawn.Process(target=_engine, args=(url, there), daemon=False)
        engine.start()
        floor = Floor(url)
        try:
            if not here.poll(_WAIT_S):
                raise TimeoutError("the engine of the floor does not start")
            here.recv()
            yield floor
        finally:
            floor.close()
            engine.terminate()
            engine.join(_WAIT_S)
            connection.execute(_DROP, prepare=False)


def _engine(url: str, ready: Any) -> None:
    ours, theirs = socket.socketpair()
    worker = multiprocessing.get_context("fork").Process(target=_worker, args=(ours, theirs), daemon=True)
    worker.start()
    theirs.close()
    work, wakes = _connect(url), _connect(url, "floor_wake")
    ready.send(True)
    while True:
        for what in _notified(wakes):
            if what == "run":
                _run(work, ours)
            else:
                _signalled(work, uuid.UUID(what))


def _run(work: psycopg.Connection[Any], worker: socket.socket) -> None:
    for run_id, _ in work.execute(_CLAIM).fetchall():
        work.execute(_STEP, [None, run_id, 1, _PAYLOAD])
        worker.sendall(run_id.bytes)
        worker.recv(16)
        _end(work, run_id)


def _signalled(work: psycopg.Connection[Any], run_id: uuid.UUID) -> None:
    if work.execute(_READ, [run_id]).fetchall():
        _end(work, run_id, _CONSUME)


def _end(work: psycopg.Connection[Any], run_id: uuid.UUID, consume: str | None = None) -> None:
    with work.pipeline():
        work.execute(_STEP, [_PAYLOAD, run_id, 2, _PAYLOAD])
        if consume is not None:
            work.execute(consume, [run_id])
        work.execute(_TELL, [str(run_id)])


def _worker(engine: socket.socket, way: socket.socket) -> None:
    engine.close()  # so that the way ends when the engine does
    while data := way.recv(16):
        way.sendall(data)


def _connect(url: str, channel: str | None = None) -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, autocommit=True)
    connection.prepare_threshold = 0
    if channel is not None:
        connection.execute(f"listen {channel}".encode(), prepare=False)
    return connection


def _notified(connection: psycopg.Connection[Any]) -> list[str]:
    """Wait until something is notified, and return what it says."""
    select.select([connection.fileno()], [], [], _WAIT_S)
    connection.pgconn.consume_input()
    found = []
    while (notification := connection.pgconn.notifies()) is not None:
        found.append(notification.extra.decode())
    return found
