"""What the simulation of a group writes of its figures."""

from __future__ import annotations

from bench.cluster.measure import Job
from bench.cluster.report import BEGIN, END, plots, tables, with_tables

RESULTS = {
    "detection": [
        {"size": 10, "end": "power", "suspected_s": [0.5], "first_s": [1.2], "all_s": [1.5, 2.5]},
        {"size": 1000, "end": "kill -9", "suspected_s": [0.4], "first_s": [1.1], "all_s": [1.25]},
    ]
}


def test_a_measurement_can_be_made_alone_and_shown() -> None:
    healed = Job("healing", {"size": 5, "cut_s": 20.0, "minority": 2}).run()
    assert healed["apart"]
    assert 0 < healed["nearly_s"] <= healed["all_s"]
    assert "| 5 | 3 and 2 |" in tables({"healing": [healed]})


def test_a_group_at_rest_says_as_much_as_its_probes() -> None:
    said = Job("talk", {"size": 5, "seconds": 20.0}).run()
    assert 3.9 <= said["messages_per_host_s"] <= 5.0, "two pings and two answers, and some full exchanges"


def test_tables_show_what_was_measured_and_nothing_else() -> None:
    text = tables(RESULTS)
    assert "| 10 | power cut | 2 | 0.50 | 1.20 | 1.50 | 2.50 | 2.50 |" in text
    assert "| 1,000 | `kill -9` | 1 |" in text
    assert "loss" not in text


def test_new_tables_take_the_place_of_old_ones_and_the_page_stays() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = with_tables(page, RESULTS)
    assert once.startswith(f"before\n{BEGIN}\n") and once.endswith(f"\n{END}\nafter\n")
    assert "old" not in once
    assert with_tables(once, RESULTS) == once


def test_a_plot_is_drawn_of_what_was_measured() -> None:
    assert list(plots(RESULTS)) == ["cluster-detection.svg"]
    assert plots({}) == {}
