"""Numbers and what is said with them: medians, percentiles, ratios, and the bars they are held against. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Curve = tuple[tuple[float, float], ...]
CURVE_PERCENTS = (1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach: at least ``value``, or at most if ``at_most``."""

    value: float
    at_most: bool = False

    def met_by(self, figure: float) -> bool:
        return figure <= self.value if self.at_most else figure >= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """``name`` ends with the unit. ``value`` None was not measured. ``spread``: the least and the largest of the
    measurements that ``value`` stands for."""

    name: str
    value: float | None
    spread: tuple[float, float] | None = None
    bar: Bar | None = None

    @property
    def missed(self) -> bool:
        """Whether it has a bar and does not reach it; what was not measured misses nothing."""
        return self.bar is not None and self.value is not None and not self.bar.met_by(self.value)

    @property
    def far_off(self) -> bool:
        """Whether it is a ratio, and is not even half of what its bar asks for: at that, no machine is to blame."""
        if self.bar is None or self.value is None or not self.name.endswith("ratio"):
            return False
        far = Bar(self.bar.value * 2 if self.bar.at_most else self.bar.value / 2, self.bar.at_most)
        return not far.met_by(self.value)


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of one measurement, and in one line what was done to get them. ``curves``: points (x, y) by name."""

    name: str
    how: str
    figures: tuple[Figure, ...]
    curves: Mapping[str, Curve] = field(default_factory=dict)


def median_of(name: str, values: Sequence[float], bar: Bar | None = None) -> Figure:
    """The median of repeated measurements; not measured if there are none."""
    if not values:
        return Figure(name, None, bar=bar)
    return Figure(name, median(values), (min(values), max(values)), bar)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` (above 0, up to 100) of all values do not exceed."""
    assert values, "no percentile of nothing"
    assert 0 < percent <= 100, "a percentage"
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def curve_of(values: Sequence[float]) -> Curve:
    """The percentiles of values, as points (percent, value); no higher ones than so many values can tell."""
    told = [percent for percent in CURVE_PERCENTS if round(len(values) * (100 - percent), 6) >= 100]
    return tuple((float(percent), percentile(values, percent)) for percent in told)


def ratios(ours: Sequence[float], limits: Sequence[float]) -> list[float]:
    """The ratio of every pair: what disturbs the machine for minutes disturbs both of a pair."""
    return [our / limit for our, limit in zip(ours, limits, strict=True)]
