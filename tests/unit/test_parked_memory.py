"""What a run that waits for a signal keeps in memory: there are many of them, for days."""

from __future__ import annotations

import gc
import tracemalloc
from uuid import UUID, uuid4

from continuum.core.definitions import registry, workflow
from continuum.core.effects import Signal
from continuum.core.step import Crew
from continuum.model import payload
from continuum.ports.journal import ClaimedRun
from continuum.runtime.live import LiveRun

RUNS = 500
BYTES_MAX = 2_600  # it is 2,050 on Python 3.11: an empty list or dict more in each would be 56 or 64

ready = Signal("ready", int)


@workflow(name="memory.waits")
async def waits() -> int:
    return await ready.wait()


def parked(run_id: UUID, crew: Crew, args: bytes) -> LiveRun:
    claimed = ClaimedRun(run_id, 1, True, waits.name, None, args, "default", 0.0, run_id, None, None)
    run = LiveRun(claimed, registry.workflow(waits.name, None), crew)
    run.machine.begin()
    run.take(spill=False)
    assert run.machine.parked and not run.machine.ended
    return run


def test_a_parked_run_is_small() -> None:
    crew, args = Crew("b:0"), payload.encode([[], {}])
    first = parked(uuid4(), crew, args)  # whatever is made once is made
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        runs = [parked(uuid4(), crew, args) for _ in range(RUNS)]
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / RUNS < BYTES_MAX
    for run in (first, *runs):
        run.machine.drop()
