"""The result of a bench as JSON and as a table.

``latest.json`` has an object for each measurement, with its figures by name; ``spread`` beside them has the least and
the largest of the measurements behind a median, and ``machine`` says what all of it depends on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.table import Table

from bench.figures import Figure, Section

Json = dict[str, object]


def as_json(sections: Iterable[Section], machine: Mapping[str, object]) -> Json:
    """What ``latest.json`` holds."""
    document: Json = {}
    spread: Json = {}
    for section in sections:
        document[section.name] = {figure.name: _rounded(figure.value) for figure in section.figures}
        spread[section.name] = {
            figure.name: [_rounded(end) for end in figure.spread]
            for figure in section.figures
            if figure.spread is not None
        }
    return {**document, "spread": spread, "machine": dict(machine)}


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


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    value = "–" if figure.value is None else _shown(figure.value)
    spread = "" if figure.spread is None else " … ".join(_shown(end) for end in figure.spread)
    if figure.bar is None:
        return value, spread, "", ""
    bar = f"{'≤' if figure.bar.at_most else '≥'} {_shown(figure.bar.value)}"
    if figure.value is None:
        return value, spread, bar, "not measured"
    return value, spread, bar, "[red]missed[/]" if figure.missed else "[green]met[/]"


def _rounded(value: float | None) -> float | int | None:
    """Three digits after the point for what is small, none for what is large."""
    if value is None:
        return None
    return round(value) if abs(value) >= 1000 else round(value, 3)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
