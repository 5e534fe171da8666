"""The result of a bench as JSON and as a table.

``latest.json`` has an object for each measurement, with its figures by name. Beside them: ``spread`` with the least and
the largest of the measurements behind a median, ``bars`` (value, and whether at most), ``curves``, ``how`` each was
measured and when (``measured``), and ``machine`` with what all of it depends on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.table import Table

from bench.figures import Figure, Section

Json = dict[str, object]
BESIDE = ("spread", "bars", "curves", "how", "measured", "machine")
ALIKE = ("plan", "cores", "cpu", "python", "postgres", "limit")


def as_json(sections: Iterable[Section], machine: Mapping[str, object], earlier: Json | None = None) -> Json:
    """What ``latest.json`` holds: the measurements of now, and those of ``earlier`` that were not made again.

    Those of another plan or another machine are left behind.
    """
    kept = earlier if earlier is not None and _alike(earlier.get("machine"), machine) else {}
    document: Json = {name: value for name, value in kept.items() if name not in BESIDE}
    beside: dict[str, Json] = {name: dict(_mapping(kept.get(name))) for name in BESIDE[:-1]}
    for section in sections:
        document[section.name] = {figure.name: _rounded(figure.value) for figure in section.figures}
        beside["spread"][section.name] = {
            figure.name: [_rounded(end) for end in figure.spread]
            for figure in section.figures
            if figure.spread is not None
        }
        beside["bars"][section.name] = {
            figure.name: [figure.bar.value, figure.bar.at_most]
            for figure in section.figures
            if figure.bar is not None
        }
        beside["curves"].pop(section.name, None)
        if section.curves:
            beside["curves"][section.name] = {
                name: [[_rounded(x), _rounded(y)] for x, y in curve] for name, curve in section.curves.items()
            }
        beside["how"][section.name] = section.how
        beside["measured"][section.name] = machine.get("date")
    return {**document, **beside, "machine": dict(machine)}


def read_json(path: Path) -> Json | None:
    """The document of an earlier bench; None if there is none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _alike(earlier: object, machine: Mapping[str, object]) -> bool:
    then = _mapping(earlier)
    return all(then.get(name) == machine.get(name) for name in ALIKE)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def write_json(path: Path, document: Json) -> None:
    """Replace the file at once, so that nobody reads half of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def table_of(sections: Iterable[Section]) -> Table:
    """The table for people: figure, spread, bar, and whether it is met."""
    table = Table(title="Continuum bench", title_justify="left")
    for heading in ("measurement", "figure"):
        table.add_column(heading)
    for heading in ("median", "spread", "bar"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for section in sections:
        for number, figure in enumerate(section.figures):
            table.add_row(section.name if number == 0 else "", figure.name, *_cells(figure))
        table.add_section()
    return table


def bars_missed(sections: Iterable[Section]) -> list[str]:
    """The figures below their bars, as ``chain.ratio``."""
    return [
        f"{section.name}.{figure.name}" for section in sections for figure in section.figures if figure.missed
    ]


def far_off(sections: Iterable[Section]) -> list[str]:
    """The ratios that are not even half of what their bars ask for."""
    return [
        f"{section.name}.{figure.name}"
        for section in sections
        for figure in section.figures
        if figure.far_off
    ]


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    value = "–" if figure.value is None else shown(figure.value)
    spread = "" if figure.spread is None else " … ".join(shown(end) for end in figure.spread)
    if figure.bar is None:
        return value, spread, "", ""
    bar = f"{'≤' if figure.bar.at_most else '≥'} {shown(figure.bar.value)}"
    if figure.value is None:
        return value, spread, bar, "not measured"
    return value, spread, bar, "[red]missed[/]" if figure.missed else "[green]met[/]"


def _rounded(value: float | None) -> float | int | None:
    """Three digits after the point for what is small, none for what is large."""
    if value is None:
        return None
    return round(value) if abs(value) >= 1000 else round(value, 3)


def shown(value: float) -> str:
    """A figure as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
