"""The demo on a screen: a live table that fits 80 columns by 24 lines, and uses what there is beyond.

Without a terminal: plain lines, no control codes.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from continuum_cli.demo.orders import STEPS, Watched
from continuum_cli.demo.proof import Finding
from continuum_cli.demo.story import ORDERS, Show

CELL_COLUMNS = 39
LOG_LINES = 5
OTHER_LINES = 3  # the head, the counts, and where the cursor stands
PROGRESS_EVERY_S = 2.0
_MARKS, _PLAIN_MARKS = ("━━", "──"), ("##", "--")
_STYLES = {"shipped": "green", "failed": "bold red", "cancelled": "bold red", "ordered": "dim"}


class Plain:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self._began_at = self._counted_at = monotonic()
        self._counted = ""

    def say(self, line: str) -> None:
        print(f"{monotonic() - self._began_at:5.1f} s  {line}", flush=True)

    def update(self, orders: Sequence[Watched]) -> None:
        counted = counts_of(orders)
        over = len(orders) == ORDERS and all(order.ended for order in orders)
        if counted != self._counted and (over or monotonic() >= self._counted_at + PROGRESS_EVERY_S):
            self._counted, self._counted_at = counted, monotonic()
            self.say(counted)


class Picture:
    """A renderable: the orders in as many columns as fit, what was said last, and counts."""

    def __init__(self) -> None:
        self._began_at = monotonic()
        self._said: deque[str] = deque(maxlen=LOG_LINES)
        self._orders: Sequence[Watched] = ()

    def say(self, line: str) -> None:
        self._said.append(f"{monotonic() - self._began_at:5.1f} s  {line}")

    def update(self, orders: Sequence[Watched]) -> None:
        self._orders = orders

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        marks = _PLAIN_MARKS if options.ascii_only else _MARKS
        legend = Text(f"Continuum demo: {ORDERS} orders", style="bold")
        legend.append(f"   {' > '.join(STEPS)}", style="not bold dim")
        yield legend
        if self._orders:
            columns = max(1, options.max_width // CELL_COLUMNS)
            rows = min(-(-ORDERS // columns), max(1, console.height - LOG_LINES - OTHER_LINES))
            yield self._grid(rows, columns, marks)
        for line in self._said:
            style = "bold red" if "kill -9" in line else "bold green" if "is back" in line else ""
            yield Text(line, style=style, no_wrap=True, overflow="ellipsis")
        if self._orders:
            yield Text(counts_of(self._orders), style="dim", no_wrap=True, overflow="ellipsis")

    def _grid(self, rows: int, columns: int, marks: tuple[str, str]) -> Table:
        grid = Table.grid(padding=(0, 1, 0, 0))
        for _ in range(columns):
            grid.add_column(width=CELL_COLUMNS - 1, no_wrap=True)
        cells = [_cell(order, marks) for order in self._most_lively(rows * columns)]
        cells += [Text("")] * (rows * columns - len(cells))
        for row in range(rows):
            grid.add_row(*(cells[row + column * rows] for column in range(columns)))
        return grid

    def _most_lively(self, count: int) -> Sequence[Watched]:
        """At most so many orders, in their order: where there is no room for all, the oldest that have ended go."""
        surplus = len(self._orders) - count
        if surplus <= 0:
            return self._orders
        gone = [order.id for order in self._orders if order.ended][:surplus]
        return [order for order in self._orders if order.id not in gone][:count]


def _cell(order: Watched, marks: tuple[str, str]) -> Text:
    full, empty = marks
    text = Text(f"{order.id}  ")
    for number in range(len(STEPS)):
        if number < order.stage.done:
            text.append(full, "green")
        elif number == order.stage.done and order.stage.step:
            text.append(full, "yellow")
        else:
            text.append(empty, "dim")
    text.append("  ")
    text.append(order.stage.text, _STYLES.get(order.stage.text, "yellow"))
    return text


def counts_of(orders: Sequence[Watched]) -> str:
    """``charge 3, approval 5, hold 4, ship 2, finished 10 of 30``."""
    steps = Counter(order.stage.step for order in orders if not order.ended)
    finished = sum(order.state == "completed" for order in orders)
    return ", ".join([*(f"{step} {steps[step]}" for step in STEPS), f"finished {finished} of {ORDERS}"])


@contextmanager
def shown() -> Iterator[Show]:
    """Show what is told in the body, and leave its last state on the screen."""
    if not sys.stdout.isatty():
        yield Plain()
        return
    picture = Picture()
    with Live(picture, console=Console(highlight=False), refresh_per_second=8):
        yield picture


def print_findings(findings: Sequence[Finding], total_s: float) -> None:
    """The summary: a line for each finding, and the last word."""
    console = Console(highlight=False, soft_wrap=True) if sys.stdout.isatty() else None
    for finding in findings:
        mark = "ok  " if finding.fine else "NOT "
        line = Text.assemble((mark, "bold green" if finding.fine else "bold red"), finding.text)
        console.print(line) if console else print(line.plain)
    fine = all(finding.fine for finding in findings)
    verdict = "nothing was lost" if fine else "something is not right"
    print(f"{verdict}; {total_s:.1f} s in all", flush=True)
