"""The policy of an activity: the call's options over the decorator's over the defaults (A2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from continuum.errors import ConfigurationError
from continuum.model.retry import Retry, seconds_of


class ActivityOptions(msgspec.Struct, frozen=True):
    """``timeout_s`` is for one attempt, None for none. ``idempotency_key`` maps the activity's arguments to the key
    that its ``activity_info()`` shows in every attempt."""

    retry: Retry = Retry()
    timeout_s: float | None = None
    queue: str = "default"
    idempotency_key: Callable[..., str] | None = None


def checked_options(base: ActivityOptions, overrides: Mapping[str, Any]) -> ActivityOptions:
    """Return ``base`` with ``overrides``, as users write them (``retry timeout queue idempotency_key``), on top.

    Raises:
        ConfigurationError: there is no such option.
        ValueError, TypeError: its value makes no sense.
    """
    return msgspec.structs.replace(base, **_fields(overrides))


def _fields(overrides: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in overrides.items():
        if name == "timeout":
            fields["timeout_s"] = None if value is None else _positive(name, value)
        elif name in ("retry", "queue", "idempotency_key"):
            fields[name] = _checked(name, value)
        else:
            raise ConfigurationError(
                f"an activity has no option {name!r}; there are retry, timeout, queue, idempotency_key"
            )
    return fields


def _positive(name: str, value: Any) -> float:
    seconds = seconds_of(value)
    if seconds <= 0:
        raise ValueError(f"{name} is longer than 0 seconds, not {value!r}; leave it out for none")
    return seconds


def _checked(name: str, value: Any) -> Any:
    if name == "retry" and not isinstance(value, Retry):
        raise TypeError(f"retry is a Retry(...), not {value!r}")
    if name == "queue" and not (isinstance(value, str) and value):
        raise TypeError(f"queue is the name of a queue, not {value!r}")
    if name == "idempotency_key" and not (value is None or callable(value)):
        raise TypeError(f"idempotency_key is a callable of the activity's arguments, not {value!r}")
    return value
