"""Values that travel in notifications: how runs ended, runs that were leased, signals."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.model.run import RunSeed, RunState
from continuum.ports.catalog import Ending
from continuum.ports.journal import ClaimedRun, SignalRow
from continuum.postgres.notices import (
    OUTCOME_BYTES_MAX,
    ending_of,
    ends_of,
    outcome_payload,
    parse,
    tells_outcome,
    told_run,
    told_signal,
)

RUN = UUID(int=2**127)
NOTIFY_BYTES_MAX = 7999  # of PostgreSQL


@given(
    st.sampled_from(("completed", "failed", "cancelled")),
    st.none() | st.binary(min_size=1, max_size=OUTCOME_BYTES_MAX),
)
def test_what_a_run_returned_arrives_as_a_look_would_find_it(state: RunState, outcome: bytes | None) -> None:
    payload = outcome_payload(RUN, state, outcome).encode()
    assert len(payload) <= NOTIFY_BYTES_MAX and tells_outcome(payload)
    ((number, told),) = ends_of(payload).items()
    result, error = (outcome, None) if state == "completed" else (None, outcome)
    assert ending_of(UUID(int=number), told) == Ending(RUN, state, result, error)


def test_of_a_long_outcome_it_is_said_only_that_there_is_one() -> None:
    payload = outcome_payload(RUN, "completed", bytes(OUTCOME_BYTES_MAX + 1)).encode()
    assert not tells_outcome(payload)
    assert ends_of(payload) == {RUN.int: b""} and ending_of(RUN, b"") is None


@pytest.mark.parametrize("told", ["running:", "completed:!", "completed:AAA", "", "continued:AA==", "\xff:"])
def test_what_cannot_be_read_is_looked_at(told: str) -> None:
    assert ending_of(RUN, told.encode(errors="surrogateescape")) is None


@pytest.mark.parametrize("payload", ["end:", "end:x:completed:", f"end:{RUN.hex}", "end::completed:"])
def test_a_payload_without_a_run_says_nothing(payload: str) -> None:
    assert ends_of(payload.encode()) == {}


_TEXT = st.text(max_size=300)


@given(
    _TEXT, st.none() | _TEXT, st.binary(max_size=OUTCOME_BYTES_MAX), st.none() | st.uuids(), st.floats(0, 4e9)
)
def test_a_run_that_is_told_arrives_as_a_claim_would_give_it(
    name: str, version: str | None, args: bytes, correlation: UUID | None, created_at: float
) -> None:
    seed = RunSeed(
        id=RUN,
        workflow=name,
        version_hash=version,
        args=args,
        namespace=name,
        correlation_id=correlation,
        parent_run_id=correlation,
    )
    payload = f"leased:{RUN.hex}:77:{created_at!r}:{told_run(seed)}".encode()
    assert len(payload) <= NOTIFY_BYTES_MAX
    (notice,) = parse(payload)
    assert notice.claimed in (
        None,
        ClaimedRun(
            RUN, 77, True, name, version, args, name, created_at, correlation or RUN, correlation, None
        ),
    )
    assert (notice.kind, notice.run_id, notice.token) == ("leased", RUN, 77)
    assert notice.claimed is not None or len(args) + 12 * len(name) > OUTCOME_BYTES_MAX - 200


@given(_TEXT, st.binary(max_size=OUTCOME_BYTES_MAX + 10))
def test_a_signal_that_is_told_arrives_as_a_read_would_find_it(name: str, value: bytes) -> None:
    payload = f"signal:{RUN.hex}:5:{told_signal(name, value)}".encode()
    assert len(payload) <= NOTIFY_BYTES_MAX
    (notice,) = parse(payload)
    assert notice.signal in (None, SignalRow(5, name, value))
    assert notice.signal is not None or len(value) + 4 * len(name) > OUTCOME_BYTES_MAX - 20


@pytest.mark.parametrize(
    "payload",
    [
        "leased",
        "leased:",
        "leased:x:1:2:",
        f"leased:{RUN.hex}:one:2:",
        f"leased:{RUN.hex}:1:2:AAAA",
        f"leased:{RUN.hex}:1:2:!",
        f"leased:{RUN.hex}:1:soon:" + told_run(RunSeed(id=RUN, workflow="w", args=b"")),
        "signal:",
        f"signal:{RUN.hex}:1:AAAA",
        f"signal:{RUN.hex}",
    ],
)
def test_what_is_no_notice_is_none(payload: str) -> None:
    assert parse(payload.encode()) == []
