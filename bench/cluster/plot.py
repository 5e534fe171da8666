"""The plot of ``docs/cluster.md``, as SVG that reads on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, TOP, BOTTOM = 860, 340, 46, 286
_COLOURS = {10: "a", 100: "b", 1000: "c"}
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #444c56 }
.title { font-weight: 600 }
.axis { stroke: #8b949e; fill: none } .grid { stroke: #8b949e; stroke-opacity: .25 }
.limit { stroke: #8b949e; stroke-dasharray: 5 4 }
.a { stroke: #1a7f37 } .b { stroke: #0969da } .c { stroke: #bc4c00 }
.line { fill: none; stroke-width: 2 } .thin { stroke-dasharray: 2 3 } .dot { stroke-width: 6; stroke-linecap: round }
@media (prefers-color-scheme: dark) {
  text { fill: #c9d1d9 }
  .a { stroke: #3fb950 } .b { stroke: #58a6ff } .c { stroke: #f0883e }
}
"""


class _Panel:
    """Axes from x0 to x1 pixels, for values from 0 to the given maxima."""

    def __init__(self, x0: int, x1: int, x_max: float, y_max: float) -> None:
        self.x0, self.x1, self.x_max, self.y_max = x0, x1, x_max, y_max

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = self.x0 + (self.x1 - self.x0) * min(x, self.x_max) / self.x_max
        return round(across, 1), round(BOTTOM - (BOTTOM - TOP) * min(y, self.y_max) / self.y_max, 1)

    def frame(
        self, title: str, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]], below: str
    ) -> list[str]:
        parts = [f'<text class="title" x="{self.x0}" y="24">{title}</text>']
        for value, label in ys:
            _, y = self.at(0, value)
            parts.append(f'<line class="grid" x1="{self.x0}" y1="{y}" x2="{self.x1}" y2="{y}"/>')
            parts.append(f'<text x="{self.x0 - 6}" y="{y + 4}" text-anchor="end">{label}</text>')
        for value, label in xs:
            x, _ = self.at(value, 0)
            parts.append(f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{label}</text>')
        middle = (self.x0 + self.x1) / 2
        parts.append(f'<text x="{middle}" y="{BOTTOM + 40}" text-anchor="middle">{below}</text>')
        parts.append(f'<path class="axis" d="M{self.x0} {TOP}V{BOTTOM}H{self.x1}"/>')
        return parts

    def line(self, css: str, points: Sequence[tuple[float, float]]) -> str:
        path = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in points))
        return f'<polyline class="line {css}" points="{path}"/>'


def drawn(results: dict[str, list[dict[str, Any]]]) -> str:
    """Two panels: how soon all know of a death, and what loss makes a host say."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Time until all hosts know of a death, and messages per host by loss</title>",
        f"<style>{_STYLE}</style>",
        *_detection([each for each in results["detection"] if each.get("timing", "local") == "local"]),
        *_load(results["loss"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _detection(results: list[dict[str, Any]]) -> list[str]:
    panel = _Panel(56, 410, 5.0, 1.0)
    parts = panel.frame(
        "All hosts know of a death",
        [(second, str(second)) for second in range(6)],
        [(share / 4, f"{25 * share}%") for share in range(5)],
        "seconds after it (solid: power cut, dotted: kill -9)",
    )
    x, y = panel.at(3.0, 1.0)
    parts.append(f'<line class="limit" x1="{x}" y1="{y}" x2="{x}" y2="{BOTTOM}"/>')
    for each in results:
        known = sorted(each["all_s"])
        steps = [(0.0, 0.0)]
        for number, seconds in enumerate(known, 1):
            steps += [(seconds, (number - 1) / len(known)), (seconds, number / len(known))]
        dotted = " thin" if each["end"] != "power" else ""
        parts.append(panel.line(_COLOURS[each["size"]] + dotted, [*steps, (5.0, 1.0)]))
    return parts + _legend(300, sorted({each["size"] for each in results}))


def _load(results: list[dict[str, Any]]) -> list[str]:
    top = max(each["messages_per_host_s"] for each in results)
    y_max = 10.0 * (int(top / 10) + 1)
    panel = _Panel(490, 840, 0.25, y_max)
    parts = panel.frame(
        "Messages that a host sends in a second",
        [(loss, f"{loss:.0%}") for loss in (0.0, 0.05, 0.1, 0.25)],
        [(y_max * part / 4, f"{y_max * part / 4:.0f}") for part in range(5)],
        "messages lost",
    )
    for size in sorted({each["size"] for each in results}):
        ordered = sorted(
            (each["loss"], each["messages_per_host_s"]) for each in results if each["size"] == size
        )
        parts.append(panel.line(_COLOURS[size], ordered))
    return parts + _legend(510, sorted({each["size"] for each in results}))


def _legend(x: int, sizes: Sequence[int]) -> list[str]:
    parts = []
    for place, size in enumerate(sizes):
        y = (TOP if x > 450 else 200) + 14 + 20 * place
        parts.append(f'<line class="dot {_COLOURS[size]}" x1="{x}" y1="{y - 4}" x2="{x + 14}" y2="{y - 4}"/>')
        parts.append(f'<text x="{x + 24}" y="{y}">{size:,} hosts</text>')
    return parts
