"""A history reads in plain values, and goes through JSON without loss."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from continuum.errors import ConfigurationError
from continuum.model import payload
from continuum.model.events import (
    ActivityFailed,
    ActivityScheduled,
    ChildStarted,
    EventBody,
    EventRow,
    Failure,
    RunContinuedAsNew,
    SideEffect,
    SignalReceived,
    TimerStarted,
    from_row,
    to_row,
)
from continuum.model.history import History, Origin
from continuum.model.ids import time_ordered_id

RUN = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ORIGIN = Origin(
    run_id=RUN,
    workflow="shop.checkout",
    args=payload.encode([["o1", Decimal("4.20")], {"when": MOMENT}]),
    created_at=1_767_323_045_678_901,
    correlation_id=RUN,
    namespace="billing",
    version_hash="abc",
)
BODIES: list[EventBody] = [
    ActivityScheduled("shop.charge", payload.encode([[b"\xff", {1, 2}], {}]), "shop.py:3", "boot:0"),
    ActivityFailed(1, Failure("ValueError", "no", "Traceback", "KeyError: 'a'"), 2, 7),
    SideEffect(b"", "shop.py:4", Failure("OSError", "gone")),
    SignalReceived("approved", 3, payload.encode({"ok": timedelta(days=1)}), 8),
    TimerStarted(None, 9, "shop.py:5"),
]


def history(*extra: EventRow) -> History:
    rows = [
        EventRow(row.seq, row.kind, row.payload, MOMENT.timestamp() + row.seq)
        for row in (to_row(seq, body) for seq, body in enumerate(BODIES, 1))
    ]
    return History(ORIGIN, [*rows, *extra])


def test_ids_of_other_runs_are_read_as_ids() -> None:
    child = to_row(6, ChildStarted("shop.item", RUN.bytes, "abc", True))
    successor = to_row(7, RunContinuedAsNew("shop.checkout", RUN.bytes, "abc"))
    events = history(child, successor)
    assert (events[5].data["child"], events[6].data["run"]) == (RUN, RUN)
    assert History.from_json(events.to_json()) == events


def test_a_history_is_a_sequence_of_events() -> None:
    events = history()
    assert len(events) == 5
    assert [event.type for event in events] == [
        "activity_scheduled",
        "activity_failed",
        "side_effect",
        "signal_received",
        "timer_started",
    ]
    assert [event.seq for event in events[1:3]] == [2, 3]
    assert events[0].inserted_at == MOMENT + timedelta(seconds=1)
    assert events[-1] in events


def test_a_history_knows_its_run() -> None:
    assert (history().run_id, history().workflow) == (RUN, "shop.checkout")
    assert history().args == [["o1", Decimal("4.20")], {"when": MOMENT}]


def test_data_holds_values_and_failures_that_people_can_read() -> None:
    scheduled, failed, effect, received, _ = history()
    assert scheduled.data["args"] == [[b"\xff", {1, 2}], {}]
    assert failed.data["failure"] == {
        "type": "ValueError",
        "message": "no",
        "traceback": "Traceback",
        "cause": "KeyError: 'a'",
    }
    assert effect.data["value"] is None
    assert received.data["value"] == {"ok": timedelta(days=1)}


def test_an_event_of_a_later_version_does_not_hide_the_others() -> None:
    later = history(
        EventRow(6, 10, b"\x91\x01", MOMENT.timestamp()), EventRow(7, 77, b"?", MOMENT.timestamp())
    )
    assert [event.type for event in later[-2:]] == ["patched", "kind_77"]
    assert "unreadable" in later[5].data
    assert History.from_json(later.to_json()) == later


def test_json_brings_the_same_history_back() -> None:
    again = History.from_json(history().to_json(indent=2))
    assert again == history()
    assert [from_row(row) for row in again.rows] == BODIES
    assert again.origin == ORIGIN
    assert list(again) == list(history())


def test_json_says_how_deep_the_run_is_and_documents_of_before_are_read_as_the_top() -> None:
    deep = History(msgspec.structs.replace(ORIGIN, depth=10), history().rows)
    assert History.from_json(deep.to_json()).origin.depth == 10
    document = json.loads(deep.to_json())
    del document["depth"]
    assert History.from_json(json.dumps(document)) == history()


def test_json_shows_values_beside_the_raw_bodies() -> None:
    document = json.loads(history().to_json())
    assert document["args"] == [["o1", "4.20"], {"when": MOMENT.isoformat()}]
    assert document["events"][0]["data"]["args"] == [[{"base64": "/w=="}, [1, 2]], {}]
    assert document["events"][3]["data"]["value"] == {"ok": 86400.0}


SCALARS = st.none() | st.text(max_size=5) | st.floats() | st.binary(max_size=5)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.recursive(SCALARS, st.lists, max_leaves=5), max_size=5))
def test_every_value_survives_json(values: list[object]) -> None:
    rows = [to_row(seq, SideEffect(payload.encode(value))) for seq, value in enumerate(values, 1)]
    before = History(ORIGIN, rows)
    assert History.from_json(before.to_json()) == before


def without(name: str) -> str:
    document = json.loads(history().to_json())
    del document[name]
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        without("events"),
        without("raw_args"),
        history().to_json().replace('"raw": "', '"raw": "?'),
        history().to_json().replace('"timer_started"', '"rubbish"'),
        json.dumps(json.loads(history().to_json()) | {"format": 99}),
    ],
)
def test_what_is_no_history_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no history that can be read|format 99"):
        History.from_json(text)


def test_time_ordered_ids_sort_by_their_time() -> None:
    ids = [
        time_ordered_id(unix_ms, (1 << 80) - unix_ms) for unix_ms in (0, 1, 1_700_000_000_000, (1 << 48) - 1)
    ]
    assert sorted(ids) == ids
    assert {(id.version, id.variant) for id in ids} == {(7, "specified in RFC 4122")}
