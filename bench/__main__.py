"""``python -m bench``: measure, show, write ``latest.json``; with ``--publish`` the README's table and plots too.

Latencies come first, on fresh tables and an idle machine, then what fills it, then what needs tables or nodes of its
own. A measurement that fails does not keep the others from being made. Exit code 0 when all was measured, 1 when not,
or with ``--strict`` when a bar was missed, or with ``--smoke`` when a ratio is far below its bar; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import (
    chain,
    engines,
    fanout,
    growth,
    latency,
    limit,
    load,
    noop,
    parked,
    publish,
    replay,
    restart,
    route,
    signals,
    takeover,
    timers,
)
from bench.bed import ENGINES, INSTANCE, WORKERS, Bed, open_bed
from bench.crowd import IN_FLIGHT
from bench.figures import Section
from bench.plan import SMOKE, Plan, Say, quick, smoke
from bench.report import as_json, bars_missed, far_off, read_json, table_of, write_json
from continuum.errors import ContinuumError

LATEST = Path(__file__).with_name("latest.json")

# In this order.
MEASUREMENTS: dict[str, Callable[[Bed, Plan, Say], Section]] = {
    "latency": latency.measure,
    "signal": signals.measure,
    "fanout": fanout.measure,
    "replay": replay.measure,
    "noop": noop.measure,
    "chain": chain.measure,
    "load": load.measure,
    "timers": timers.measure,
    "engines": engines.measure,
    "restart": restart.measure,
    "parked": parked.measure,
    "growth": growth.measure,
    "takeover": takeover.measure,
    "route": route.measure,
}


def main() -> int:
    options = _options()
    # A log has no width; the usual guess of 80 would break the table.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 110)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything is removed
    try:
        return _smoke(options, console) if options.smoke else _bench(options, console)
    except KeyboardInterrupt:
        console.print("bench: stopped; nothing is left of it, and latest.json is as it was")
        return 130
    except ContinuumError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _bench(options: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    program = options.limit or limit.default()
    plan = quick(program) if options.quick else Plan(program)
    names = options.only or set(MEASUREMENTS)
    sections, failed, machine = _measure(options.database, plan, names, console)
    machine["seconds"] = round(time.monotonic() - began)
    console.print(table_of(sections))
    for section in sections:
        console.print(f"{section.name}: {section.how}")
    document = as_json(sections, machine, read_json(LATEST) if options.only or failed else None)
    write_json(LATEST, document)
    console.print(f"{machine['seconds']} s; written to {LATEST.relative_to(LATEST.parents[1])}")
    if options.publish:
        for path in publish.publish(document):
            console.print(f"written: {path}")
    return 1 if failed or (options.strict and bars_missed(sections)) else 0


def _smoke(options: argparse.Namespace, console: Console) -> int:
    """Measure a little, and what looks far off once more, with more care: a busy machine is not a slow product."""
    program = options.limit or limit.OWN  # the same wherever a clone is tested
    names = set(SMOKE)
    for number in (1, 2):
        sections, failed, _ = _measure(options.database, smoke(program, number), names, console)
        console.print(table_of(sections))
        far = far_off(sections)
        names = {name.partition(".")[0] for name in far} | set(failed)
        if not names:
            return 0
        console.print(
            f"not even half of its bar: {', '.join(far) or 'nothing'}; failed: {', '.join(failed) or 'nothing'}"
        )
    print("bench: a ratio is far below its bar, twice; profile it, see docs/performance.md", file=sys.stderr)
    return 1


def _measure(
    database: str | None, plan: Plan, names: set[str], console: Console
) -> tuple[list[Section], list[str], dict[str, object]]:
    """The sections that could be measured, the names of those that could not, and the machine."""
    sections: list[Section] = []
    failed: list[str] = []
    with open_bed(database, f"{INSTANCE}_{secrets.token_hex(4)}") as bed:
        machine = _machine(bed, plan)
        console.print(
            f"PostgreSQL {machine['postgres']} with fsync {machine['fsync']} and synchronous_commit"
            f" {machine['synchronous_commit']}, Python {machine['python']}, {machine['cores']} cores"
            f" (load {machine['load']}); a node with {ENGINES} engines and {WORKERS} worker; limit: {plan.limit.name}"
        )
        for name in (name for name in MEASUREMENTS if name in names):
            try:
                sections.append(MEASUREMENTS[name](bed, plan, console.print))
            except ContinuumError as error:
                failed.append(name)
                console.print(f"{name} was not measured: {error}")
                bed.stop(graceful=False)  # the next one begins with a node that nothing has happened to
    return sections, failed, machine


def _machine(bed: Bed, plan: Plan) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "load": round(os.getloadavg()[0], 2),
        **bed.facts,
        "engines": ENGINES,
        "workers": WORKERS,
        "in_flight": IN_FLIGHT,
        "limit": plan.limit.name,
        "plan": plan.name,
        "quick": plan.name != "full",
    }


def _cpu() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Continuum on a real PostgreSQL."
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than two minutes")
    parser.add_argument(
        "--smoke", action="store_true", help="half a minute; fails if a ratio is not even half of its bar"
    )
    parser.add_argument(
        "--only",
        type=_names,
        metavar="NAMES",
        help=f"of {','.join(MEASUREMENTS)}; the others stay in latest.json",
    )
    parser.add_argument(
        "--publish", action="store_true", help="write the README's table and the plots in docs"
    )
    parser.add_argument(
        "--database", metavar="URL", help="measure there, in schemas that are dropped afterwards"
    )
    parser.add_argument(
        "--limit", type=_program, help=f"the program that measures the limit (now {limit.default().name})"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    return parser.parse_args()


def _names(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",")}
    if unknown := names - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(
            f"no measurement {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}"
        )
    return names


def _program(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is no file; leave --limit out for {limit.default().name}")
    return path


if __name__ == "__main__":
    sys.exit(main())
