"""What the bench makes of its numbers; how long anything takes is not asserted anywhere."""

from __future__ import annotations

import json
from pathlib import Path

from bench.figures import Bar, Figure, Section, median_of, percentile, ratios
from bench.plan import BARS, SMOKE
from bench.report import as_json, bars_missed, far_off, read_json, write_json


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


def test_only_a_ratio_that_is_not_even_half_of_its_bar_is_far_off() -> None:
    figures = (
        Figure("ratio", 0.27, bar=Bar(0.55)),
        Figure("cpu_ratio", 4.1, bar=Bar(2.0, at_most=True)),
        Figure("two_ratio", 0.5, bar=Bar(0.97)),
        Figure("p50_ms", 1000.0, bar=Bar(4.0, at_most=True)),
        Figure("other_ratio", None, bar=Bar(1.0)),
    )
    assert far_off([Section("chain", "", figures)]) == ["chain.ratio", "chain.cpu_ratio"]


def test_a_smoke_test_has_a_bar_for_each_of_its_measurements() -> None:
    assert {name.partition(".")[0] for name in BARS if name.endswith("ratio")} >= set(SMOKE)


def test_the_json_has_an_object_for_each_measurement_and_null_for_what_was_not_measured() -> None:
    ratio = median_of("ratio", [], Bar(0.55))
    chain = Section(
        "chain", "so", (median_of("steps_per_s", [5000.4, 4000.0, 6000.0]), ratio), {"c": ((1.0, 0.12345),)}
    )
    machine = {"cores": 2, "date": "today"}
    document = json.loads(json.dumps(as_json([chain], machine)))
    assert document == {
        "chain": {"steps_per_s": 5000, "ratio": None},
        "spread": {"chain": {"steps_per_s": [4000, 6000]}},
        "bars": {"chain": {"ratio": [0.55, False]}},
        "curves": {"chain": {"c": [[1.0, 0.123]]}},
        "how": {"chain": "so"},
        "measured": {"chain": "today"},
        "machine": machine,
    }


def test_a_measurement_that_is_made_again_replaces_its_own_and_keeps_the_others() -> None:
    machine = {"plan": "full", "date": "monday"}
    chain = Section("chain", "", (median_of("ratio", [0.5]),), {"c": ((1.0, 2.0),)})
    noop = Section("noop", "", (median_of("runs_per_s", [3000.0]),))
    earlier = json.loads(json.dumps(as_json([chain, noop], machine)))
    later = as_json([Section("chain", "", (Figure("ratio", 0.6),))], {**machine, "date": "tuesday"}, earlier)
    assert (later["chain"], later["noop"]) == ({"ratio": 0.6}, {"runs_per_s": 3000})
    assert later["measured"] == {"chain": "tuesday", "noop": "monday"}
    assert later["spread"] == {"chain": {}, "noop": {"runs_per_s": [3000, 3000]}}
    assert later["curves"] == {}


def test_figures_of_another_plan_or_machine_do_not_stand_beside_new_ones() -> None:
    noop = Section("noop", "", (median_of("runs_per_s", [3000.0]),))
    earlier = json.loads(json.dumps(as_json([noop], {"plan": "quick", "cores": 2})))
    for machine in ({"plan": "full", "cores": 2}, {"plan": "quick", "cores": 8}):
        assert "noop" not in as_json([], machine, earlier)


def test_a_file_that_is_no_document_is_no_earlier_bench(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    assert read_json(path) is None
    path.write_text("{")
    assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
