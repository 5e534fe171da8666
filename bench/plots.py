"""Line plots as SVG, in colours that can be read on a light and on a dark page. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import Curve

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 44, 52
TICKS_MAX = 6
COLOURS = ("#2f81f7", "#d4760a", "#2da44e", "#a371f7")  # in the middle: visible on white as on black

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: 0.3 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } }
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """``place`` puts values in order along the axis; ``ticks`` are the values that are named on it."""

    label: str
    ticks: Sequence[float]
    place: Callable[[float], float] = float


def log_axis(label: str, ticks: Sequence[float]) -> Axis:
    return Axis(label, ticks, math.log10)


def percent_axis(label: str, ticks: Sequence[float]) -> Axis:
    """Percentiles, each nine as wide as the one before it: the tail is what one looks for."""
    return Axis(label, ticks, lambda percent: -math.log10(1 - percent / 100))


def line_plot(title: str, x: Axis, y_label: str, lines: Mapping[str, Curve]) -> str:
    """The SVG of some curves by name, over ``x``; the other axis begins with 0."""
    points = [point for curve in lines.values() for point in curve]
    assert points, "no plot of nothing"
    y_ticks = round_ticks(max(value for _, value in points))
    xs = [x.place(value) for value, _ in points] + [x.place(tick) for tick in x.ticks]
    across, up = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT), _scale(0, y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        _text(LEFT, 20, title, "start", "title"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x.label),
        _text(LEFT, 38, y_label, "start"),
    ]
    for tick in y_ticks:
        parts += [
            f'<path class="grid" d="M{LEFT} {up(tick):.1f}H{WIDTH - RIGHT}"/>',
            _text(LEFT - 8, up(tick) + 4, _number(tick), "end"),
        ]
    parts += [_text(across(x.place(tick)), HEIGHT - BOTTOM + 20, _number(tick)) for tick in x.ticks]
    for index, (name, curve) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [(across(x.place(value)), up(height)) for value, height in curve]
        path = "L".join(f"{left:.1f} {top:.1f}" for left, top in places)
        parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
        parts += [f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{colour}"/>' for left, top in places]
        if len(lines) > 1:
            top = TOP + 14 + 20 * index
            parts.append(f'<path class="line" stroke="{colour}" d="M{LEFT + 16} {top - 4}h24"/>')
            parts.append(_text(LEFT + 48, top, name, "start"))
    return "\n".join([*parts, "</svg>", ""])


def round_ticks(largest: float) -> list[float]:
    """0 and some round numbers at even distances, the last of them not below ``largest``."""
    assert largest > 0, "a scale needs a length"
    magnitude = 10 ** math.floor(math.log10(largest / (TICKS_MAX - 1)))
    step = next(step for step in (1, 2, 5, 10) if step * magnitude * (TICKS_MAX - 1) >= largest) * magnitude
    return [step * number for number in range(math.ceil(largest / step) + 1)]


def _scale(first: float, last: float, begin: float, end: float) -> Callable[[float], float]:
    width = (last - first) or 1.0
    return lambda value: begin + (value - first) / width * (end - begin)


def _text(left: float, top: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:g}"
