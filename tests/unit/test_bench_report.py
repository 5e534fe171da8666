"""What the bench makes of its numbers; how long anything takes is not asserted anywhere."""

from __future__ import annotations

import json

from bench.figures import Bar, Figure, Section, median_of, percentile, ratios
from bench.report import as_json, bars_missed


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (100.0, 198.0, 200.0)
    assert percentile([7.0], 99) == 7.0


def test_a_ratio_belongs_to_its_pair() -> None:
    assert ratios([1.0, 9.0], [2.0, 3.0]) == [0.5, 3.0]


def test_a_figure_misses_its_bar_on_the_wrong_side_only() -> None:
    slow = Section("latency", "", (Figure("p50_ms", 8.1, bar=Bar(8.0, at_most=True)),))
    fast = Section(
        "chain", "", (median_of("ratio", [0.2, 0.35, 0.4], Bar(0.35)), median_of("x", [], Bar(1.0)))
    )
    assert bars_missed([slow, fast]) == ["latency.p50_ms"]


def test_the_json_has_an_object_for_each_measurement_and_null_for_what_was_not_measured() -> None:
    chain = Section(
        "chain", "how", (median_of("steps_per_s", [5000.4, 4000.0, 6000.0]), median_of("ratio", []))
    )
    document = json.loads(json.dumps(as_json([chain], {"cores": 2})))
    assert document == {
        "chain": {"steps_per_s": 5000, "ratio": None},
        "spread": {"chain": {"steps_per_s": [4000, 6000]}},
        "machine": {"cores": 2},
    }
