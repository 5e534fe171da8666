"""Policies of activities: what is refused when they are defined, and which one counts (A2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from continuum import Retry, activity
from continuum.core.options import ActivityOptions
from continuum.errors import ConfigurationError


def work(order: str) -> str:
    return order


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"retry": 3}, TypeError, "retry is a Retry"),
    ({"timeout": 0}, ValueError, "timeout is longer than 0"),
    ({"timeout": -1.0}, ValueError, "0 or more"),
    ({"timeout": float("nan")}, ValueError, "finite"),
    ({"timeout": "10s"}, TypeError, "number of seconds"),
    ({"heartbeat_timeout": timedelta(0)}, ValueError, "heartbeat_timeout is longer than 0"),
    ({"heartbeat_timeout": True}, TypeError, "number of seconds"),
    ({"queue": ""}, TypeError, "name of a queue"),
    ({"queue": None}, TypeError, "name of a queue"),
    ({"idempotency_key": 7}, TypeError, "callable"),
    ({"idempotency_key": "one for all"}, TypeError, "every call the same result"),
    ({"isolate": "yes"}, TypeError, "True or False"),
    ({"time_out": 1.0}, ConfigurationError, "no option 'time_out'.*isolate"),
]


@pytest.mark.rule("A2")
@pytest.mark.parametrize(("options", "kind", "said"), WRONG)
def test_a_policy_that_cannot_work_is_refused_at_definition(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        activity(**options)


@pytest.mark.rule("A2")
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 2.0},
        {"initial": -1.0},
        {"backoff": 0.5},
        {"max_delay": float("inf")},
        {"jitter": 1.5},
        {"non_retryable": (7,)},
    ],
)
def test_a_retry_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"Retry\."):
        Retry(**wrong)


@pytest.mark.rule("A2")
def test_a_call_refuses_what_the_decorator_refuses_and_what_only_a_definition_says() -> None:
    defined = activity(name="policies.refusing")(work)
    call = defined("o1")
    for options, kind, _ in WRONG:
        if options.get("idempotency_key") != "one for all" and "isolate" not in options:
            with pytest.raises(kind):
                call.options(**options)
    with pytest.raises(ConfigurationError, match="no option 'isolate'"):
        call.options(isolate=True)
    with pytest.raises(ValueError, match="at least one character"):
        call.options(idempotency_key="")


@pytest.mark.rule("A2")
def test_the_call_is_over_the_decorator_and_the_decorator_over_the_defaults() -> None:
    assert activity(name="policies.plain")(work).options == ActivityOptions()
    defined = activity(
        name="policies.set", timeout=10.0, heartbeat_timeout=timedelta(seconds=5), isolate=True
    )
    call = defined(work)("o1").options(timeout=2.0, retry=Retry(max_attempts=3), idempotency_key="k")
    call.take()
    assert call.policy == ActivityOptions(
        retry=Retry(max_attempts=3),
        timeout_s=2.0,
        heartbeat_timeout_s=5.0,
        idempotency_key="k",
        isolate=True,
    )
