"""The project's own measuring stick: chains of steps with nothing but the path that every durable step has to go.

    coroutine ─► two events ─► group commit, fenced by run ─► message to a worker process, and back ─► coroutine

Two threads commit in turn, so that one batch is made while the other waits for the disk. There are no retries, timers,
signals, leases that expire, versions, or limits: what is measured against it has all of them.

    python -m bench.stick --database URL [--runs N] [--steps N] [--inflight N]

Makes and drops the tables limit_runs and limit_events, and prints one line of JSON with ``steps_per_s``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import queue
import tempfile
import threading
import time
import uuid
from collections import deque
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import msgpack  # type: ignore[import-untyped]
import psycopg
import zmq

COMMITTERS, BATCH_RUNS, MESSAGE_CALLS = 2, 400, 100
STARTED, SCHEDULED, COMPLETED, ENDED = range(4)

_TABLES = """
drop table if exists limit_events;
drop table if exists limit_runs;
create table limit_runs (id uuid primary key, state text not null, token bigint not null, last_seq bigint not null,
    result bytea) with (fillfactor = 70);
create table limit_events (run_id uuid not null, seq bigint not null, kind smallint not null, payload bytea not null,
    inserted_at timestamptz not null default now(), primary key (run_id, seq, inserted_at))
    partition by range (inserted_at);
create table limit_events_default partition of limit_events default;
"""
_INSERT = """
insert into limit_runs (id, state, token, last_seq) select id, 'running', 1, 0 from unnest(%(ids)b::uuid[]) as new (id)
"""
_COMMIT = """
with step as (
    select * from unnest(%(ids)b::uuid[], %(tokens)b::bigint[], %(bases)b::bigint[], %(lasts)b::bigint[],
        %(states)b::text[], %(results)b::bytea[]) as step (id, token, base, last, state, result)
),
live as (
    update limit_runs as run set state = step.state, last_seq = step.last, result = step.result
    from step
    where run.id = step.id and run.token = step.token and run.last_seq = step.base and run.state = 'running'
    returning run.id
),
written as (
    insert into limit_events (run_id, seq, kind, payload)
    select event.* from unnest(%(runs)b::uuid[], %(seqs)b::bigint[], %(kinds)b::smallint[], %(payloads)b::bytea[])
        as event (run_id, seq, kind, payload)
    where (event.run_id in (select id from live)) is true
)
select count(*) from live
"""
Call = tuple[bytes, str, int]
Event = tuple[int, int, bytes]


class Loop(asyncio.AbstractEventLoop):
    """As much of a loop as tasks and futures ask for."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def get_debug(self) -> bool:
        return False

    def drain(self) -> None:
        asyncio._set_running_loop(self)
        try:
            while self._ready:
                self._ready.popleft()._run()
        finally:
            asyncio._set_running_loop(None)


@dataclass(slots=True, eq=False)
class Run:
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    seq: int = 0
    committed: int = -1  # no row yet
    events: list[Event] = field(default_factory=list)
    call: int | None = None
    result: int | None = None
    loop: Loop = field(default_factory=Loop)
    waiting: asyncio.Future[int] | None = None

    def start(self, steps: int) -> None:
        self._record(STARTED, steps)
        task = asyncio.Task(self._chain(steps), loop=self.loop)
        task.add_done_callback(self._end)
        self.loop.drain()

    def advance(self, value: int) -> None:
        """Go on with the result of the step before, up to the next one or to the end."""
        self._record(COMPLETED, value)
        assert self.waiting is not None, "it made a call"
        self.call = None
        self.waiting.set_result(value)
        self.loop.drain()

    async def _chain(self, steps: int) -> int:
        value = 0
        for _ in range(steps):
            value = await self._step(value)
        return value

    def _step(self, value: int) -> asyncio.Future[int]:
        self.call = value
        self._record(SCHEDULED, value)
        self.waiting = asyncio.Future(loop=self.loop)
        return self.waiting

    def _end(self, task: asyncio.Task[int]) -> None:
        self.result = task.result()
        self._record(ENDED, self.result)

    def _record(self, kind: int, value: int) -> None:
        self.seq += 1
        self.events.append((self.seq, kind, msgpack.packb(["add_one", [value]])))


@dataclass(frozen=True, slots=True)
class Batch:
    runs: list[Run]
    new: list[uuid.UUID]
    parameters: dict[str, list[Any]]


def batch_of(runs: list[Run]) -> Batch:
    """Take the events of runs, as the parameters of one commit."""
    steps = [
        (run.id, 1, max(run.committed, 0), run.seq, "running" if run.result is None else "completed",
         None if run.result is None else msgpack.packb(run.result))
        for run in runs
    ]  # fmt: skip
    events = [(run.id, *event) for run in runs for event in run.events]
    parameters = dict(
        zip(("ids", "tokens", "bases", "lasts", "states", "results"), _columns(steps, 6), strict=True)
    )
    parameters |= zip(("runs", "seqs", "kinds", "payloads"), _columns(events, 4), strict=True)
    new = [run.id for run in runs if run.committed < 0]
    for run in runs:
        run.committed, run.events = run.seq, []
    return Batch(runs, new, parameters)


