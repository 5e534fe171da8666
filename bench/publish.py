"""``python -m bench.publish``: the README's table of figures and the plots in ``docs``, from ``latest.json`` alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.figures import Bar, Curve
from bench.plots import line_plot, log_axis, percent_axis
from bench.report import Json, read_json, shown

ROOT = Path(__file__).parents[1]
LATEST = Path(__file__).with_name("latest.json")
BEGIN, END = "<!-- figures of `make bench`: begin -->", "<!-- figures of `make bench`: end -->"
LOAD_SVG, LATENCY_SVG = "steps-by-load.svg", "latency.svg"

# What people read instead of a figure's name; what is not here is published only if it has a bar.
LABELS: Mapping[str, str] = {
    "chain.steps_per_s": "chain of 10 activities, 1,000 in flight: steps/s",
    "chain.ratio": "… as a part of the limit's",
    "chain.cpu_ratio": "… processor time of a step, in times the limit's",
    "noop.runs_per_s": "empty workflows: runs/s",
    "latency.p50_ms": "one-step workflow, start to result, idle system: p50, ms",
    "latency.p99_ms": "… p99, ms",
    "signal.p50_ms": "signal to result: p50, ms",
    "fanout.seconds": "1,000 activities gathered in one run: s",
    "timers.last_late_s": "20,000 timers due in one instant: the last is late by, s",
    "timers.new_run_s": "… an empty run started meanwhile takes at most, s",
    "parked.kb_per_run": "100,000 parked runs, each while live: KB",
    "parked.given_back_kb_per_run": "… each when given back: KB left in the engine",
    "parked.idle_cpu_percent": "… the idle node, PostgreSQL with it: % of a core",
    "parked.idle_queries_per_s": "… the idle node: queries/s",
    "parked.beside_queries_per_s": "… and beside another node: queries/s",
    "restart.ready_s": "start of a node on 100,000 suspended runs: ready after, s",
    "restart.all_done_s": "… 10,000 of them signalled at once, all ended after, s",
    "replay.us_per_event": "replay of 20,000 events: µs an event",
    "replay.snapshot_ratio": "… from a snapshot, as a part of that",
    "replay.memory_ratio": "… memory by event, against a history a quarter as long",
    "engines.two_ratio": "two engines against one: steps/s",
    "engines.four_ratio": "four engines against one: steps/s",
    "growth.ratio": "10 million events and 1 million runs in the tables, against none: steps/s",
    "takeover.p50_s": "a node is killed, its runs go on elsewhere: p50, s",
    "takeover.all_s": "… all of them, s",
    "takeover.timer_late_s": "… a timer that is due 3 s after the kill: the latest, s",
    "route.p50_ms": "a wake from one node to another: p50, ms",
}


def publish(document: Json, root: Path = ROOT) -> list[Path]:
    """Write the table between the README's markers, and the plots; return what was written.

    Raises:
        BenchError: the README has no markers; nothing was written.
    """
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise BenchError(
            f"{readme} needs the lines {BEGIN} and {END} once each, for the table to stand between"
        )
    readme.write_text(with_table(text, table_of(document)), encoding="utf-8")
    written = [readme]
    for name, plot in plots_of(document).items():
        path = root / "docs" / name
        path.write_text(plot, encoding="utf-8")
        written.append(path)
    return written


def with_table(readme: str, table: str) -> str:
    """The README with another table between its markers."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{table}\n{END}",
        readme,
        flags=re.DOTALL,
    )


def table_of(document: Json) -> str:
    """The figures as Markdown, and below them the machine and the date."""
    lines = ["| | median | from … to | bar |", "|---|---:|---:|---:|"]
    named = dict.fromkeys(LABELS) | dict.fromkeys(
        f"{section}.{figure}" for section, figures in _part(document, "bars").items() for figure in figures
    )
    for name in named:
        section, _, figure = name.partition(".")
        value = _part(document, section).get(figure)
        if value is not None:
            label = LABELS.get(name, name.replace(".", ": ").replace("_", " "))
            spread = _part(_part(document, "spread"), section).get(figure)
            bar = _part(_part(document, "bars"), section).get(figure)
            lines.append(f"| {label} | {_value(value, bar)} | {_spread(spread)} | {_bar(bar)} |")
    return "\n".join([*lines, "", _machine(document)])


def plots_of(document: Json) -> dict[str, str]:
    """The plots by file name, of the curves that were measured."""
    curves = _part(document, "curves")
    plots: dict[str, str] = {}
    if load := _curve(curves, "load", "steps_per_s"):
        axis = log_axis("runs in flight", [x for x, _ in load])
        plots[LOAD_SVG] = line_plot("Durable steps a second", axis, "steps/s", {"steps/s": load})
    latencies = {
        "one step, start to result": _curve(curves, "latency", "ms"),
        "signal to result": _curve(curves, "signal", "ms"),
    }
    if lines := {name: curve for name, curve in latencies.items() if curve}:
        most = max(percent for curve in lines.values() for percent, _ in curve)
        axis = percent_axis("percentile", [tick for tick in (1, 50, 75, 90, 95, 99, 99.9) if tick <= most])
        plots[LATENCY_SVG] = line_plot("Latency on an idle system", axis, "ms", lines)
    return plots


def _value(value: float, bar: Any) -> str:
    missed = bar is not None and not Bar(*bar).met_by(value)
    return (
        f"{shown(value)} (missed)" if missed else f"**{shown(value)}**" if bar is not None else shown(value)
    )


def _spread(spread: Any) -> str:
    return "" if spread is None else " … ".join(map(shown, spread))


def _bar(bar: Any) -> str:
    return "" if bar is None else f"{'≤' if bar[1] else '≥'} {shown(bar[0])}"


def _machine(document: Json) -> str:
    machine = _part(document, "machine")
    days = sorted({str(date)[:10] for date in _part(document, "measured").values()})
    less = (
        "" if machine.get("plan") == "full" else f" This was a {machine.get('plan')} bench, of less than all."
    )
    where = machine.get("filesystem", "a server elsewhere")
    return (
        f"Medians of alternating runs on {machine.get('cores')} cores ({machine.get('cpu')}),"
        f" {machine.get('memory_gb')} GB; PostgreSQL {machine.get('postgres')} on {where} with fsync and"
        f" synchronous_commit on, Python {machine.get('python')}; {' and '.join(days)}.{less}"
    )


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _curve(curves: Mapping[str, Any], section: str, name: str) -> Curve:
    return tuple((float(x), float(y)) for x, y in _part(curves, section).get(name, ()))


def main() -> int:
    document = read_json(LATEST)
    if document is None:
        print(f"{LATEST} is not there or cannot be read; `make bench` writes it", file=sys.stderr)
        return 1
    try:
        for path in publish(document):
            print(f"written: {path}")
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
