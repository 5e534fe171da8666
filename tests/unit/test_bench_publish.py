"""The README's table and the plots are made of ``latest.json`` alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.figures import Bar, Figure, Section, curve_of, median_of
from bench.plan import BARS
from bench.plots import line_plot, log_axis, percent_axis, round_ticks
from bench.publish import BEGIN, END, LABELS, plots_of, publish, table_of, with_table
from bench.report import Json, as_json

MACHINE = {
    "date": "2026-11-25T10:00:00+00:00",
    "plan": "full",
    "cores": 2,
    "cpu": "A Processor",
    "postgres": "18.1",
}
SECTIONS = [
    Section("chain", "how", (median_of("ratio", [0.4, 0.6, 0.7], Bar(0.55)), Figure("steps_per_s", 9000.0))),
    Section("load", "how", (), {"steps_per_s": ((1.0, 400.0), (10.0, 3000.0), (100.0, 9000.0))}),
    Section(
        "latency",
        "how",
        (median_of("p50_ms", [5.0], Bar(4.0, at_most=True)),),
        {"ms": ((50.0, 4.0), (99.0, 9.0))},
    ),
]
SVG = "{http://www.w3.org/2000/svg}"


def document() -> Json:
    return as_json(SECTIONS, MACHINE)


def test_the_table_has_a_row_for_each_figure_with_a_label_or_a_bar_and_says_when_and_where() -> None:
    extra = Section(
        "takeover", "how", (Figure("odd_s", 1.5, bar=Bar(2.0, at_most=True)), Figure("unnamed_s", 7.0))
    )
    table = table_of(as_json([*SECTIONS, extra], MACHINE))
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert f"| {LABELS['chain.ratio']} | **0.60** | 0.40 … 0.70 | ≥ 0.55 |" in rows
    assert f"| {LABELS['chain.steps_per_s']} | 9,000 |  |  |" in rows
    assert "| takeover: odd s | **1.50** |  | ≤ 2.00 |" in rows
    assert "7.00" not in table
    assert "2 cores (A Processor)" in table and "2026-11-25" in table


def test_a_missed_bar_is_called_so() -> None:
    assert f"| {LABELS['latency.p50_ms']} | 5.00 (missed) | 5.00 … 5.00 | ≤ 4.00 |" in table_of(document())


def test_a_table_of_less_than_all_says_so() -> None:
    assert "quick bench" in table_of(as_json(SECTIONS, {**MACHINE, "plan": "quick"}))


def test_the_table_replaces_what_stands_between_the_markers_and_nothing_else() -> None:
    readme = f"before\n{BEGIN}\nold \\1\n{END}\nafter\n"
    assert with_table(readme, "new \\1") == f"before\n{BEGIN}\nnew \\1\n{END}\nafter\n"
    assert with_table(with_table(readme, "x"), "old \\1") == readme


def test_publishing_writes_the_readme_and_a_plot_for_each_curve(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"# Title\n{BEGIN}\n{END}\n")
    written = publish(document(), tmp_path)
    assert [path.name for path in written] == ["README.md", "steps-by-load.svg", "latency.svg"]
    assert "9,000" in (tmp_path / "README.md").read_text()
    for path in written[1:]:
        assert ET.parse(path).getroot().tag == f"{SVG}svg"


def test_a_readme_without_markers_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Title\n")
    with pytest.raises(BenchError, match="needs the lines"):
        publish(document(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Title\n"


def test_what_was_not_measured_has_no_plot() -> None:
    assert plots_of(as_json([SECTIONS[0]], MACHINE)) == {}


def test_every_bar_is_of_a_figure_that_people_can_read_of() -> None:
    assert set(BARS) <= set(LABELS)


def test_a_plot_keeps_every_point_inside_and_names_its_lines() -> None:
    lines = {"a < b": ((1.0, 0.0), (1000.0, 977.0)), "c": ((10.0, 5.0),)}
    root = ET.fromstring(line_plot("Title & more", log_axis("load", [1, 10, 100, 1000]), "y", lines))
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    circles = root.findall(f"{SVG}circle")
    assert len(circles) == 3
    assert all(
        0 <= float(each.attrib["cx"]) <= width and 0 <= float(each.attrib["cy"]) <= height for each in circles
    )
    first, second = (float(each.attrib["cx"]) for each in (circles[0], circles[2]))
    last = float(circles[1].attrib["cx"])
    assert second - first == pytest.approx((last - first) / 3, abs=0.2)  # a decade of three
    texts = {text.text for text in root.findall(f"{SVG}text")}
    assert {"Title & more", "a < b", "c", "1,000", "load"} <= texts


def test_a_plot_can_be_read_on_a_dark_page() -> None:
    assert "prefers-color-scheme: dark" in line_plot(
        "t", log_axis("x", [1, 10]), "y", {"l": ((1.0, 1.0), (10.0, 2.0))}
    )


def test_each_nine_of_a_percentile_is_as_wide_as_the_one_before() -> None:
    place = percent_axis("percentile", [90, 99, 99.9]).place
    assert place(99.9) - place(99) == pytest.approx(place(99) - place(90))


@pytest.mark.parametrize("largest", [0.07, 1.0, 3.2, 9.99, 10.0, 977.0, 12_345.0])
def test_ticks_are_few_round_and_reach_the_largest_value(largest: float) -> None:
    ticks = round_ticks(largest)
    assert ticks[0] == 0 and ticks[-1] >= largest > ticks[-2]
    assert 3 <= len(ticks) <= 7


def test_a_curve_names_no_percentile_that_so_few_values_cannot_tell() -> None:
    assert [percent for percent, _ in curve_of([1.0] * 20)] == [1, 10, 25, 50, 75, 90, 95]
    assert curve_of([float(value) for value in range(1, 1001)])[-1] == (99.9, 999.0)