def _columns(rows: list[Any], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def work(incoming: str, outgoing: str) -> None:
    """The worker process: answer each call with one more than its value, until told to end."""
    context = zmq.Context()
    calls, results = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    calls.connect(incoming)
    results.connect(outgoing)
    results.send(msgpack.packb([]))
    while (batch := msgpack.unpackb(calls.recv())) is not None:
        results.send(msgpack.packb([(run, value + 1) for run, _, value in batch]))


def commit(
    url: str, batches: queue.SimpleQueue[Batch | None], done: deque[Batch], wake: zmq.Socket[bytes]
) -> None:
    """A committer thread: write each batch in one transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.prepare_threshold = 0
        while (batch := batches.get()) is not None:
            with connection.transaction():
                if batch.new:
                    connection.execute(_INSERT, {"ids": batch.new}, binary=True)
                written = connection.execute(_COMMIT, batch.parameters, binary=True).fetchone()
            assert written == (len(batch.runs),), "nobody else writes here"
            done.append(batch)
            wake.send(b"")


class Engine:
    """Keeps ``in_flight`` runs under way until ``total`` have ended."""

    def __init__(self, url: str, folder: str, total: int, steps: int, in_flight: int) -> None:
        self._total, self._steps, self._in_flight = total, steps, in_flight
        self._live: dict[bytes, Run] = {}
        self._ready: deque[Run] = deque()
        self._started = self.ended = self._open = 0
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._calls, self._results, self._woken = (
            context.socket(kind) for kind in (zmq.PUSH, zmq.PULL, zmq.PULL)
        )
        self._calls.bind(f"ipc://{folder}/calls")
        self._results.bind(f"ipc://{folder}/results")
        self._woken.bind("inproc://done")
        ends = (f"ipc://{folder}/calls", f"ipc://{folder}/results")
        self._worker = multiprocessing.get_context("spawn").Process(target=work, args=ends)
        self._worker.start()
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._done: deque[Batch] = deque()
        self._threads = [self._committer(context, url) for _ in range(COMMITTERS)]
        self._results.recv()  # the worker is there

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._results, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        while self.ended < self._total:
            self._start()
            while self._ready and self._open < COMMITTERS:
                self._batches.put(
                    batch_of([self._ready.popleft() for _ in range(min(len(self._ready), BATCH_RUNS))])
                )
                self._open += 1
            poller.poll()
            self._take_results()
            self._release()

    def close(self) -> None:
        self._calls.send(msgpack.packb(None))
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join()
        self._worker.join()

    def _committer(self, context: zmq.Context[zmq.Socket[bytes]], url: str) -> threading.Thread:
        wake = context.socket(zmq.PUSH)
        wake.connect("inproc://done")
        thread = threading.Thread(target=commit, args=(url, self._batches, self._done, wake))
        thread.start()
        return thread

    def _start(self) -> None:
        while self._started < self._total and len(self._live) < self._in_flight:
            self._started += 1
            run = Run()
            self._live[run.id.bytes] = run
            run.start(self._steps)
            self._ready.append(run)

    def _take_results(self) -> None:
        for message in _drained(self._results):
            for run_id, value in msgpack.unpackb(message):
                run = self._live[run_id]
                run.advance(value)
                self._ready.append(run)

    def _release(self) -> None:
        for _ in _drained(self._woken):
            pass
        calls: list[Call] = []
        while self._done:
            self._open -= 1
            for run in self._done.popleft().runs:
                if run.call is not None:
                    calls.append((run.id.bytes, "add_one", run.call))
                else:
                    del self._live[run.id.bytes]
                    self.ended += 1
        for first in range(0, len(calls), MESSAGE_CALLS):
            self._calls.send(msgpack.packb(calls[first : first + MESSAGE_CALLS]))


def _drained(socket: zmq.Socket[bytes]) -> list[bytes]:
    messages: list[bytes] = []
    while True:
        try:
            messages.append(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return messages


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure what the path of a durable step allows on this machine."
    )
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--inflight", type=int, default=1000)
    options = parser.parse_args()
    with psycopg.connect(options.database, autocommit=True) as connection:
        connection.execute(_TABLES)
        with tempfile.TemporaryDirectory() as folder:
            engine = Engine(options.database, folder, options.runs, options.steps, options.inflight)
            began = time.perf_counter()
            engine.run()
            seconds = time.perf_counter() - began
            engine.close()
        written = connection.execute("select count(*) from limit_events").fetchone()
        connection.execute("drop table limit_events, limit_runs")
    assert written == (2 * options.runs * (1 + options.steps),), (
        "each run and each step has a begin and an end"
    )
    steps = options.runs * options.steps
    print(json.dumps({"steps_per_s": round(steps / seconds), "seconds": round(seconds, 3)}))


if __name__ == "__main__":
    main()
