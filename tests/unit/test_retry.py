"""Policies of activities: what they allow, when, and what is refused before anything runs."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from continuum.core.attempt import Outcome, died, silent, timed_out
from continuum.core.definitions import activity
from continuum.core.failure import decode_failure, failure_of
from continuum.core.options import ActivityOptions
from continuum.errors import ConfigurationError
from continuum.model.events import Failure
from continuum.model.retry import Retry, seconds_of


@pytest.mark.rule("A3", "A17")
@given(
    attempt=st.integers(1, 200),
    initial=st.floats(0, 100),
    backoff=st.floats(1, 10),
    max_delay=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_a_back_off_grows_to_its_cap_and_jitter_stretches_it_no_further(
    attempt: int, initial: float, backoff: float, max_delay: float, jitter: float, draw: float
) -> None:
    policy = Retry(initial=initial, backoff=backoff, max_delay=max_delay, jitter=jitter)
    plain = min(initial * math.exp(min((attempt - 1) * math.log(backoff), 700)), max_delay)
    delay = policy.delay_s(attempt, lambda: draw)
    assert delay == pytest.approx(min(plain * (1 + jitter * draw), max_delay), rel=1e-6)
    assert plain * (1 - 1e-6) <= delay <= max_delay


@pytest.mark.rule("A3")
def test_the_delays_of_the_defaults_double_from_a_second_to_a_minute() -> None:
    delays = [Retry(jitter=0.0).delay_s(attempt, lambda: 0.5) for attempt in (1, 2, 3, 7, 8, 2000)]
    assert delays == [1.0, 2.0, 4.0, 60.0, 60.0, 60.0]


@pytest.mark.rule("A2")
@pytest.mark.parametrize(
    "policy",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"initial": -1},
        {"initial": math.nan},
        {"backoff": 0.5},
        {"max_delay": math.inf},
        {"jitter": 1.1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, Any]) -> None:
    (name,) = policy
    with pytest.raises(ValueError, match=f"Retry.{name}"):
        Retry(**policy)


@pytest.mark.rule("A2")
@pytest.mark.parametrize(
    "kinds", [(5,), (int,), ("",), (ValueError("x"),), "ValueError", ValueError, 5, None, {"ValueError": 1}]
)
def test_only_exception_types_and_names_can_be_non_retryable(kinds: Any) -> None:
    with pytest.raises(TypeError, match=r"Retry\.non_retryable"):
        Retry(non_retryable=kinds)


@pytest.mark.rule("A2")
def test_a_name_alone_is_not_taken_for_its_letters_and_the_words_say_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"write non_retryable=\('ValueError',\)"):
        Retry(non_retryable="ValueError")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write non_retryable=\(ValueError,\)"):
        Retry(non_retryable=ValueError)  # type: ignore[arg-type]


@pytest.mark.rule("A2")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": "soon"}, TypeError),
        ({"retry": 3}, TypeError),
        ({"queue": ""}, TypeError),
        ({"idempotency_key": "k"}, TypeError),
        ({"colour": "red"}, ConfigurationError),
    ],
)
def test_options_that_make_no_sense_are_refused_at_definition(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):

        @activity(**options)
        def never() -> None: ...


@pytest.mark.rule("A2")
def test_options_of_a_call_stand_over_the_decorators_and_these_over_the_defaults() -> None:
    @activity(name="retry.over", timeout=5, queue="slow", retry=Retry(max_attempts=4))
    def work() -> None: ...

    @activity(name="retry.plain")
    def plain() -> None: ...

    over = work().options(timeout=dt.timedelta(minutes=1))
    assert over.policy == ActivityOptions(Retry(max_attempts=4), 60.0, "slow")
    bare = plain().options()
    assert bare.policy == ActivityOptions(Retry(max_attempts=1), None, "default")
    over.take()
    bare.take()


@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("kinds", "failure", "allowed"),
    [
        ((ValueError,), Failure("ValueError", ""), False),
        (("ValueError",), Failure("ValueError", ""), False),
        ((LookupError,), Failure("KeyError", "", bases=("LookupError",)), False),
        (("PaymentError",), Failure("shop.PaymentError", ""), False),
        (("shop.PaymentError",), Failure("shop.PaymentError", ""), False),
        ((ValueError,), Failure("TypeError", ""), True),
    ],
)
def test_non_retryable_types_are_found_by_type_by_name_and_by_base(
    kinds: tuple[Any, ...], failure: Failure, allowed: bool
) -> None:
    policy = Retry(max_attempts=3, non_retryable=kinds)
    assert policy.allows_after(1, failure) is allowed
    assert not policy.allows_after(3, failure)


class Declined(Exception):  # noqa: N818
    pass


class Outer:
    class Inner(Declined):
        pass


class Quiet(BaseException):
    pass


RAISED: dict[str, BaseException] = {
    "inner": Outer.Inner("x"),
    "key": KeyError("x"),
    "quiet": Quiet("x"),
    "exit": SystemExit(3),
}


@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (Outer.Inner, "inner"),
        (Declined, "inner"),
        (Exception, "inner key"),
        (BaseException, "inner key quiet exit"),
        (LookupError, "key"),
        (ValueError, ""),
        ("Inner", "inner"),
        ("Outer.Inner", "inner"),
        (f"{__name__}.Outer.Inner", "inner"),
        ("Declined", "inner"),
        (f"{__name__}.Declined", "inner"),
        ("LookupError", "key"),
        ("Exception", "inner key"),
        ("BaseException", "inner key quiet exit"),
        ("builtins.KeyError", "key"),
        ("ner", ""),
        ("er.Inner", ""),
        ("object", ""),
    ],
)
def test_what_except_would_catch_is_what_fails_at_once(kind: Any, caught: str) -> None:
    policy = Retry(max_attempts=2, non_retryable=(kind,))
    final = [name for name, error in RAISED.items() if not policy.allows_after(1, failure_of(error))]
    assert final == caught.split()


@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("kind", "allowed"), [(TimeoutError, False), (OSError, False), (Exception, False), (ValueError, True)]
)
@pytest.mark.parametrize("outcome", [timed_out("work", 1.0), silent("work", 1.0)])
def test_a_time_out_is_a_timeout_error_to_a_policy(outcome: Outcome, kind: Any, allowed: bool) -> None:
    policy = Retry(max_attempts=2, non_retryable=(kind,))
    assert policy.allows_after(1, decode_failure(outcome.payload)) is allowed


@pytest.mark.rule("A4")
def test_the_death_of_a_worker_is_no_exception_of_the_activity() -> None:
    policy = Retry(max_attempts=2, non_retryable=(BaseException,))
    assert policy.allows_after(1, decode_failure(died("work", "by signal 9").payload))


@pytest.mark.parametrize("duration", [-1, math.inf, math.nan, True, "5", None])
def test_a_duration_is_a_finite_number_of_seconds_or_a_timedelta(duration: Any) -> None:
    assert seconds_of(dt.timedelta(minutes=2)) == 120.0
    with pytest.raises((ValueError, TypeError), match="duration"):
        seconds_of(duration)
