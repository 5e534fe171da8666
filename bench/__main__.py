"""``python -m bench``: measure, show, write ``latest.json``.

Latencies come first, on fresh tables and an idle machine, then what fills it. Exit code 0 when all was measured,
1 when not, or with ``--strict`` when a bar was missed; 130 after Ctrl-C.
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

from bench import chain, latency, limit, noop, replay, signals, takeover
from bench.bed import ENGINES, INSTANCE, WORKERS, Bed
from bench.crowd import IN_FLIGHT
from bench.figures import Section
from bench.plan import Plan, Say, quick
from bench.report import as_json, bars_missed, table_of, write_json
from continuum.errors import ContinuumError

LATEST = Path(__file__).with_name("latest.json")

# In this order.
MEASUREMENTS: dict[str, Callable[[Bed, Plan, Say], Section]] = {
    "latency": latency.measure,
    "signal": signals.measure,
    "replay": replay.measure,
    "noop": noop.measure,
    "chain": chain.measure,
    "takeover": takeover.measure,
}


def main() -> int:
    options = _options()
    # A log has no width; the usual guess of 80 would break the table.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything is removed
    try:
        return _bench(options, console)
    except KeyboardInterrupt:
        console.print("bench: stopped; nothing is left of it, and latest.json is as it was")
        return 130
    except ContinuumError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _bench(options: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    program: Path | None = options.limit if options.limit.is_file() else None
    plan = quick(program) if options.quick else Plan(program)
    with Bed(options.database, f"{INSTANCE}_{secrets.token_hex(4)}") as bed:
        machine = _machine(bed.facts, is_quick=options.quick)
        console.print(
            f"PostgreSQL {machine['postgres']} with fsync {machine['fsync']} and synchronous_commit"
            f" {machine['synchronous_commit']}, Python {machine['python']}, {machine['cores']} cores"
            f" (load {machine['load']}); a node with {ENGINES} engine and {WORKERS} worker"
        )
        sections = [
            MEASUREMENTS[name](bed, plan, console.print) for name in MEASUREMENTS if name in options.only
        ]
    machine["seconds"] = round(time.monotonic() - began)
    console.print(table_of(sections))
    for section in sections:
        console.print(f"{section.name}: {section.how}")
    write_json(LATEST, as_json(sections, machine))
    missed = bars_missed(sections)
    console.print(f"{machine['seconds']} s; written to {LATEST.relative_to(LATEST.parents[1])}")
    return 1 if missed and options.strict else 0


def _machine(facts: dict[str, str], *, is_quick: bool) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
        **facts,
        "engines": ENGINES,
        "workers": WORKERS,
        "in_flight": IN_FLIGHT,
        "quick": is_quick,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Continuum on a real PostgreSQL."
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than a minute")
    parser.add_argument("--only", type=_names, default=set(MEASUREMENTS), help=",".join(MEASUREMENTS))
    parser.add_argument(
        "--database", metavar="URL", help="measure there, in a schema that is dropped afterwards"
    )
    parser.add_argument(
        "--limit", type=Path, default=limit.DEFAULT, help="the program that measures the limit"
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


if __name__ == "__main__":
    sys.exit(main())
