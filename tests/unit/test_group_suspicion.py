"""A suspicion is long while one member alone has it, and ends soon when others see the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.cluster.suspicion import Suspicion, duration_s


@given(wanted=st.integers(0, 10), min_s=st.floats(0.1, 10), factor=st.floats(1, 10))
def test_a_suspicion_shrinks_with_each_confirmation_from_the_longest_to_the_shortest(
    wanted: int, min_s: float, factor: float
) -> None:
    times = [duration_s(count, wanted, min_s, factor * min_s) for count in range(wanted + 3)]
    assert times == sorted(times, reverse=True)
    assert times[0] == pytest.approx(factor * min_s if wanted else min_s)
    assert times[wanted:] == [min_s] * 3


def test_the_first_confirmation_tells_more_than_the_second() -> None:
    none, one, two, three = (duration_s(count, 3, 1.0, 6.0) for count in range(4))
    assert none - one > one - two > two - three > 0


def test_an_accuser_counts_once() -> None:
    suspicion = Suspicion("a", 10.0, wanted=3, min_s=1.0, max_s=6.0)
    assert suspicion.deadline == 16.0
    assert not suspicion.confirm("a")
    assert suspicion.deadline == 16.0
    assert suspicion.confirm("b")
    first = suspicion.deadline
    assert not suspicion.confirm("b")
    assert suspicion.deadline == first < 16.0


def test_enough_confirmations_leave_the_shortest_time_and_further_ones_nothing() -> None:
    suspicion = Suspicion("a", 10.0, wanted=2, min_s=1.0, max_s=6.0)
    assert suspicion.is_thin
    assert suspicion.confirm("b") and suspicion.confirm("c")
    assert not suspicion.is_thin
    assert not suspicion.confirm("d")
    assert suspicion.deadline == 11.0


def test_time_in_which_the_node_itself_was_away_does_not_count() -> None:
    suspicion = Suspicion("a", 10.0, wanted=1, min_s=1.0, max_s=6.0)
    suspicion.prolong(60.0)
    assert suspicion.deadline == 76.0
    suspicion.confirm("b")
    assert suspicion.deadline == 71.0


def test_looking_once_more_puts_the_verdict_off_once() -> None:
    suspicion = Suspicion("a", 10.0, wanted=1, min_s=1.0, max_s=6.0)
    suspicion.look_once_more(16.5)
    assert (suspicion.looked, suspicion.deadline) == (True, 16.5)
