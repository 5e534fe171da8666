"""``python -m bench.cluster``: groups of 10, 100 and 1,000 hosts on a virtual network.

It shows the tables, and writes ``latest.json`` beside this file, and the tables and plots of
``docs/cluster.md``. The figures are of virtual time and of seeds, so they are the same on every machine; only the
processor time of a message is this machine's. Exit code 0, or 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cluster.measure import Job
from bench.cluster.report import plots, tables, with_tables

LATEST = Path(__file__).with_name("latest.json")
DOCS = Path(__file__).parents[2] / "docs"
LOSSES = (0.0, 0.05, 0.1, 0.25)
Results = dict[str, list[dict[str, Any]]]


def plan(*, is_quick: bool) -> list[Job]:
    """All measurements, the longest first, so that they fill several processors."""
    if is_quick:
        return [
            Job("loss", {"size": 10, "loss": 0.1, "seconds": 20.0}),
            Job("detection", {"size": 10, "kills": 3, "end": "power"}),
            Job("detection", {"size": 10, "kills": 3, "end": "kill -9"}),
            Job("talk", {"size": 10, "seconds": 5.0}),
            Job("healing", {"size": 10, "cut_s": 30.0, "minority": 5}),
            Job("cost", {"size": 10, "seconds": 20.0, "loss": 0.0}),
        ]
    kills = {10: 200, 100: 100, 1000: 10}
    seconds = {0.0: 30.0, 0.05: 30.0, 0.1: 30.0, 0.25: 10.0}  # the last is the slowest by far
    jobs = [Job("loss", {"size": 1000, "loss": loss, "seconds": seconds[loss]}) for loss in reversed(LOSSES)]
    jobs += [Job("loss", {"size": 100, "loss": loss, "seconds": 600.0}) for loss in reversed(LOSSES)]
    # Two halves of 1,000 would tell each other 500,000 deaths and as many returns: a tenth of it says the same.
    parts = ((1000, 100), (100, 50), (10, 5), (1000, 1), (100, 1), (10, 1))
    jobs += [Job("healing", {"size": size, "cut_s": 30.0, "minority": minority}) for size, minority in parts]
    for end in ("power", "kill -9"):
        jobs += [
            Job("detection", {"size": size, "kills": kills[size], "end": end}) for size in (1000, 100, 10)
        ]
    jobs += [Job("loss", {"size": 10, "loss": loss, "seconds": 600.0}) for loss in LOSSES]
    jobs += [Job("talk", {"size": size, "seconds": 60.0}) for size in (1000, 100, 10)]
    jobs += [Job("talk", {"size": size, "seconds": 20.0, "publish_s": 5.0}) for size in (100, 10)]
    jobs.append(Job("detection", {"size": 100, "kills": 50, "end": "power", "timing": "memberlist"}))
    jobs.append(Job("talk", {"size": 100, "seconds": 60.0, "timing": "memberlist"}))
    return [*jobs, Job("cost", {"size": 100, "seconds": 30.0, "loss": 0.0})]


def main() -> int:
    options = _options()
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)
    jobs = [job for job in plan(is_quick=options.quick) if not options.only or job.what in options.only]
    try:
        fresh = _measured(jobs, options.processes, console)
    except KeyboardInterrupt:
        console.print("bench.cluster: stopped; nothing was written")
        return 130
    kept: Results = json.loads(LATEST.read_text()) if LATEST.is_file() and not options.quick else {}
    results = {**kept, **fresh}
    console.print(tables(results))
    if not options.quick:
        LATEST.write_text(json.dumps(results, indent=1) + "\n")
        page = DOCS / "cluster.md"
        page.write_text(with_tables(page.read_text(), results))
        for name, drawing in plots(results).items():
            (DOCS / name).write_text(drawing)
        console.print("written: bench/cluster/latest.json, and the tables and plots of docs/cluster.md")
    return 0


def _measured(jobs: list[Job], processes: int, console: Console) -> Results:
    """Run the jobs; they take the place of earlier results of the same kind."""
    began = time.monotonic()
    fresh: Results = {}
    with ProcessPoolExecutor(processes) as pool:
        for number, (job, result) in enumerate(zip(jobs, pool.map(Job.run, jobs), strict=True), 1):
            fresh.setdefault(job.what, []).append(result)
            size = job.arguments["size"]
            console.print(
                f"{number}/{len(jobs)} {job.what} of {size} hosts ({time.monotonic() - began:.0f} s)"
            )
    return fresh


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster", description="Simulate the membership of a group at several sizes."
    )
    parser.add_argument("--quick", action="store_true", help="10 hosts, in some seconds; writes nothing")
    parser.add_argument("--only", metavar="NAMES", type=lambda text: set(text.split(",")), default=set())
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
