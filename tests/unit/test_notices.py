"""How runs ended, as it travels in notifications."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.model.run import RunState
from continuum.ports.catalog import Ending
from continuum.postgres.notices import (
    OUTCOME_BYTES_MAX,
    ending_of,
    ends_of,
    outcome_payload,
    tells_outcome,
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
