"""Each measurement, made of very little, gives all of its figures; how large they are is not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from psycopg import sql

from bench import fanout, fill, growth, latency, limit, noop, parked, restart, signals, timers
from bench.__main__ import MEASUREMENTS
from bench.bed import Bed
from bench.errors import BenchError
from bench.flows import count_up
from bench.plan import SMOKE, Plan

LITTLE = Plan(
    limit.OWN,
    name="little",
    noop_runs=50,
    noop_rounds=1,
    latency_runs=5,
    latency_rounds=1,
    signal_runs=3,
    signal_rounds=1,
    fanout_width=50,
    fanout_rounds=1,
    timers=50,
    timer_rounds=1,
    timer_lead_s=2.0,
    parked_runs=100,
    parked_until_evicted=False,
    parked_calm_s=0.1,
    parked_idle_windows=1,
    parked_idle_s=0.5,
    suspended_runs=100,
    signalled_runs=20,
    restart_rounds=2,
    growth_runs=200,
    growth_chains=20,
    growth_pairs=2,
    warm_up_runs=10,
    warm_up_latencies=1,
)
# What the smoke test does not measure, and CI would not run otherwise.
MEASURED = [fanout, latency, noop, signals, timers, growth, restart, parked]
EVENTS = sql.SQL(
    "select count(*) from {schema}.continuum_events as event where exists (select 1 from"
    " {schema}.continuum_runs as run where run.id = event.run_id and run.namespace = %s)"
)


@pytest.fixture(scope="module")
def bed(database_url: str) -> Iterator[Bed]:
    with Bed(database_url, {}, "bench_little") as bed:
        yield bed


@pytest.mark.parametrize("measurement", MEASURED, ids=lambda module: module.__name__)
def test_a_measurement_gives_all_of_its_figures(bed: Bed, measurement: object) -> None:
    section = measurement.measure(bed, LITTLE, lambda _: None)  # type: ignore[attr-defined]
    assert MEASUREMENTS[section.name] is measurement.measure  # type: ignore[attr-defined]
    missing = [figure.name for figure in section.figures if figure.value is None]
    assert missing == (["given_back_kb_per_run"] if section.name == "parked" else [])


def test_what_the_smoke_test_measures_is_measured(bed: Bed) -> None:
    assert set(SMOKE) <= set(MEASUREMENTS)


def test_a_table_is_filled_with_what_the_product_wrote(bed: Bed) -> None:
    template = bed.client.start(count_up(3), namespace="template")
    assert template.result(30) == 3
    assert fill.copy_run(bed, template.id, 250, "copies") == 1500
    page = bed.client.query(namespace="copies", limit=1000)
    assert len({run.id for run in page.runs}) == 250
    original = bed.client.get_run(template.id)
    assert {(run.state, run.workflow, run.result, run.key) for run in page.runs} == {
        ("completed", original.workflow, 3, None)
    }
    assert bed.number(EVENTS, ["copies"]) == 1500
    copied, written = bed.client.history(page.runs[0].id), bed.client.history(template.id)
    assert [(event.seq, event.type, event.data) for event in copied] == [
        (event.seq, event.type, event.data) for event in written
    ]


def test_a_run_that_is_not_there_is_no_template(bed: Bed) -> None:
    _ = bed.client
    with pytest.raises(BenchError, match="is no template"):
        fill.copy_run(bed, UUID(int=7), 1, "copies")
