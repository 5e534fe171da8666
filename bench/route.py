"""A wake from a process of one node to an engine of another, and back: half of the round trip, one after the other.

::

    this process ─ipc─► group of node a ═TCP, CURVE═► group of node b ─ipc─► echo: the same way back

The groups are the real ones, in processes of their own; the two ends stand for a role and an engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.bed import Bed
from bench.errors import BenchError
from bench.figures import Figure, Section, percentile
from bench.plan import BARS, Plan, Say
from bench.route_ends import BOOT, End, Place
from continuum.config import KEY_VARIABLE
from continuum.postgres import migrate
from continuum.wire.curve import generate_key
from continuum.wire.messages import Members, Route, Wake

MEET_S, ANSWER_S = 30.0, 10.0
WARM_UP = 200
RUN = b"r" * 16


def measure(bed: Bed, plan: Plan, say: Say) -> Section:
    """The median time of one way, in milliseconds."""
    migrate(bed.url, bed.schema_name)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="route-")))
        environment = os.environ | {KEY_VARIABLE: generate_key()}
        places = [Place(name, str(folder / name), bed.url, bed.schema_name) for name in ("a", "b")]
        for place in places:
            Path(place.folder).mkdir(mode=0o700)
        for place, part in ((places[0], "group"), (places[1], "group"), (places[1], "echo")):
            command = [sys.executable, "-m", "bench.route_ends", part, json.dumps(place)]
            process = subprocess.Popen(command, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
        end = stack.enter_context(End(places[0], "engine-1"))
        _meet(end)
        taken_ms = [_once(end) for _ in range(plan.route_wakes + WARM_UP)][WARM_UP:]
    p50, p99 = percentile(taken_ms, 50), percentile(taken_ms, 99)
    say(f"route: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    how = f"{plan.route_wakes:,} wakes to another node and back, one after the other; half of the round trip"
    return Section("route", how, (Figure("p50_ms", p50, (min(taken_ms), p99), BARS["route.p50_ms"]),))


def _meet(end: End) -> None:
    give_up_at = time.monotonic() + MEET_S
    while time.monotonic() < give_up_at:
        for message in end.hear(0.1):
            if isinstance(message, Members) and message.nodes:
                return
    raise BenchError(f"the two nodes have not met within {MEET_S:.0f} s; the measurement was given up")


def _once(end: End) -> float:
    owner = f"b/default/engine-1/{BOOT}-1"
    began = time.perf_counter()
    end.say("group", Route([(owner, [RUN])]))
    while time.perf_counter() - began < ANSWER_S:
        if any(isinstance(message, Wake) for message in end.hear(ANSWER_S)):
            return (time.perf_counter() - began) * 1000 / 2
    raise BenchError(f"a wake has not come back within {ANSWER_S:.0f} s; the measurement was given up")
