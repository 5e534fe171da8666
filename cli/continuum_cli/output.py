"""What a command prints: JSON for scripts, tables for people.

A table fits the terminal. Where there is none, its lines are as long as they need to be, without colours and frames,
so that `grep` and `awk` find what they look for.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from continuum.model.display import to_jsonable
from continuum_cli.failing import one_line
from continuum_cli.streams import takes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

STATE_STYLES = {
    "running": "cyan",
    "suspended": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "continued": "dim",
}
_PIPE_COLUMNS = 5_000
# Controls beyond those that JSON escapes itself, and marks that turn the direction of writing or cannot be seen.
_STEERING = re.compile("[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_ELASTIC = frozenset({"WORKFLOW", "NAMESPACE", "KEY"})


def columns_shown() -> int:
    """How wide the output may be."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_COLUMNS


def show(picture: RenderableType) -> None:
    """Print a table, or what else can be drawn, on standard output as it is now."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(picture)
        return
    page = Console(file=io.StringIO(), width=_PIPE_COLUMNS, color_system=None)
    with page.capture() as captured:
        page.print(picture)
    for line in captured.get().splitlines():
        print(line.rstrip())


def table(*columns: str, folded: str | None = None) -> Table:
    """A table with these columns. Where it is too narrow, names are cut and the column ``folded`` gets more lines."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    for column in columns:
        overflow: Literal["fold", "ellipsis"] = "fold" if column == folded else "ellipsis"
        made.add_column(column, no_wrap=column not in _ELASTIC and column != folded, overflow=overflow)
    return made


def cell(text: object, style: str = "") -> Text:
    """The text of a cell, taken as it is: what users wrote is neither markup nor control codes."""
    from rich.text import Text

    return Text(one_line(str(text)), style=style)


def facts(rows: Mapping[str, object]) -> Table:
    """Names and values, one pair a line; those without a value are left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None and value != "":
            made.add_row(name, value if hasattr(value, "__rich_console__") else cell(value))
    return made


def state(name: str) -> Text:
    return cell(name, STATE_STYLES.get(name, ""))


def moment(value: datetime | None) -> str:
    """A time as people read it: local, to the second."""
    if value is None:
        return ""
    with suppress(OverflowError):  # the last hours of year 9999 are not local everywhere
        value = value.astimezone()
    return value.strftime("%Y-%m-%d %H:%M:%S")


def age(value: datetime) -> str:
    """How long ago that is, see `span`."""
    return span((datetime.now(UTC) - value).total_seconds())


def span(seconds: float) -> str:
    """A duration in four characters: ``34s``, ``12m``, ``7h``, ``120d``."""
    whole = max(0, int(seconds))
    for unit, size, limit in (("s", 1, 120), ("m", 60, 120), ("h", 3600, 48)):
        if whole < limit * size:
            return f"{whole // size}{unit}"
    return f"{whole // 86_400}d"


def compact(value: object) -> str:
    """A value in one line of JSON."""
    return json.dumps(to_jsonable(value), ensure_ascii=False)


def print_json(value: object) -> None:
    """A value as an indented JSON document."""
    print_document(json.dumps(to_jsonable(value), ensure_ascii=False, indent=2))


def print_document(text: str) -> None:
    """A JSON document, indented by two. What cannot be written or would steer a terminal is escaped as JSON does it."""
    print(_STEERING.sub(_escaped, text) if takes(text) else json.dumps(json.loads(text), indent=2))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
